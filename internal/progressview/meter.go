package progressview

import "time"

// rateWindow is the time a rate is measured over: movers report once a second,
// so a rate has a handful of samples and still follows changes.
const rateWindow = 5 * time.Second

// Meter measures how fast the volumes of successive states move.
type Meter struct {
	samples map[string][]sample // by name of volume, oldest first
}

type sample struct {
	at   time.Time
	done int64
}

// NewMeter returns a Meter that has seen nothing.
func NewMeter() *Meter { return &Meter{samples: map[string][]sample{}} }

// Observe takes in the state at a time. Times must not go back.
func (m *Meter) Observe(now time.Time, s State) {
	for _, v := range s.Volumes {
		name := v.Name()
		if !isMoving(v) {
			delete(m.samples, name)
			continue
		}
		m.samples[name] = append(trim(m.samples[name], now.Add(-rateWindow)), sample{at: now, done: v.BytesDone})
	}
}

// trim drops samples before a time, but for the last of them, from which the
// window begins.
func trim(samples []sample, before time.Time) []sample {
	for len(samples) > 1 && !samples[1].at.After(before) {
		samples = samples[1:]
	}
	return samples
}

// Rate is the speed of a volume in bytes per second; 0 while it is not known.
func (m *Meter) Rate(volume string) int64 {
	s := m.samples[volume]
	if len(s) < 2 {
		return 0
	}
	first, last := s[0], s[len(s)-1]
	elapsed := last.at.Sub(first.at).Seconds()
	if elapsed <= 0 || last.done < first.done {
		return 0
	}
	return int64(float64(last.done-first.done) / elapsed)
}

// Total is the speed of all volumes together.
func (m *Meter) Total() int64 {
	var sum int64
	for name := range m.samples {
		sum += m.Rate(name)
	}
	return sum
}
