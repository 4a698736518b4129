package backup

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/volumestop"
)

// cancelGrace is how long canceled volumes may take to stop after the timeout.
// Movers stop within seconds; a node that is gone for minutes will not tell.
const cancelGrace = 5 * time.Minute

// cancelPatience is how long a backup that somebody cancels waits for its volumes
// to stop. It is short, because people wait too: after it, the backup says which
// volumes have not confirmed.
const cancelPatience = 30 * time.Second

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	backup *velerov1.Backup
	now    time.Time

	// problems are what is wrong with the spec or with the location it names. They
	// are looked for only before the start.
	problems []string

	// location is the name of the location the backup goes to.
	location string

	// volumes are the pod volume backups of this backup.
	volumes []velerov1.PodVolumeBackup

	// hooks are the hooks of this backup and, for their turn, of others.
	hooks hookFacts

	// stored is the final backup of this name in object storage, or nil. It is
	// looked for only before the start and before the end (needsStored).
	stored *velerov1.Backup

	// storageErr says why object storage could not be asked for stored.
	storageErr error

	// volumeTimeout bounds the time from the start to the end of all volumes,
	// storageTimeout the time for which object storage may fail.
	volumeTimeout  time.Duration
	storageTimeout time.Duration
}

type action string

const (
	actNothing       action = "Nothing"
	actReject        action = "Reject"
	actFail          action = "Fail"
	actStart         action = "Start"
	actCollect       action = "Collect"
	actStartHooks    action = "StartHooks"
	actCancelVolumes action = "CancelVolumes"
	actFinish        action = "Finish"
	actAdopt         action = "AdoptStored"
	actRetryStorage  action = "RetryStorage"
)

// step is the one thing to do now, and why.
type step struct {
	action  action
	reason  string        // condition reason, from api/velero/v1
	message string        // for people; says what the reason leaves out
	after   time.Duration // look again after; 0 means when a watched object changes
}

// plan decides the next step. Each case is one row of the state table in
// docs/backup.md.
func plan(o observed) step {
	b := o.backup
	switch {
	case b.DeletionTimestamp != nil || isOthers(b):
		return step{action: actNothing}
	case b.Status.Phase == velerov1.BackupPhaseFailed && len(toCancel(o.volumes)) > 0:
		return step{action: actCancelVolumes, reason: velerov1.ReasonFailed}
	case b.IsFinished():
		return step{action: actNothing}
	case isCanceled(b):
		return cancelStep(o)
	case len(o.problems) > 0:
		return step{action: actReject, reason: velerov1.ReasonInvalidSpec, message: strings.Join(o.problems, "; ")}
	case !isStarted(b) && !isReady(b):
		return step{action: actNothing}
	case o.storageErr != nil:
		return storageStep(o)
	case isStored(o):
		return step{action: actAdopt}
	case o.stored != nil:
		return step{action: actFail, reason: velerov1.ReasonBackupExists, message: messageExists}
	case !isStarted(b):
		return step{action: actStart, reason: velerov1.ReasonCollecting}
	case !isCollected(b):
		return step{action: actCollect, reason: velerov1.ReasonCollecting}
	default:
		return volumesStep(o)
	}
}

// cancelStep is the part of plan for a backup that somebody wants to end. What is
// stored already is no longer canceled.
func cancelStep(o observed) step {
	canceling := step{reason: velerov1.ReasonCanceling, message: "canceling on request of " + canceler(o.backup)}
	overdue := cancelingSince(o.backup, o.now).Add(cancelPatience)
	switch {
	case isStored(o):
		return step{action: actAdopt}
	case len(toCancel(o.volumes)) > 0:
		canceling.action = actCancelVolumes
		return canceling
	case (len(unfinished(o.volumes)) > 0 || pendingHooks(o) > 0) && o.now.Before(overdue):
		canceling.action, canceling.after = actNothing, overdue.Sub(o.now)
		return canceling
	default:
		return step{action: actFail, reason: velerov1.ReasonCanceled, message: canceledMessage(o)}
	}
}

func canceledMessage(o observed) string {
	message := "canceled by " + canceler(o.backup)
	if n := len(unfinished(o.volumes)); n > 0 {
		message += fmt.Sprintf("; %d volumes were told to stop and have not confirmed it", n)
	}
	return message
}

// isCanceled reports whether somebody has asked for the end of the backup.
func isCanceled(b *velerov1.Backup) bool {
	_, ok := b.Annotations[velerov1.CancelRequestedByAnnotation]
	return ok
}

// canceler is who has asked for the end of the backup.
func canceler(b *velerov1.Backup) string {
	return cmp.Or(oneLine(b.Annotations[velerov1.CancelRequestedByAnnotation]), "an unnamed user")
}

// cancelingSince is when the volumes were told to stop; now, when that has not
// been written down yet.
func cancelingSince(b *velerov1.Backup, now time.Time) time.Time {
	c := meta.FindStatusCondition(b.Status.Conditions, velerov1.ConditionVolumesMoved)
	if c == nil || c.Reason != velerov1.ReasonCanceling {
		return now
	}
	return c.LastTransitionTime.Time
}

// isStored reports whether an earlier run has come to the end of this backup.
func isStored(o observed) bool { return o.stored != nil && o.stored.UID == o.backup.UID }

