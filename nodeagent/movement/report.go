package movement

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
)

// Phases. A PodVolumeBackup and a PodVolumeRestore have the same ones.
const (
	phaseNew        = string(velerov1.PodVolumeBackupPhaseNew)
	phaseAccepted   = string(velerov1.PodVolumeBackupPhaseAccepted)
	phasePrepared   = string(velerov1.PodVolumeBackupPhasePrepared)
	phaseInProgress = string(velerov1.PodVolumeBackupPhaseInProgress)
	phaseCanceling  = string(velerov1.PodVolumeBackupPhaseCanceling)
	phaseCanceled   = string(velerov1.PodVolumeBackupPhaseCanceled)
	phaseCompleted  = string(velerov1.PodVolumeBackupPhaseCompleted)
	phaseFailed     = string(velerov1.PodVolumeBackupPhaseFailed)
)

// Status is what the status of a PodVolumeBackup and that of a PodVolumeRestore
// have in common.
type Status struct {
	Phase        string
	Message      string
	Accepted     *metav1.Time
	Started      *metav1.Time
	Completed    *metav1.Time
	Progress     velerov1.DataMoveOperationProgress
	SkippedFiles int64
	Conditions   []metav1.Condition
}

// WasReady reports whether the status says that the mover is ready.
func (s Status) WasReady() bool {
	return meta.IsStatusConditionTrue(s.Conditions, velerov1.ConditionMoverReady)
}

// Report is what a step, and the error of carrying it out, did to an object.
type Report struct {
	Facts   Facts
	Step    Step
	Err     error
	Success string // reason of success
}

// Apply returns the status after the report. It is the only place that derives a
// phase. An error that is merely retried changes nothing but what the facts say
// already, so that conditions do not flap.
func (r Report) Apply(s Status) Status {
	if r.Facts.Finished {
		return s
	}
	step := r.effectiveStep()
	now := metav1.NewTime(r.Facts.Now)
	s.Conditions = append([]metav1.Condition(nil), s.Conditions...)
	r.applyMover(&s, step, now)

	if step.Outcome != "" {
		r.applyOutcome(&s, step, now)
	} else if r.Err == nil || outcome.Reason(r.Err) != "" {
		r.set(&s, velerov1.ConditionCompleted, metav1.ConditionUnknown, step)
	}
	s.Phase = r.phaseOf(s, step)
	return s
}

// effectiveStep is what came of the step: an error that will not pass ends the
// object, one that will pass is waited for.
func (r Report) effectiveStep() Step {
	reason := outcome.Reason(r.Err)
	switch {
	case outcome.IsTerminal(r.Err):
		return Step{Action: ActFinish, Outcome: Failed, Reason: reason, Message: r.Err.Error()}
	case reason != "":
		return Step{Action: ActNothing, Reason: reason, Message: r.Err.Error()}
	case r.Err != nil:
		return Step{Action: ActNothing}
	default:
		return r.Step
	}
}

// applyMover writes down what is known of the mover.
func (r Report) applyMover(s *Status, step Step, now metav1.Time) {
	m := r.Facts.Mover
	if m == nil || m.Foreign {
		if step.Action == ActStart {
			s.Accepted = first(s.Accepted, now)
			r.set(s, velerov1.ConditionMoverReady, metav1.ConditionFalse, step)
		}
		return
	}
	s.Accepted = first(s.Accepted, now)
	if m.Prepared {
		r.set(s, velerov1.ConditionMoverReady, metav1.ConditionTrue,
			Step{Reason: velerov1.ReasonSucceeded, Message: "mover pod " + m.Name + " is ready"})
	} else if step.Reason != "" && step.Outcome == "" {
		r.set(s, velerov1.ConditionMoverReady, metav1.ConditionFalse, step)
	}
	if m.Result == nil && r.Facts.settlesIn() > 0 {
		return
	}
	if m.Started || (m.Result != nil && m.Result.Error == "") {
		s.Started = first(s.Started, startOf(m, now))
	}
	if p := m.Progress; p.DoneBytes > 0 || p.TotalBytes > 0 {
		s.Progress = velerov1.DataMoveOperationProgress{TotalBytes: p.TotalBytes, BytesDone: p.DoneBytes}
	}
}

func (r Report) applyOutcome(s *Status, step Step, now metav1.Time) {
	s.Started = first(s.Started, now)
	s.Completed = first(s.Completed, now)
	status := metav1.ConditionFalse
	s.Message = r.Facts.Subject + ": " + step.Message
	if step.Outcome == Completed {
		status = metav1.ConditionTrue
		step.Reason, step.Message = r.Success, ""
		s.Message = ""
		r.applyResult(s)
	} else {
		step.Message = s.Message
	}
	r.set(s, velerov1.ConditionCompleted, status, step)
}

// applyResult takes over what the mover said at its successful end.
func (r Report) applyResult(s *Status) {
	result := r.Facts.Mover.Result
	s.Progress = velerov1.DataMoveOperationProgress{TotalBytes: result.TotalBytes, BytesDone: result.TotalBytes}
	s.SkippedFiles = result.SkippedFiles
	s.Message = Remarks(r.Facts.Subject, *result)
}

// set leaves observedGeneration alone: the kinds have no status subresource, so
// writing it would make a new generation, and the next reconcile another one.
func (r Report) set(s *Status, conditionType string, status metav1.ConditionStatus, step Step) {
	if step.Reason == "" {
		return
	}
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type:               conditionType,
		Status:             status,
		Reason:             step.Reason,
		Message:            step.Message,
		LastTransitionTime: metav1.NewTime(r.Facts.Now),
	})
}

// phaseOf is where the object stands, as Velero says it. What was reached once is
// kept in the times and conditions, so that a new node agent, or a second mover,
// does not turn it back.
func (r Report) phaseOf(s Status, step Step) string {
	switch {
	case step.Outcome == Completed:
		return phaseCompleted
	case step.Outcome == Failed:
		return phaseFailed
	case step.Outcome == Canceled:
		return phaseCanceled
	case r.Facts.Cancel != "" && r.Facts.Mover != nil:
		return phaseCanceling
	case s.Started != nil:
		return phaseInProgress
	case s.WasReady():
		return phasePrepared
	case s.Accepted != nil:
		return phaseAccepted
	case s.Phase == "":
		return "" // as its creator made it
	default:
		return phaseNew
	}
}

// MoversAfter returns the value of velerov1.MoversAnnotation once a mover with this UID was
// made or found; "" means none.
func MoversAfter(f Facts, made string) string {
	uids := f.Movers
	if made == "" && f.Mover != nil && !f.Mover.Foreign {
		made = string(f.Mover.UID)
	}
	for _, uid := range uids {
		if string(uid) == made {
			made = ""
		}
	}
	text := formatMovers(uids)
	switch {
	case made == "":
		return text
	case text == "":
		return made
	default:
		return text + "," + made
	}
}

// startOf is when the mover began to move data, as far as anybody knows.
func startOf(m *Mover, now metav1.Time) metav1.Time {
	if m.Begun.IsZero() {
		return now
	}
	return metav1.NewTime(m.Begun)
}

func first(t *metav1.Time, now metav1.Time) *metav1.Time {
	if t != nil {
		return t
	}
	return &now
}
