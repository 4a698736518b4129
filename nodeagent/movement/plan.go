package movement

import (
	"fmt"
	"strings"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/slots"
)

// Action is the kind of a step.
type Action string

// The actions. All are idempotent.
const (
	ActNothing   Action = "Nothing"
	ActClean     Action = "CleanUp"      // delete the mover of a finished object
	ActFinish    Action = "Finish"       // give the slot back; the report says how it ended
	ActStart     Action = "StartMover"   // make a mover pod
	ActAwaitRoom Action = "AwaitRoom"    // ask to be told when a mover may be made
	ActAwaitSlot Action = "AwaitSlot"    // stand in line for a slot
	ActGrant     Action = "GrantSlot"    // let the mover move data
	ActStop      Action = "StopMover"    // tell the mover to stop
	ActReplace   Action = "ReplaceMover" // remove a lost mover, so that another can be made
)

// Outcome is how an object ends; "" means that it has not.
type Outcome string

// The outcomes.
const (
	Completed Outcome = "Completed"
	Failed    Outcome = "Failed"
	Canceled  Outcome = "Canceled"
)

// Step is the one thing to do now, and why.
type Step struct {
	Action  Action
	Outcome Outcome // set when Action is ActFinish
	Reason  string  // condition reason; "" leaves the conditions as they are
	Message string  // for people, about the subject, without a full stop
	After   time.Duration
}

// Plan decides the next step. Each case is one row of the state table in
// docs/node-agent.md.
func Plan(f Facts) Step {
	m := f.Mover
	switch {
	case f.Finished:
		return planFinished(f)
	case m != nil && m.Foreign:
		return Step{Action: ActNothing, Reason: velerov1.ReasonPreparing, After: f.Limits.Recheck,
			Message: fmt.Sprintf("waiting for mover pod %s of another object to go", m.Name)}
	case f.Gone != nil && !f.Durable && m != nil:
		return fail(*f.Gone)
	case m != nil && m.Result != nil && isSuccess(*m.Result):
		return Step{Action: ActFinish, Outcome: Completed}
	case f.Cancel != "":
		return planCancel(f)
	case m != nil && m.Result != nil && !m.Result.Canceled:
		return planFailure(*m.Result)
	case f.Gone != nil && m != nil:
		return fail(*f.Gone)
	case m == nil:
		return planWithoutMover(f)
	case isLost(m):
		return planLost(f)
	case !m.Deleting.IsZero():
		return Step{Action: ActNothing, Reason: velerov1.ReasonMoverLost,
			Message: fmt.Sprintf("mover pod %s is being deleted, though nobody asked to cancel; waiting for it to end", m.Name)}
	case !m.Prepared:
		return planPreparing(f)
	case !m.Granted:
		return planSlot(f)
	default:
		return planMoving(f)
	}
}

// planMoving tells a mover again that has not noticed its slot.
func planMoving(f Facts) Step {
	s := Step{Action: ActNothing, Reason: velerov1.ReasonMoving, Message: "mover pod " + f.Mover.Name + " moves data"}
	if left := f.settlesIn(); f.Mover.Started && left > 0 {
		return Step{Action: ActNothing, After: left}
	}
	if f.Mover.Started {
		return s
	}
	if deadline := f.Mover.Told.Add(f.Limits.Notice); f.Now.Before(deadline) {
		s.After = deadline.Sub(f.Now)
	} else {
		s.Action, s.After = ActGrant, f.Limits.Notice
	}
	return s
}

// planFinished lets the pod of a mover that has ended stay while others work:
// taking a pod down costs as much processor time as moving a small volume.
func planFinished(f Facts) Step {
	m := f.Mover
	lingers := f.Completed.Add(f.Limits.Linger)
	switch {
	case m == nil, m.Foreign, !m.Deleting.IsZero():
		return Step{Action: ActNothing}
	case f.Busy && (m.Ended || m.Result != nil) && f.Now.Before(lingers):
		return Step{Action: ActNothing, After: lingers.Sub(f.Now)}
	default:
		return Step{Action: ActClean}
	}
}

// planCancel stops the mover and waits for it, so that nothing moves any more
// once the phase says so.
func planCancel(f Facts) Step {
	m := f.Mover
	canceled := Step{Action: ActFinish, Outcome: Canceled, Reason: velerov1.ReasonCanceled, Message: f.Cancel}
	switch {
	case m == nil, m.Ended, m.Result != nil:
		return canceled
	case m.Deleting.IsZero():
		return Step{Action: ActStop, Reason: velerov1.ReasonCanceling, Message: f.Cancel, After: f.Limits.Stop}
	case !f.Now.Before(stopDeadline(f)):
		canceled.Message = fmt.Sprintf("%s; mover pod %s did not end in time and may still run", f.Cancel, m.Name)
		return canceled
	default:
		return Step{Action: ActNothing, Reason: velerov1.ReasonCanceling, Message: f.Cancel, After: stopDeadline(f).Sub(f.Now)}
	}
}

// stopDeadline is when a mover that was told to go is not waited for any longer.
// A deletion timestamp lies in the future by the grace period.
func stopDeadline(f Facts) time.Time { return f.Mover.Deleting.Add(f.Limits.Stop) }

func isSuccess(r wire.Result) bool { return r.Error == "" && !r.Canceled && r.FailedFiles == 0 }