// messageExists is Velero's text, which scripts look for.
const messageExists = "backup already exists in object storage"

// volumesStep is the part of plan between the end of collecting and the end of
// the backup.
func volumesStep(o observed) step {
	deadline := o.backup.Status.StartTimestamp.Add(o.volumeTimeout)
	switch {
	case len(unfinished(o.volumes)) == 0 && pendingHooks(o) == 0:
		return step{action: actFinish, reason: velerov1.ReasonUploading}
	case o.now.Before(deadline):
		return hooksStep(o, step{action: actNothing, reason: velerov1.ReasonWaitingForVolumes, after: deadline.Sub(o.now)})
	case !o.now.Before(deadline.Add(cancelGrace)):
		return step{action: actFinish, reason: velerov1.ReasonTimeout}
	case len(toCancel(o.volumes)) > 0:
		return step{action: actCancelVolumes, reason: velerov1.ReasonTimeout, message: timeoutMessage(o)}
	default:
		return step{
			action: actNothing, reason: velerov1.ReasonTimeout, message: timeoutMessage(o),
			after: deadline.Add(cancelGrace).Sub(o.now),
		}
	}
}

func timeoutMessage(o observed) string {
	return fmt.Sprintf("timed out after %s waiting for all volumes", o.volumeTimeout)
}

// storageRetryInterval is how often object storage that fails is tried again.
// Each try may take some seconds by itself.
const storageRetryInterval = 5 * time.Second

// storageStep tries again until storage has failed for storageTimeout. The time
// of the first failure is in the condition Uploaded. Before anything has been
// done there is no point in waiting for what only people can mend.
func storageStep(o observed) step {
	if !isStarted(o.backup) && isPermanent(o.storageErr) {
		return step{action: actFail, reason: reasonOf(o.storageErr), message: oneLine(o.storageErr.Error())}
	}
	since, failing := storageFailingSince(o.backup)
	if failing && !o.now.Before(since.Add(o.storageTimeout)) {
		return step{
			action: actFail, reason: reasonOf(o.storageErr),
			message: fmt.Sprintf("object storage failed for %s: %s", o.storageTimeout, oneLine(o.storageErr.Error())),
		}
	}
	return step{
		action: actRetryStorage, reason: reasonOf(o.storageErr), message: oneLine(o.storageErr.Error()),
		after: storageRetryInterval,
	}
}

func storageFailingSince(b *velerov1.Backup) (time.Time, bool) {
	c := meta.FindStatusCondition(b.Status.Conditions, velerov1.ConditionUploaded)
	if c == nil || c.Status != metav1.ConditionFalse {
		return time.Time{}, false
	}
	return c.LastTransitionTime.Time, true
}

// isOthers reports whether the backup is in the hands of another controller: of
// the deletion, or of a real Velero that has left it in the middle.
func isOthers(b *velerov1.Backup) bool {
	switch b.Status.Phase {
	case velerov1.BackupPhaseDeleting,
		velerov1.BackupPhaseWaitingForPluginOperations,
		velerov1.BackupPhaseWaitingForPluginOperationsPartiallyFailed,
		velerov1.BackupPhaseFinalizing,
		velerov1.BackupPhaseFinalizingPartiallyFailed:
		return true
	default:
		return false
	}
}

// isReady reports whether the queue has let the backup go.
func isReady(b *velerov1.Backup) bool { return b.Status.Phase == velerov1.BackupPhaseReadyToStart }

func isStarted(b *velerov1.Backup) bool { return b.Status.StartTimestamp != nil }

func isCollected(b *velerov1.Backup) bool {
	return meta.IsStatusConditionTrue(b.Status.Conditions, velerov1.ConditionItemsCollected)
}

// isLive reports whether this controller still has work to do for the backup.
func isLive(b *velerov1.Backup) bool {
	return b.DeletionTimestamp == nil && !isOthers(b) && !b.IsFinished()
}

// needsStored reports whether the step depends on what object storage has under
// the backup's name: before anything is written there, and before the end, when
// an earlier run may have come further than its status says.
func needsStored(o observed) bool {
	b := o.backup
	switch {
	case !isLive(b), len(o.problems) > 0:
		return false
	case !isStarted(b):
		return isReady(b) && !isCanceled(b)
	case isCanceled(b):
		return isCollected(b) && len(unfinished(o.volumes)) == 0
	default:
		return isCollected(b) && volumesStep(o).action == actFinish
	}
}

// unfinished returns the volumes whose data still moves, or waits to.
func unfinished(volumes []velerov1.PodVolumeBackup) []velerov1.PodVolumeBackup {
	var u []velerov1.PodVolumeBackup
	for _, v := range volumes {
		if !v.IsFinished() {
			u = append(u, v)
		}
	}
	return u
}

// toCancel returns the unfinished volumes that have not been told to stop, or to
// which nobody will answer.
func toCancel(volumes []velerov1.PodVolumeBackup) []*velerov1.PodVolumeBackup {
	var c []*velerov1.PodVolumeBackup
	for i := range volumes {
		if volumestop.MustStop(&volumes[i]) {
			c = append(c, &volumes[i])
		}
	}
	return c
}
