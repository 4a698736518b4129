package deletion

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// keepProcessed is how long a processed request is kept, as in Velero.
	keepProcessed = 24 * time.Hour

	// lookAgain is the safety net of waits whose end is an event.
	lookAgain = 30 * time.Second

	// goOn is the pause before the next step of a request that moves on.
	goOn = time.Millisecond

	// locationRetry is how often a location that was available before is looked at
	// again. Its return is an event, too.
	locationRetry = 10 * time.Second
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	request *velerov1.DeleteBackupRequest
	now     time.Time

	// others are the other requests for the same backup.
	others []velerov1.DeleteBackupRequest

	// backup is nil when there is none.
	backup *velerov1.Backup

	// location is that of the backup, nil when it does not exist.
	location *velerov1.BackupStorageLocation

	// restores are those of the backup.
	restores []velerov1.Restore

	// retryTimeout is how long something may fail before the request ends.
	retryTimeout time.Duration
}

type action string

const (
	actNothing         action = "Nothing"
	actRemoveRequest   action = "RemoveRequest"
	actRefuse          action = "Refuse"
	actTake            action = "Take"
	actCancelBackup    action = "CancelBackup"
	actMarkDeleting    action = "MarkDeleting"
	actDeleteSnapshots action = "DeleteSnapshots"
	actDeleteObjects   action = "DeleteObjects"
	actDeleteRestores  action = "DeleteRestores"
	actDeleteBackup    action = "DeleteBackup"
	actRemoveRequests  action = "RemoveRequests"
)

// step is the one thing to do now, and why.
type step struct {
	action  action
	reason  string        // condition reason, from api/velero/v1
	message string        // for people; says what the reason leaves out
	failing bool          // the wait counts as a failure that is retried
	after   time.Duration // look again after; 0 means when a watched object changes
}

// Velero's texts, which scripts look for.
const (
	textNameRequired = "spec.backupName is required"
	textNotFound     = "backup not found"
	textNoLocation   = "backup storage location %s not found"
	textReadOnly     = "cannot delete backup because backup storage location %s is currently in read-only mode"
	textUnavailable  = "cannot delete backup because backup storage location %s is currently in Unavailable state"
)

// plan decides the next step. Each case is one row of the state table in
// docs/deletion.md.
func plan(o observed) step {
	r := o.request
	switch {
	case !r.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case isProcessed(r) && !o.now.Before(r.CreationTimestamp.Add(keepProcessed)):
		return step{action: actRemoveRequest}
	case isProcessed(r):
		return step{action: actNothing, after: r.CreationTimestamp.Add(keepProcessed).Sub(o.now)}
	case r.Spec.BackupName == "":
		return step{action: actRefuse, reason: velerov1.ReasonInvalidSpec, message: textNameRequired}
	case hasOlder(o):
		return step{action: actNothing, after: lookAgain}
	case o.backup == nil && isTaken(r):
		return step{action: actRemoveRequests}
	case o.backup == nil:
		return step{action: actRefuse, reason: velerov1.ReasonBackupNotFound, message: textNotFound}
	case hasData(o.backup) && locationStep(o) != nil:
		return *locationStep(o)
	case !isTaken(r):
		return step{action: actTake, reason: velerov1.ReasonDeleting, after: goOn}
	case o.backup.IsRunning():
		return runningStep(o)
	case len(reading(o)) > 0:
		return step{
			action: actNothing, reason: velerov1.ReasonWaitingForRestores, after: lookAgain,
			message: fmt.Sprintf("Waiting for the end of restores that read the backup: %s; stop one with: podkeep restore cancel NAME",
				restoreNames(reading(o))),
		}
	case o.backup.Status.Phase != velerov1.BackupPhaseDeleting:
		return step{action: actMarkDeleting, reason: velerov1.ReasonDeleting, after: goOn}
	default:
		return dataStep(o)
	}
}

// locationStep is the part of plan about the location; nil when it can be
// written. That it cannot be used ends a request that is new, as in Velero; one
// that has begun waits for it.
func locationStep(o observed) *step {
	name := o.backup.Spec.StorageLocation
	switch {
	case o.location == nil:
		return &step{action: actRefuse, reason: velerov1.ReasonLocationNotFound, message: fmt.Sprintf(textNoLocation, name)}
	case o.location.Spec.AccessMode == velerov1.BackupStorageLocationAccessModeReadOnly:
		return &step{action: actRefuse, reason: velerov1.ReasonLocationReadOnly, message: fmt.Sprintf(textReadOnly, name)}
	case o.location.Status.Phase != velerov1.BackupStorageLocationPhaseUnavailable:
		return nil
	case isTaken(o.request) && !gaveUp(o):
		return &step{
			action: actNothing, reason: velerov1.ReasonLocationUnavailable, failing: true, after: locationRetry,
			message: "Waiting for backup storage location " + name,
		}
	default:
		return &step{action: actRefuse, reason: velerov1.ReasonLocationUnavailable, message: fmt.Sprintf(textUnavailable, name)}
	}
}

