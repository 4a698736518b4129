package progressview

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

// scene is a state at a time.
type scene struct {
	seconds float64
	state   State
}

func story() []scene {
	fresh := State{Title: "Backup shop-1", Phase: "New"}
	collecting := State{
		Title: "Backup shop-1", Phase: "InProgress", Why: describe.Why{Reason: velerov1.ReasonCollecting},
		ItemsDone: 3, ItemsTotal: 312, Volumes: []describe.Volume{waiting("shop/web-0", "data", velerov1.ReasonWaitingForRepository)},
	}
	offline := shop(moving("shop/web-0", "data", 300*mebibyte))
	offline.Trouble = "the cluster does not answer, trying again: connection refused"
	done := shop(completed("shop/web-0", "data"), failed("shop/web-1", "data", "volume not found"))
	done.Finished, done.Phase, done.Why = true, "PartiallyFailed", describe.Why{Reason: "PartiallyFailed", Message: "1 errors", Problem: true}
	return []scene{
		{0, fresh}, {0.2, fresh}, {1, collecting},
		{2, shop(waiting("shop/web-0", "data", velerov1.ReasonWaitingForSlot), waiting("shop/web-1", "data", velerov1.ReasonPreparing))},
		{3, shop(moving("shop/web-0", "data", 0), waiting("shop/web-1", "data", velerov1.ReasonWaitingForSlot))},
		{5, shop(moving("shop/web-0", "data", 100*mebibyte), waiting("shop/web-1", "data", velerov1.ReasonWaitingForSlot))},
		{10, shop(moving("shop/web-0", "data", 200*mebibyte), waiting("shop/web-1", "data", velerov1.ReasonWaitingForSlot))},
		{10.2, shop(moving("shop/web-0", "data", 204*mebibyte), waiting("shop/web-1", "data", velerov1.ReasonWaitingForSlot))},
		{12, offline}, {12.2, offline},
		{20, shop(moving("shop/web-0", "data", 600*mebibyte), failed("shop/web-1", "data", "volume not found"))},
		{44, done},
	}
}

func TestLogTellsWhatChanges(t *testing.T) {
	t.Parallel()
	l, m := NewLog(start), NewMeter()
	var told []string

	for _, s := range story() {
		m.Observe(at(s.seconds), s.state)
		told = append(told, l.Lines(at(s.seconds), s.state, m)...)
	}

	expectGolden(t, "log.txt", strings.Join(told, "\n")+"\n")
}

func TestLogIsQuietWhenNothingChanges(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l, m := NewLog(start), NewMeter()
	l.Lines(start, mixed(), m)

	for i := range 9 {
		g.Expect(l.Lines(start.Add(time.Duration(i)*time.Second), mixed(), m)).To(BeEmpty())
	}
}
