package backup

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
)

// report turns a step, its result and its error into phase and conditions of
// o.backup. It is the only writer of status.conditions.
func report(o observed, s step, res result, err error) {
	b := o.backup
	switch {
	case res.final != nil:
		b.Status = *res.final
	case outcome.IsTerminal(err):
		fail(b, o.now, outcome.Reason(err), oneLine(err.Error()))
	case outcome.Reason(err) != "":
		set(b, velerov1.ConditionItemsCollected, metav1.ConditionUnknown, outcome.Reason(err), oneLine(err.Error()))
	case err != nil:
		// Transient errors are retried and logged, not shown.
	default:
		reportStep(o, s, res)
	}
}

func reportStep(o observed, s step, res result) {
	b := o.backup
	switch s.action {
	case actReject:
		reject(b, o.problems)
	case actFail:
		fail(b, o.now, s.reason, s.message)
		reportClosed(b, res.closed)
	case actRetryStorage:
		set(b, velerov1.ConditionUploaded, metav1.ConditionFalse, s.reason, s.message)
	case actStart:
		begin(b, o, res.start)
		storageIsBack(b)
		set(b, velerov1.ConditionItemsCollected, metav1.ConditionUnknown, s.reason, "")
		set(b, velerov1.ConditionCompleted, metav1.ConditionUnknown, s.reason, "")
	case actCollect:
		reportCollected(b, res.collected)
	case actNothing, actCancelVolumes, actStartHooks:
		reportWaiting(o, s)
	default:
		// actAdopt and actFinish have a final status, unless the latter was
		// interrupted.
	}
}

// reportWaiting says what a backup waits for that has been started.
func reportWaiting(o observed, s step) {
	b := o.backup
	switch {
	case !isLive(b) || !isStarted(b):
		return
	case s.reason == velerov1.ReasonCanceling:
		set(b, velerov1.ConditionVolumesMoved, metav1.ConditionFalse, s.reason, joinMessages(s.message, waitingFor(o.volumes)))
	default:
		storageIsBack(b)
		set(b, velerov1.ConditionVolumesMoved, metav1.ConditionUnknown, s.reason, joinMessages(s.message, waitingFor(o.volumes)))
	}
}

// reject ends a backup that has never started.
func reject(b *velerov1.Backup, problems []string) {
	b.Status.Phase = velerov1.BackupPhaseFailedValidation
	b.Status.QueuePosition = 0
	b.Status.ValidationErrors = problems
	set(b, velerov1.ConditionCompleted, metav1.ConditionFalse, velerov1.ReasonInvalidSpec, oneLine(strings.Join(problems, "; ")))
}

// fail ends a backup that cannot be restored.
func fail(b *velerov1.Backup, now time.Time, reason, message string) {
	b.Status.Phase = velerov1.BackupPhaseFailed
	b.Status.QueuePosition = 0
	b.Status.FailureReason = message
	b.Status.CompletionTimestamp = &metav1.Time{Time: now}
	set(b, velerov1.ConditionCompleted, metav1.ConditionFalse, reason, message)
}

// reportCollected records what collecting found; nil says that another run has
// collected.
func reportCollected(b *velerov1.Backup, c *collectedFacts) {
	if c == nil {
		return
	}
	b.Status.Warnings, b.Status.Errors = c.warnings, c.errors
	b.Status.Progress = &velerov1.BackupProgress{TotalItems: c.items, ItemsBackedUp: c.items}
	if c.hooks > 0 {
		b.Status.HookStatus = &velerov1.HookStatus{} // says that there are hooks; the end counts them
	}
	set(b, velerov1.ConditionItemsCollected, metav1.ConditionTrue, velerov1.ReasonSucceeded, fmt.Sprintf("%d items", c.items))
	set(b, velerov1.ConditionVolumesMoved, metav1.ConditionUnknown, velerov1.ReasonWaitingForVolumes, "")
	set(b, velerov1.ConditionCompleted, metav1.ConditionUnknown, velerov1.ReasonWaitingForVolumes, "")
}

// reportClosed records what the end of a failed backup found; nil is nothing.
func reportClosed(b *velerov1.Backup, c *closedFacts) {
	if c == nil {
		return
	}
	b.Status.HookStatus = c.hooks
	if c.isLogged {
		b.Status.Warnings, b.Status.Errors = c.warnings, c.errors
	}
}

// conclude ends a backup that can be restored. It is applied to the copy that is
// stored, before the copy in the cluster.
func conclude(b *velerov1.Backup, now time.Time, warnings, errors int) {
	b.Status.Phase = velerov1.BackupPhaseCompleted
	b.Status.Warnings, b.Status.Errors = warnings, errors
	b.Status.CompletionTimestamp = &metav1.Time{Time: now}
	set(b, velerov1.ConditionVolumesMoved, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
	set(b, velerov1.ConditionUploaded, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
	set(b, velerov1.ConditionCompleted, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
	if errors == 0 {
		return
	}
	b.Status.Phase = velerov1.BackupPhasePartiallyFailed
	set(b, velerov1.ConditionCompleted, metav1.ConditionFalse, velerov1.ReasonPartiallyFailed,
		fmt.Sprintf("%d errors; see them with: podkeep backup describe %s", errors, b.Name))
}

// noteVolumes says in the copy that is stored whether all volumes have a
// snapshot.
func noteVolumes(b *velerov1.Backup, failed int) {
	if failed > 0 {
		set(b, velerov1.ConditionVolumesMoved, metav1.ConditionFalse, velerov1.ReasonPartiallyFailed, fmt.Sprintf("%d volumes have no snapshot", failed))
	}
}

// storageIsBack ends the time for which storage has failed, so that a later
// failure counts from its own beginning.
func storageIsBack(b *velerov1.Backup) {
	if _, failing := storageFailingSince(b); failing {
		set(b, velerov1.ConditionUploaded, metav1.ConditionUnknown, velerov1.ReasonUploading, "")
	}
}

// maxNamed is how many volumes a message names.
const maxNamed = 5

// waitingFor names the unfinished volumes, in the order of their names.
func waitingFor(volumes []velerov1.PodVolumeBackup) string {
	var names []string
	for _, v := range unfinished(volumes) {
		names = append(names, volumeName(&v))
	}
	switch {
	case len(names) == 0:
		return ""
	case len(names) > maxNamed:
		return fmt.Sprintf("waiting for %d volumes: %s, …", len(names), strings.Join(names[:maxNamed], ", "))
	default:
		return "waiting for volumes: " + strings.Join(names, ", ")
	}
}

// volumeName is how people are told which volume is meant.
func volumeName(v *velerov1.PodVolumeBackup) string {
	return v.Spec.Pod.Namespace + "/" + v.Spec.Pod.Name + " " + v.Spec.Volume
}

func joinMessages(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// summary is the end of a backup in one line, for its event.
func summary(b *velerov1.Backup) string {
	switch {
	case b.Status.FailureReason != "":
		return b.Status.FailureReason
	case len(b.Status.ValidationErrors) > 0:
		return strings.Join(b.Status.ValidationErrors, "; ")
	}
	items := 0
	if b.Status.Progress != nil {
		items = b.Status.Progress.ItemsBackedUp
	}
	return fmt.Sprintf("%d items, %d warnings, %d errors", items, b.Status.Warnings, b.Status.Errors)
}

// oneLine makes a text fit for messages: errors may have several lines.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// set leaves observedGeneration alone: the kinds have no status subresource, so
// writing it would make a new generation, and the next reconcile another one.
func set(b *velerov1.Backup, typ string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{
		Type:    typ,
		Status:  status,
		Reason:  reason,
		Message: message,
	})
}
