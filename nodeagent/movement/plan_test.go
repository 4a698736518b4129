package movement

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/slots"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPlan(t *testing.T) {
	t.Parallel()
	waiting := &Obstacle{Reason: velerov1.ReasonWaitingForRepository, Message: "being prepared", After: time.Minute}
	hopeless := &Obstacle{Reason: velerov1.ReasonVolumeNotFound, Message: "no directory", Terminal: true}
	podGone := &Obstacle{Reason: velerov1.ReasonPodGone, Message: "the pod is gone", Terminal: true}
	tests := map[string]struct {
		facts       Facts
		want        Step
		wantMessage string // a part of it
	}{
		"finished, mover left over: clean up": {
			facts: facts(finished, with(mover())), want: Step{Action: ActClean},
		},
		"finished a moment ago, others wait: the ended mover stays": {
			facts: facts(finished, busy, with(mover(result(wire.Result{})))), want: Step{Action: ActNothing, After: 10 * time.Second},
		},
		"finished a while ago, others wait: clean up": {
			facts: facts(finished, busy, with(mover(result(wire.Result{}))), at(10*time.Second)), want: Step{Action: ActClean},
		},
		"finished, others wait, mover still runs: clean up": {
			facts: facts(finished, busy, with(mover())), want: Step{Action: ActClean},
		},
		"finished, mover on its way out: nothing": {
			facts: facts(finished, with(mover(deleting))), want: Step{Action: ActNothing},
		},
		"finished, mover of another object: nothing": {
			facts: facts(finished, with(mover(foreign))), want: Step{Action: ActNothing},
		},
		"finished: nothing": {
			facts: facts(finished), want: Step{Action: ActNothing},
		},
		"name taken by another object's mover: wait": {
			facts: facts(with(mover(foreign))),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonPreparing, After: 15 * time.Second}, wantMessage: "of another object",
		},

		"no mover, nothing in the way: start": {
			facts: facts(room), want: Step{Action: ActStart, Reason: velerov1.ReasonPreparing}, wantMessage: preparing,
		},
		"no mover, obstacle that may pass: wait": {
			facts: facts(room, blocked(waiting)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonWaitingForRepository, After: time.Minute}, wantMessage: "being prepared",
		},
		"no mover, obstacle for good: fail": {
			facts: facts(room, blocked(hopeless)),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonVolumeNotFound}, wantMessage: "no directory",
		},
		"no mover, queue full: ask for room": {
			facts: facts(), want: Step{Action: ActAwaitRoom, Reason: velerov1.ReasonWaitingForSlot}, wantMessage: "as many other volumes",
		},
		"no mover any more, tries left: start again": {
			facts: facts(room, made("a", "b")), want: Step{Action: ActStart, Reason: velerov1.ReasonPreparing}, wantMessage: preparing,
		},
		"no mover any more, no tries left: fail": {
			facts: facts(room, made("a", "b", "c")),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonMoverLost}, wantMessage: "3 mover pods",
		},

		"mover not ready: wait and look at the preconditions now and then": {
			facts: facts(with(mover())),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonPreparing, After: 15 * time.Second}, wantMessage: preparing,
		},
		"mover not ready, volume gone meanwhile: fail": {
			facts: facts(with(mover()), blocked(hopeless), at(time.Minute)),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonVolumeNotFound}, wantMessage: "no directory",
		},
		"mover not ready, repository not ready meanwhile: still wait": {
			facts: facts(with(mover()), blocked(waiting), at(time.Minute)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonPreparing, After: 15 * time.Second}, wantMessage: preparing,
		},
		"mover without image: say so and wait": {
			facts: facts(with(mover(stuck)), at(time.Minute)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonPreparing, After: 15 * time.Second}, wantMessage: "ImagePullBackOff",
		},
		"mover without image for two minutes: fail": {
			facts: facts(with(mover(stuck)), at(2*time.Minute)),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonPrepareTimeout}, wantMessage: "within 2m0s: ImagePullBackOff",
		},
		"mover not ready just before the timeout: wait until then": {
			facts: facts(with(mover()), at(29*time.Minute+55*time.Second)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonPreparing, After: 5 * time.Second}, wantMessage: preparing,
		},
		"mover not ready at the timeout: fail": {
			facts: facts(with(mover(runs)), at(30*time.Minute)),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonPrepareTimeout}, wantMessage: "it opens the repository",
		},

		"mover ready, no place in line: stand in line": {
			facts: facts(with(mover(prepared)), standing(slots.Preparing)),
			want:  Step{Action: ActAwaitSlot, Reason: velerov1.ReasonWaitingForSlot}, wantMessage: "is ready and waits",
		},
		"mover ready, in line: wait without end": {
			facts: facts(with(mover(prepared)), standing(slots.Ready), at(24*time.Hour)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonWaitingForSlot}, wantMessage: "is ready and waits",
		},
		"mover ready, slot held: grant": {
			facts: facts(with(mover(prepared)), standing(slots.Granted)),
			want:  Step{Action: ActGrant},
		},
		"mover has just started: not worth a write yet": {
			facts: facts(with(mover(prepared, granted, started, begun(t0))), standing(slots.Granted), at(100*time.Millisecond)),
			want:  Step{Action: ActNothing, After: DefaultLimits().Settle - 100*time.Millisecond},
		},
		"mover has moved data for a while: say so": {
			facts: facts(with(mover(prepared, granted, started, begun(t0))), standing(slots.Granted), at(DefaultLimits().Settle)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonMoving}, wantMessage: "moves data",
		},
		"mover has not noticed its slot: tell it again": {
			facts: facts(with(mover(prepared, granted, toldAt(t0))), standing(slots.Granted), at(time.Second)),
			want:  Step{Action: ActGrant, Reason: velerov1.ReasonMoving, After: time.Second}, wantMessage: "moves data",
		},
		"mover was told of its slot a moment ago: wait": {
			facts: facts(with(mover(prepared, granted, toldAt(t0))), standing(slots.Granted), at(400*time.Millisecond)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonMoving, After: 600 * time.Millisecond}, wantMessage: "moves data",
		},
		"mover moves data: wait": {
			facts: facts(with(mover(prepared, granted, started)), standing(slots.Granted)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonMoving}, wantMessage: "moves data",
		},

		"result ok: completed": {
			facts: facts(with(mover(result(wire.Result{SnapshotID: "k1"})))),
			want:  Step{Action: ActFinish, Outcome: Completed},
		},
		"result ok although cancel was asked: completed": {
			facts: facts(with(mover(deleting, result(wire.Result{SnapshotID: "k1"}))), cancel),
			want:  Step{Action: ActFinish, Outcome: Completed},
		},
		"result with error: failed for the mover's reason": {
			facts: facts(with(mover(result(wire.Result{Error: "no space left", Reason: velerov1.ReasonTargetFull})))),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonTargetFull}, wantMessage: "no space left",
		},
		"result with error and no reason: mover failed": {
			facts: facts(with(mover(result(wire.Result{Error: "boom"})))),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonMoverFailed}, wantMessage: "boom",
		},
		"result without some files: failed, and says which": {
			facts: facts(with(mover(result(wire.Result{SnapshotID: "k1", FailedFiles: 3, Failed: []string{"a", "b"}})))),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonMoverFailed}, wantMessage: "3 files failed: a, b and 1 more",
		},

		"cancel before there is a mover: canceled": {
			facts: facts(cancel, room, blocked(hopeless)),
			want:  Step{Action: ActFinish, Outcome: Canceled, Reason: velerov1.ReasonCanceled}, wantMessage: "on request",
		},
		"cancel while the mover is not ready: stop it": {
			facts: facts(cancel, with(mover())),
			want:  Step{Action: ActStop, Reason: velerov1.ReasonCanceling, After: 30 * time.Second}, wantMessage: "on request",
		},
		"cancel while the mover waits for a slot: stop it": {
			facts: facts(cancel, with(mover(prepared)), standing(slots.Ready)),
			want:  Step{Action: ActStop, Reason: velerov1.ReasonCanceling, After: 30 * time.Second}, wantMessage: "on request",
		},
		"cancel while data moves: stop it": {
			facts: facts(cancel, with(mover(prepared, granted, started))),
			want:  Step{Action: ActStop, Reason: velerov1.ReasonCanceling, After: 30 * time.Second}, wantMessage: "on request",
		},
		"canceling, mover still ends: wait": {
			facts: facts(cancel, with(mover(deleting)), at(10*time.Second)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonCanceling, After: 25 * time.Second}, wantMessage: "on request",
		},
		"canceling, mover says canceled: canceled": {
			facts: facts(cancel, with(mover(deleting, result(wire.Result{Canceled: true})))),
			want:  Step{Action: ActFinish, Outcome: Canceled, Reason: velerov1.ReasonCanceled}, wantMessage: "on request",
		},
		"canceling, mover fails: canceled": {
			facts: facts(cancel, with(mover(deleting, result(wire.Result{Error: "context canceled"})))),
			want:  Step{Action: ActFinish, Outcome: Canceled, Reason: velerov1.ReasonCanceled}, wantMessage: "on request",
		},
		"canceling, mover ended without a word: canceled": {
			facts: facts(cancel, with(mover(deleting, ended))),
			want:  Step{Action: ActFinish, Outcome: Canceled, Reason: velerov1.ReasonCanceled}, wantMessage: "on request",
		},
		"canceling, mover does not end: canceled, and says so": {
			facts: facts(cancel, with(mover(deleting)), at(35*time.Second)),
			want:  Step{Action: ActFinish, Outcome: Canceled, Reason: velerov1.ReasonCanceled}, wantMessage: "may still run",
		},

		"mover killed, tries left: replace it": {
			facts: facts(made("a"), with(mover(prepared, granted, started, ended))),
			want:  Step{Action: ActReplace, Reason: velerov1.ReasonMoverLost}, wantMessage: "number 1 of 3, was lost: OOMKilled, exit code 137",
		},
		"mover killed, no tries left: fail": {
			facts: facts(made("a", "b", "c"), with(mover(prepared, granted, started, ended))),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonMoverLost}, wantMessage: "OOMKilled, exit code 137",
		},
		"mover killed and being removed: wait": {
			facts: facts(made("a"), with(mover(ended, deleting))),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonMoverLost}, wantMessage: "was lost",
		},
		"mover refused by the node: wait before replacing it": {
			facts: facts(made("a"), with(mover(ended, neverRan)), at(5*time.Second)),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonMoverLost, After: 10 * time.Second}, wantMessage: "was lost",
		},
		"mover refused by the node a while ago: replace it": {
			facts: facts(made("a"), with(mover(ended, neverRan)), at(15*time.Second)),
			want:  Step{Action: ActReplace, Reason: velerov1.ReasonMoverLost}, wantMessage: "was lost",
		},
		"mover stopped by somebody else: lost": {
			facts: facts(made("a"), with(mover(result(wire.Result{Canceled: true})))),
			want:  Step{Action: ActReplace, Reason: velerov1.ReasonMoverLost}, wantMessage: "nobody asked",
		},
		"mover being deleted by somebody else: wait for its end": {
			facts: facts(made("a"), with(mover(prepared, granted, deleting))),
			want:  Step{Action: ActNothing, Reason: velerov1.ReasonMoverLost}, wantMessage: "nobody asked to cancel",
		},

		"pod gone with its volume, even if the mover says ok: fail": {
			facts: facts(gone(podGone), with(mover(result(wire.Result{SnapshotID: "k1"})))),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonPodGone}, wantMessage: "the pod is gone",
		},
		"pod gone, volume stays, mover says ok: completed": {
			facts: facts(gone(podGone), durable, with(mover(result(wire.Result{SnapshotID: "k1"})))),
			want:  Step{Action: ActFinish, Outcome: Completed},
		},
		"pod gone while the mover works: fail": {
			facts: facts(gone(podGone), durable, with(mover(prepared, granted, started))),
			want:  Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonPodGone}, wantMessage: "the pod is gone",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := Plan(tc.facts)

			g.Expect(got.Message).To(ContainSubstring(tc.wantMessage))
			got.Message = ""
			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestPlanIsStable(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	first := Plan(facts(with(mover()), at(time.Second)))
	later := Plan(facts(with(mover()), at(20*time.Second)))

	g.Expect(later.Message).To(Equal(first.Message), "a message that counts seconds would be written each time")
}

