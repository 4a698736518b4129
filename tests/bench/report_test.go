package main

import (
	"bytes"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		limits []limit
		want   verdict
	}{
		"a value below its limit is ok":                     {[]limit{{1, 2}}, verdictOK},
		"a value at its limit is ok":                        {[]limit{{2, 2}}, verdictOK},
		"a value above its limit is missed, however little": {[]limit{{1.0501, 1.05}}, verdictMissed},
		"one of two limits is enough to miss":               {[]limit{{1, 2}, {3, 2}}, verdictMissed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			NewWithT(t).Expect(judge(tc.limits...)).To(Equal(tc.want))
		})
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		values []float64
		want   spread
		text   string
	}{
		"one value is all three":                      {[]float64{2}, spread{2, 2, 2}, "2.0 s"},
		"the median of an odd number is the middle":   {[]float64{9, 1, 2}, spread{1, 2, 9}, "2.0 s (1.0–9.0)"},
		"the median of an even number is between two": {[]float64{4, 1, 2, 9}, spread{1, 3, 9}, "3.0 s (1.0–9.0)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := spreadOf(tc.values)

			g.Expect(got).To(Equal(tc.want))
			g.Expect(got.format(1, " s")).To(Equal(tc.text))
		})
	}
}

func TestDataRowComparesWithinPairs(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	// The machine became twice as slow after the first pair; the ratio did not change.
	pairs := []pair{
		{podkeep: usage{wall: 10 * time.Second}, plain: usage{wall: 10 * time.Second}},
		{podkeep: usage{wall: 20 * time.Second}, plain: usage{wall: 20 * time.Second}},
		{podkeep: usage{wall: 22 * time.Second}, plain: usage{wall: 20 * time.Second}},
	}

	got := dataRow("first backup", pairs, mostFirst)

	g.Expect(got.ratio).To(Equal("1.000 (1.000–1.100)"))
	g.Expect(got.verdict).To(Equal(verdictOK))
	g.Expect(dataRow("restore", pairs, noBudget).verdict).To(Equal(verdictNone))
}

func TestReportIsOneTable(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := &report{}
	r.add(row{what: "gate", measured: "3 MB", budget: "≤ 8 MB", verdict: verdictOK, detail: "20 samples"})
	r.note("notes\n")
	var out bytes.Buffer

	r.print(&out)

	g.Expect(out.String()).To(Equal("" +
		"WHAT  MEASURED  YARDSTICK  RATIO  BUDGET  RESULT  DETAIL\n" +
		"gate  3 MB      –          –      ≤ 8 MB  ok      20 samples\n" +
		"\nnotes\n"))
}

func TestTimelineSummary(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	timeline := newTimeline()
	timeline.lanes = map[string]map[string]time.Duration{
		"app-0": {stageRequested: time.Second, stageMoverRunning: 2 * time.Second, stageMoverGone: 5 * time.Second, "message": 0},
		"app-1": {stageRequested: time.Second, stageMoverRunning: 4 * time.Second},
	}

	got := timeline.summary()

	g.Expect(got).To(Equal([]stageSummary{
		{stage: stageRequested, count: 2, at: spread{1, 1, 1}},
		{stage: stageMoverRunning, count: 2, at: spread{2, 3, 4}, step: spread{1, 2, 3}, before: stageRequested},
		{stage: stageMoverGone, count: 1, at: spread{5, 5, 5}, step: spread{3, 3, 3}, before: stageMoverRunning},
		{stage: "message", count: 1, step: spread{-5, -5, -5}, before: stageMoverGone},
	}))
}

func TestTimelineNotesFirstSightOnly(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	timeline := newTimeline()
	timeline.noteWhole("phase New") // before the start
	timeline.begin(time.Now().Add(-time.Minute))
	timeline.name("request", "app-0")

	timeline.noteVolume("request", "created")
	first := timeline.lanes["app-0"]["created"]
	timeline.noteVolume("request", "created")
	timeline.noteVolume("somebody else's", "created")

	g.Expect(timeline.whole).To(BeEmpty())
	g.Expect(timeline.lanes).To(HaveLen(1))
	g.Expect(timeline.lanes["app-0"]["created"]).To(Equal(first))
}
