package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// timeline notes when the things of a journey were first seen in each of their
// stages, as a watching client sees them.
type timeline struct {
	start time.Time

	mu    sync.Mutex
	whole map[string]time.Duration            // of the backup or restore; guarded by mu
	lanes map[string]map[string]time.Duration // by volume, then by stage; guarded by mu
	names map[string]string                   // which volume a request or mover is of; guarded by mu
}

func newTimeline() *timeline {
	return &timeline{whole: map[string]time.Duration{}, lanes: map[string]map[string]time.Duration{}, names: map[string]string{}}
}

// begin sets the start. Stages before it are not noted.
func (t *timeline) begin(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start = at
}

// noteWhole notes a stage of the backup or restore.
func (t *timeline) noteWhole(stage string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(t.whole, stage)
}

// name says that an object belongs to a volume.
func (t *timeline) name(object, volume string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.names[object] = volume
}

// noteVolume notes a stage of the volume that an object belongs to, if any.
func (t *timeline) noteVolume(object, stage string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	volume, ok := t.names[object]
	if !ok {
		return
	}
	if t.lanes[volume] == nil {
		t.lanes[volume] = map[string]time.Duration{}
	}
	t.note(t.lanes[volume], stage)
}

func (t *timeline) note(stages map[string]time.Duration, stage string) {
	if _, seen := stages[stage]; !seen && !t.start.IsZero() {
		stages[stage] = time.Since(t.start)
	}
}

// stageSummary is one stage over all volumes, in seconds since the start.
type stageSummary struct {
	stage  string
	count  int
	at     spread
	step   spread // time since the stage before, of the volumes that have both
	before string // "" for the first stage
}

// summary lists the stages in the order of stageOrder; what is not in it, such
// as messages, comes last.
func (t *timeline) summary() []stageSummary {
	t.mu.Lock()
	defer t.mu.Unlock()
	times := map[string][]float64{}
	for _, lane := range t.lanes {
		for stage, at := range lane {
			times[stage] = append(times[stage], at.Seconds())
		}
	}
	var stages []stageSummary
	for stage, at := range times {
		stages = append(stages, stageSummary{stage: stage, count: len(at), at: spreadOf(at)})
	}
	slices.SortFunc(stages, func(a, b stageSummary) int {
		return cmp.Or(cmp.Compare(rankOf(a.stage), rankOf(b.stage)), cmp.Compare(a.at.median, b.at.median), cmp.Compare(a.stage, b.stage))
	})
	for i := range stages[min(1, len(stages)):] {
		t.setStep(&stages[i+1], stages[i].stage)
	}
	return stages
}

func rankOf(stage string) int {
	if i := slices.Index(stageOrder, stage); i >= 0 {
		return i
	}
	return len(stageOrder)
}

// setStep needs t.mu.
func (t *timeline) setStep(s *stageSummary, before string) {
	var steps []float64
	for _, lane := range t.lanes {
		to, hasTo := lane[s.stage]
		from, hasFrom := lane[before]
		if hasTo && hasFrom {
			steps = append(steps, (to - from).Seconds())
		}
	}
	if len(steps) > 0 {
		s.step, s.before = spreadOf(steps), before
	}
}

// text prints the timeline.
func (t *timeline) text(title string) string {
	var out strings.Builder
	fmt.Fprintln(&out, title)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  STAGE\tVOLUMES\tFIRST\tMEDIAN\tLAST\tSINCE THE STAGE ABOVE: MEDIAN (MIN–MAX)")
	for _, s := range t.summary() {
		step := ""
		if s.before != "" {
			step = s.step.format(2, "")
		}
		fmt.Fprintf(w, "  %s\t%d\t%.2f\t%.2f\t%.2f\t%s\n", s.stage, s.count, s.at.min, s.at.median, s.at.max, step)
	}
	_ = w.Flush()
	fmt.Fprintf(&out, "  the whole: %s\n", t.wholeText())
	return out.String()
}

func (t *timeline) wholeText() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	stages := slices.SortedFunc(maps.Keys(t.whole), func(a, b string) int { return cmp.Compare(t.whole[a], t.whole[b]) })
	for i, s := range stages {
		stages[i] = fmt.Sprintf("%s %.2f", s, t.whole[s].Seconds())
	}
	return strings.Join(stages, ", ")
}