func facts(mods ...func(*Facts)) Facts {
	f := Facts{Now: t0, Limits: DefaultLimits(), Subject: "volume data of pod shop/db-0"}
	for _, mod := range mods {
		mod(&f)
	}
	return f
}

func finished(f *Facts) { f.Finished, f.Completed = true, t0 }

func busy(f *Facts)    { f.Busy = true }
func room(f *Facts)    { f.HasRoom = true }
func durable(f *Facts) { f.Durable = true }
func cancel(f *Facts)  { f.Cancel = "canceled on request (spec.cancel)" }

func blocked(o *Obstacle) func(*Facts)       { return func(f *Facts) { f.Blocked = o } }
func gone(o *Obstacle) func(*Facts)          { return func(f *Facts) { f.Gone = o } }
func with(m *Mover) func(*Facts)             { return func(f *Facts) { f.Mover = m } }
func at(d time.Duration) func(*Facts)        { return func(f *Facts) { f.Now = t0.Add(d) } }
func standing(s slots.Standing) func(*Facts) { return func(f *Facts) { f.Slot = s } }
func made(uids ...types.UID) func(*Facts)    { return func(f *Facts) { f.Movers = uids } }

func mover(mods ...func(*Mover)) *Mover {
	m := &Mover{Namespace: "velero", Name: "nightly-1", UID: "pod-1", Created: t0}
	for _, mod := range mods {
		mod(m)
	}
	return m
}

func foreign(m *Mover)  { m.Foreign = true }
func runs(m *Mover)     { m.Running = t0; m.Ran = true }
func prepared(m *Mover) { m.Prepared = true }
func granted(m *Mover)  { m.Granted = true }
func started(m *Mover)  { m.Started = true }

func begun(t time.Time) func(*Mover) { return func(m *Mover) { m.Begun = t } }
func stuck(m *Mover)                 { m.Stuck = "ImagePullBackOff: back-off pulling image" }
func deleting(m *Mover)              { m.Deleting = t0.Add(5 * time.Second) }
func ended(m *Mover)                 { m.Ended = true; m.Ran = true; m.Ending = "OOMKilled, exit code 137" }
func neverRan(m *Mover)              { m.Ran = false; m.Ending = "OutOfpods" }

func result(r wire.Result) func(*Mover) { return func(m *Mover) { m.Result = &r } }

func toldAt(t time.Time) func(*Mover) { return func(m *Mover) { m.Told = t } }