// runningStep asks a running backup to end, and waits for it: what it still writes
// would be left over.
func runningStep(o observed) step {
	s := step{
		action: actNothing, reason: velerov1.ReasonWaitingForBackup, message: "Waiting for the backup to stop", after: lookAgain,
	}
	if o.backup.Annotations[velerov1.CancelRequestedByAnnotation] == "" {
		s.action = actCancelBackup
	}
	return s
}

// dataStep is the part of plan that removes data. The order is that of
// docs/deletion.md.
func dataStep(o observed) step {
	switch {
	case gaveUp(o):
		return step{action: actRefuse, reason: failure(o.request).Reason, message: failure(o.request).Message}
	case hasData(o.backup) && !isDone(o.request, velerov1.ConditionSnapshotsDeleted):
		return step{action: actDeleteSnapshots, reason: velerov1.ReasonDeleting, after: goOn}
	case hasData(o.backup) && !isDone(o.request, velerov1.ConditionObjectsDeleted):
		return step{action: actDeleteObjects, reason: velerov1.ReasonDeleting, after: goOn}
	case slices.ContainsFunc(o.restores, func(r velerov1.Restore) bool { return r.DeletionTimestamp.IsZero() }):
		return step{action: actDeleteRestores, reason: velerov1.ReasonWaitingForRestores, after: lookAgain}
	case len(o.restores) > 0:
		return step{
			action: actNothing, reason: velerov1.ReasonWaitingForRestores, failing: true, after: lookAgain,
			message: "Waiting until restores are gone: " + restoreNames(o.restores),
		}
	default:
		return step{action: actDeleteBackup, reason: velerov1.ReasonDeleting, after: goOn}
	}
}

// reading are the restores that need the data of the backup, as long as it is whole:
// without it, pods would wait for their volumes for ever. A restore that somebody
// deletes is on its way out.
func reading(o observed) []velerov1.Restore {
	if !hasData(o.backup) || isDone(o.request, velerov1.ConditionSnapshotsDeleted) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.restores), func(r velerov1.Restore) bool {
		return !r.IsRunning() || !r.DeletionTimestamp.IsZero()
	})
}

func isProcessed(r *velerov1.DeleteBackupRequest) bool {
	return r.Status.Phase == velerov1.DeleteBackupRequestPhaseProcessed
}

func isTaken(r *velerov1.DeleteBackupRequest) bool {
	return r.Status.Phase == velerov1.DeleteBackupRequestPhaseInProgress
}

func isDone(r *velerov1.DeleteBackupRequest, condition string) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, condition)
}

// hasOlder reports whether another request will remove the backup, and this one
// with it. Of two made in the same second it is the one whose name is first.
func hasOlder(o observed) bool {
	return slices.ContainsFunc(o.others, func(other velerov1.DeleteBackupRequest) bool {
		if isProcessed(&other) || !other.DeletionTimestamp.IsZero() {
			return false
		}
		mine, theirs := o.request.CreationTimestamp, other.CreationTimestamp
		return theirs.Before(&mine) || (theirs.Equal(&mine) && other.Name < o.request.Name)
	})
}

// hasData reports whether the backup may have written anything. One that never
// started has not: what is in the bucket under its name, if anything, is of another
// backup, because of which it was refused.
func hasData(b *velerov1.Backup) bool { return b.Status.StartTimestamp != nil }

// failure is the condition that says since when something fails, or nil.
func failure(r *velerov1.DeleteBackupRequest) *metav1.Condition {
	c := meta.FindStatusCondition(r.Status.Conditions, velerov1.ConditionCompleted)
	if c == nil || c.Status != metav1.ConditionFalse {
		return nil
	}
	return c
}

func gaveUp(o observed) bool {
	c := failure(o.request)
	return c != nil && !o.now.Before(c.LastTransitionTime.Add(o.retryTimeout))
}

func restoreNames(restores []velerov1.Restore) string {
	var names []string
	for _, r := range restores {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// isSame reports whether a Backup found in the bucket is this one. A backup that
// was found there by another cluster has another UID in each, but one start.
func isSame(b, stored *velerov1.Backup) bool {
	return stored.UID == b.UID || stored.Status.StartTimestamp.Equal(b.Status.StartTimestamp)
}

// errForeign is what is in the bucket under the backup's name and is not its.
var errForeign = errors.New("the bucket holds another backup of this name")
