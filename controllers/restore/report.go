package restore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/outcome"
)

// storageRetryInterval is how often object storage that fails is tried again.
// Each try may take some seconds by itself.
const storageRetryInterval = 5 * time.Second

// storageError marks an error of object storage.
type storageError struct{ err error }

func (f storageError) Error() string { return f.err.Error() }
func (f storageError) Unwrap() error { return f.err }

// waitForStorage makes an error of object storage one that is tried again.
func waitForStorage(doing string, err error) error {
	return outcome.Waitf(locationaccess.Reason(err), storageRetryInterval, "%s: %w", doing, storageError{err})
}

// report turns the step and its error into phase and conditions. It is the only
// writer of both.
func report(r *velerov1.Restore, now time.Time, s step, err error) {
	if s.action == actNothing && s.reason == "" || s.action == actCleanUp || r.IsFinished() {
		return // a finished restore stays as it is, also while its last volumes are ended
	}
	p := reporter{restore: r, now: metav1.Time{Time: now}}
	p.storage(err)
	switch {
	case outcome.IsTerminal(err):
		p.end(failedPhase(r), outcome.Reason(err), oneLine(err.Error()))
	case err != nil:
		p.retry(err)
	default:
		p.step(s)
	}
}

// reporter writes phase and conditions of one restore.
type reporter struct {
	restore *velerov1.Restore
	now     metav1.Time
}

// storage keeps Uploaded False as long as object storage fails.
func (p reporter) storage(err error) {
	if _, failed := errors.AsType[storageError](err); failed {
		p.set(velerov1.ConditionUploaded, metav1.ConditionFalse, outcome.Reason(err), oneLine(err.Error()))
		return
	}
	if storageCondition(p.restore) != nil && err == nil {
		meta.RemoveStatusCondition(&p.restore.Status.Conditions, velerov1.ConditionUploaded)
	}
}

// retry says what is tried again. A conflict is nobody's concern.
func (p reporter) retry(err error) {
	if apierrors.IsConflict(err) {
		return
	}
	reason := outcome.Reason(err)
	if reason == "" {
		reason = velerov1.ReasonRetrying
	}
	condition := velerov1.ConditionItemsRestored
	if areItemsRestored(p.restore) {
		condition = velerov1.ConditionCompleted
	}
	status := metav1.ConditionFalse
	if condition == velerov1.ConditionCompleted {
		status = metav1.ConditionUnknown
	}
	p.set(condition, status, reason, oneLine(err.Error()))
}

func (p reporter) step(s step) {
	r := p.restore
	switch s.action {
	case actReject:
		r.Status.ValidationErrors = s.problems
		p.end(velerov1.RestorePhaseFailedValidation, s.reason, s.message)
	case actFail:
		p.end(failedPhase(r), s.reason, s.message)
	case actFinishCanceled:
		p.end(velerov1.RestorePhaseFailed, s.reason, s.message)
	case actStart:
		r.Status.Phase = velerov1.RestorePhaseInProgress
		r.Status.StartTimestamp = &p.now
		p.set(velerov1.ConditionCompleted, metav1.ConditionUnknown, s.reason, "")
		p.set(velerov1.ConditionItemsRestored, metav1.ConditionFalse, s.reason, "")
		if len(s.problems) > 0 {
			p.set(velerov1.ConditionGateConfigured, metav1.ConditionFalse, velerov1.ReasonInvalidSpec, oneLine(strings.Join(s.problems, "; ")))
		}
	case actRestoreItems:
		p.set(velerov1.ConditionItemsRestored, metav1.ConditionTrue, velerov1.ReasonSucceeded, itemsMessage(r))
		p.set(velerov1.ConditionCompleted, metav1.ConditionUnknown, velerov1.ReasonWaitingForVolumes, "")
	case actFinish:
		p.finish(s)
	default:
		if s.reason == velerov1.ReasonCanceling {
			p.set(velerov1.ConditionCancelRequested, metav1.ConditionTrue, s.reason, s.message)
		}
		p.set(velerov1.ConditionVolumesMoved, metav1.ConditionFalse, s.reason, s.message)
		p.set(velerov1.ConditionCompleted, metav1.ConditionUnknown, s.reason, "")
	}
}

func (p reporter) finish(s step) {
	r := p.restore
	p.set(velerov1.ConditionUploaded, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
	if s.reason == velerov1.ReasonTimeout {
		p.set(velerov1.ConditionVolumesMoved, metav1.ConditionFalse, s.reason, "Some volumes did not end in time; see the results")
	} else {
		p.set(velerov1.ConditionVolumesMoved, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
	}
	if r.Status.Errors > 0 {
		p.end(velerov1.RestorePhasePartiallyFailed, velerov1.ReasonPartiallyFailed,
			fmt.Sprintf("%d errors and %d warnings; see them with: podkeep restore describe %s", r.Status.Errors, r.Status.Warnings, r.Name))
		return
	}
	p.end(velerov1.RestorePhaseCompleted, velerov1.ReasonSucceeded, fmt.Sprintf("%d warnings", r.Status.Warnings))
}

// failedPhase is the phase of a restore that ends early: what has been restored
// can be used once the items are there.
func failedPhase(r *velerov1.Restore) velerov1.RestorePhase {
	if areItemsRestored(r) {
		return velerov1.RestorePhasePartiallyFailed
	}
	return velerov1.RestorePhaseFailed
}

// end sets a final phase.
func (p reporter) end(phase velerov1.RestorePhase, reason, message string) {
	r := p.restore
	r.Status.Phase = phase
	r.Status.CompletionTimestamp = &p.now
	status := metav1.ConditionFalse
	if phase == velerov1.RestorePhaseCompleted {
		status = metav1.ConditionTrue
	}
	if reason != velerov1.ReasonPartiallyFailed && reason != velerov1.ReasonInvalidSpec && status == metav1.ConditionFalse {
		r.Status.FailureReason = message
	}
	p.set(velerov1.ConditionCompleted, status, reason, message)
}

func itemsMessage(r *velerov1.Restore) string {
	if p := r.Status.Progress; p != nil {
		return fmt.Sprintf("%d of %d items are there", p.ItemsRestored, p.TotalItems)
	}
	return ""
}

// set leaves observedGeneration out: without a status subresource every patch of a
// condition makes a new generation, which would have to be reported again.
func (p reporter) set(typ string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&p.restore.Status.Conditions, metav1.Condition{
		Type:               typ,
		Status:             status,
		Reason:             reason,
		Message:            message,
		LastTransitionTime: p.now,
	})
}
