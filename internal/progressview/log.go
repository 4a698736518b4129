package progressview

import (
	"fmt"
	"slices"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

// totalsInterval is how often plain lines say how far everything is.
const totalsInterval = 10 * time.Second

// Log turns successive states into plain lines: what has changed, each volume's
// start and end, and totals every ten seconds while data moves.
type Log struct {
	started    time.Time
	lastTotals time.Time
	last       State
	told       map[string]string // what has been said of each volume, by its name
}

// NewLog returns a Log whose lines count time from started.
func NewLog(started time.Time) *Log {
	return &Log{started: started, lastTotals: started, told: map[string]string{}}
}

// Lines returns what has happened since the last call.
func (l *Log) Lines(now time.Time, s State, m *Meter) []string {
	lines := l.volumeNews(s.Volumes)
	if changed := headChange(l.last, s); changed != "" {
		// The end comes after the ends of the volumes, all else before.
		at := 0
		if s.Finished {
			at = len(lines)
		}
		lines = slices.Insert(lines, at, changed)
	}
	if s.Trouble != "" && s.Trouble != l.last.Trouble {
		lines = append(lines, s.Trouble)
	}
	if now.Sub(l.lastTotals) >= totalsInterval && !s.Finished {
		l.lastTotals = now
		lines = append(lines, totals(s, m)...)
	}
	l.last = s
	for i := range lines {
		lines[i] = fmt.Sprintf("[%6s] %s", describe.Elapsed(now.Sub(l.started)), lines[i])
	}
	return lines
}

func (l *Log) volumeNews(volumes []describe.Volume) []string {
	var lines []string
	for _, v := range volumes {
		if text := news(v); text != "" && text != l.told[v.Name()] {
			l.told[v.Name()] = text
			lines = append(lines, v.Name()+": "+text)
		}
	}
	return lines
}

func headChange(last, s State) string {
	if last.Phase == s.Phase && last.Why == s.Why {
		return ""
	}
	text := s.Title + ": " + s.Phase
	if why := reasonText(reasonOf(s)); why != "" {
		text += ", " + why
	}
	return text
}

// routine are reasons every volume goes through; they are no news.
var routine = []string{
	"", velerov1.ReasonWaitingForSlot, velerov1.ReasonWaitingForPod, velerov1.ReasonPreparing, velerov1.ReasonMoving,
}

// isRoutine reports whether a volume just waits for its turn.
func isRoutine(v describe.Volume) bool { return !v.Finished && slices.Contains(routine, v.Why.Reason) }

// news is what a plain line says about a volume; "" for nothing. It does not
// depend on how far the volume is.
func news(v describe.Volume) string {
	switch {
	case v.Finished:
		return ended(v)
	case v.Phase == describe.PhaseCanceling:
		return "canceling"
	case isMoving(v):
		return "started"
	case !isRoutine(v):
		return reasonText(v.Why)
	default:
		return ""
	}
}

func totals(s State, m *Meter) []string {
	t := describe.Sum(s.Volumes)
	text := ""
	if s.ItemsTotal > 0 {
		text = fmt.Sprintf("%d of %d items", s.ItemsDone, s.ItemsTotal)
	}
	if t.All() > 0 {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%d of %d volumes, %s of %s", t.Finished(), t.All(), describe.Bytes(t.BytesDone), describe.Bytes(t.BytesTotal))
	}
	if r := rate(m.Total()); r != "" {
		text += ", " + r
	}
	if text == "" {
		return nil
	}
	return []string{text}
}
