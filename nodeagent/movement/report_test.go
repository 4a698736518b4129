package movement

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/wire"
)

func TestPhaseFollowsTheFacts(t *testing.T) {
	t.Parallel()
	accepted := Status{Phase: phaseAccepted, Accepted: &metav1.Time{Time: t0}}
	inProgress := Status{Phase: phaseInProgress, Accepted: accepted.Accepted, Started: accepted.Accepted}
	tests := map[string]struct {
		status Status
		facts  Facts
		err    error
		want   string
	}{
		"nothing made yet":                   {facts: facts(), want: ""},
		"nothing made yet, New":              {status: Status{Phase: phaseNew}, facts: facts(), want: phaseNew},
		"mover just made":                    {facts: facts(room), want: phaseAccepted},
		"mover lost the race for room":       {facts: facts(room), err: outcome.Waitf("WaitingForSlot", time.Second, "full"), want: ""},
		"mover could not be made for now":    {facts: facts(room), err: errors.New("boom"), want: ""},
		"mover not ready":                    {status: accepted, facts: facts(with(mover())), want: phaseAccepted},
		"mover ready":                        {status: accepted, facts: facts(with(mover(prepared))), want: phasePrepared},
		"mover granted":                      {status: accepted, facts: facts(with(mover(prepared, granted))), want: phasePrepared},
		"mover started":                      {status: accepted, facts: facts(with(mover(prepared, granted, started))), want: phaseInProgress},
		"mover started a moment ago":         {status: accepted, facts: facts(with(mover(prepared, granted, started, begun(t0)))), want: phasePrepared},
		"mover started, seen by a new agent": {status: inProgress, facts: facts(with(mover(granted))), want: phaseInProgress},
		"second mover":                       {status: inProgress, facts: facts(made("a"), room), want: phaseInProgress},
		"canceling":                          {status: inProgress, facts: facts(cancel, with(mover(prepared))), want: phaseCanceling},
		"canceled":                           {status: inProgress, facts: facts(cancel), want: phaseCanceled},
		"completed":                          {status: inProgress, facts: facts(with(mover(result(wire.Result{})))), want: phaseCompleted},
		"failed":                             {status: inProgress, facts: facts(with(mover(result(wire.Result{Error: "x"})))), want: phaseFailed},
		"mover can never be made":            {facts: facts(room), err: outcome.Terminalf("InvalidSpec", "bad"), want: phaseFailed},
		"finished objects are not looked at": {status: Status{Phase: phaseFailed}, facts: facts(finished, with(mover())), want: phaseFailed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := Report{Facts: tc.facts, Step: Plan(tc.facts), Err: tc.err}.Apply(tc.status)

			g.Expect(got.Phase).To(Equal(tc.want))
		})
	}
}

func TestReportOfAFailureNamesTheVolumeAndSetsAllTimes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	f := facts(room, blocked(&Obstacle{Terminal: true, Reason: velerov1.ReasonVolumeNotFound, Message: "no directory"}))

	got := Report{Facts: f, Step: Plan(f)}.Apply(Status{})

	g.Expect(got.Message).To(Equal("volume data of pod shop/db-0: no directory"))
	g.Expect(got.Started).NotTo(BeNil())
	g.Expect(got.Completed).NotTo(BeNil())
	c := meta.FindStatusCondition(got.Conditions, velerov1.ConditionCompleted)
	g.Expect(c.Status).To(Equal(metav1.ConditionFalse))
	g.Expect(c.Reason).To(Equal(velerov1.ReasonVolumeNotFound))
	g.Expect(c.Message).To(Equal(got.Message))
	g.Expect(c.ObservedGeneration).To(BeZero(), "without a status subresource it would never come to rest")
}

func TestReportOfASuccessCountsAndRemarks(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	f := facts(with(mover(prepared, granted, started, result(wire.Result{
		TotalBytes: 100, SkippedFiles: 2, Skipped: []string{"pipe", "socket"}, LostAttributes: 3, Lost: []string{"owner of x"},
	}))))

	got := Report{Facts: f, Step: Plan(f), Success: velerov1.ReasonSnapshotTaken}.Apply(Status{Message: "left over"})

	g.Expect(got.Progress).To(Equal(velerov1.DataMoveOperationProgress{TotalBytes: 100, BytesDone: 100}))
	g.Expect(got.SkippedFiles).To(BeEquivalentTo(2))
	g.Expect(got.Message).To(Equal("volume data of pod shop/db-0: 2 entries are pipes, sockets or devices and were skipped: pipe, socket; " +
		"3 attributes could not be set: owner of x and 2 more"))
	c := meta.FindStatusCondition(got.Conditions, velerov1.ConditionCompleted)
	g.Expect(c.Status).To(Equal(metav1.ConditionTrue))
	g.Expect(c.Reason).To(Equal(velerov1.ReasonSnapshotTaken))
}

func TestReportTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Facts{
		"waiting for room": facts(),
		"preparing":        facts(with(mover())),
		"moving":           facts(with(mover(prepared, granted, started))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			once := Report{Facts: f, Step: Plan(f)}.Apply(Status{})
			f.Now = f.Now.Add(20 * time.Second)

			twice := Report{Facts: f, Step: Plan(f)}.Apply(once)

			g.Expect(twice).To(Equal(once))
		})
	}
}

func TestErrorThatIsRetriedIsNotShown(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	f := facts(with(mover()))
	before := Report{Facts: f, Step: Plan(f)}.Apply(Status{})

	after := Report{Facts: f, Step: Plan(f), Err: errors.New("connection refused")}.Apply(before)

	g.Expect(after).To(Equal(before))
}