// planFailure says what the mover said. A snapshot without some files is a failure
// that can be restored from; the report keeps its ID.
func planFailure(r wire.Result) Step {
	s := Step{Action: ActFinish, Outcome: Failed, Reason: r.Reason, Message: r.Error}
	if s.Reason == "" {
		s.Reason = velerov1.ReasonMoverFailed
	}
	if r.FailedFiles > 0 {
		files := fmt.Sprintf("%d files failed: %s", r.FailedFiles, sample(r.Failed, r.FailedFiles))
		s.Message = strings.Join(nonEmpty(s.Message, files), "; ")
	}
	return s
}

// sample prints the names of the first of n things.
func sample(names []string, n int64) string {
	text := strings.Join(names, ", ")
	if more := n - int64(len(names)); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func planWithoutMover(f Facts) Step {
	switch {
	case len(f.Movers) >= f.Limits.Movers:
		return Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonMoverLost,
			Message: fmt.Sprintf("%d mover pods were deleted or lost before they were done", len(f.Movers))}
	case f.Blocked != nil && f.Blocked.Terminal:
		return fail(*f.Blocked)
	case f.Blocked != nil:
		return Step{Action: ActNothing, Reason: f.Blocked.Reason, Message: f.Blocked.Message, After: f.Blocked.After}
	case !f.HasRoom && f.Held:
		// The others of its group may be what the node is full of.
		return Step{Action: ActAwaitRoom, Reason: velerov1.ReasonWaitingForHooks, Message: waitingForHooks}
	case !f.HasRoom:
		return Step{Action: ActAwaitRoom, Reason: velerov1.ReasonWaitingForSlot,
			Message: "the node prepares as many other volumes as it may"}
	default:
		return Step{Action: ActStart, Reason: velerov1.ReasonPreparing, Message: preparing}
	}
}

// isLost reports whether the mover ended without doing its work or saying why: it
// was killed, or told to stop by somebody else.
func isLost(m *Mover) bool {
	return (m.Ended && m.Result == nil) || (m.Result != nil && m.Result.Canceled)
}

func planLost(f Facts) Step {
	m := f.Mover
	how := m.Ending
	if m.Result != nil {
		how = "stopped, though nobody asked to cancel"
	}
	lost := Step{Reason: velerov1.ReasonMoverLost,
		Message: fmt.Sprintf("mover pod %s, number %d of %d, was lost: %s", m.Name, max(len(f.Movers), 1), f.Limits.Movers, how)}
	replaceAt := m.Created.Add(f.Limits.Refused)
	switch {
	case len(f.Movers) >= f.Limits.Movers:
		lost.Action, lost.Outcome = ActFinish, Failed
	case !m.Ran && m.Result == nil && f.Now.Before(replaceAt):
		lost.Action, lost.After = ActNothing, replaceAt.Sub(f.Now)
	case !m.Deleting.IsZero():
		lost.Action = ActNothing
	default:
		lost.Action = ActReplace
	}
	return lost
}

func planPreparing(f Facts) Step {
	m := f.Mover
	age := f.Now.Sub(m.Created)
	switch {
	case f.Blocked != nil && f.Blocked.Terminal:
		return fail(*f.Blocked)
	case m.Stuck != "" && age >= f.Limits.Stuck:
		return Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonPrepareTimeout,
			Message: fmt.Sprintf("mover pod %s did not start within %s: %s", m.Name, f.Limits.Stuck, m.Stuck)}
	case age >= f.Limits.Prepare:
		return Step{Action: ActFinish, Outcome: Failed, Reason: velerov1.ReasonPrepareTimeout,
			Message: fmt.Sprintf("mover pod %s was not ready within %s: %s; see the events of the pod", m.Name, f.Limits.Prepare, doing(m))}
	default:
		return Step{Action: ActNothing, Reason: velerov1.ReasonPreparing, After: min(f.Limits.Recheck, f.Limits.Prepare-age),
			Message: strings.Join(nonEmpty(preparing, m.Stuck), ": ")}
	}
}

// preparing is the same from the first moment on: each new message is a write to
// the API.
const preparing = "waiting for the mover pod to be ready"

func doing(m *Mover) string {
	switch {
	case m.Doing != "":
		return m.Doing
	case !m.Running.IsZero():
		return "it opens the repository"
	default:
		return "it is not running yet"
	}
}

// waitingForHooks is what the server waits for before it runs the hooks of a held
// volume.
const waitingForHooks = "everything is ready but for the hooks that are run before"

func planSlot(f Facts) Step {
	if f.Held {
		return Step{Action: ActNothing, Reason: velerov1.ReasonWaitingForHooks, Message: waitingForHooks}
	}
	waiting := Step{Action: ActNothing, Reason: velerov1.ReasonWaitingForSlot,
		Message: fmt.Sprintf("mover pod %s is ready and waits until the node moves fewer other volumes", f.Mover.Name)}
	switch f.Slot {
	case slots.Granted:
		return Step{Action: ActGrant} // that it moves data is said when it does
	case slots.Ready:
		return waiting
	default:
		waiting.Action = ActAwaitSlot
		return waiting
	}
}

func fail(o Obstacle) Step {
	return Step{Action: ActFinish, Outcome: Failed, Reason: o.Reason, Message: o.Message}
}
