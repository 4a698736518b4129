// Package expiration asks for the removal of backups whose time is over, and of
// those whose removal was begun and forgotten.
//
// One reconcile is observe → plan → act → report; plan is pure and holds every
// decision. It removes nothing itself: it creates a DeleteBackupRequest
// (controllers/deletion), and says on the backup why it could not. State table:
// docs/deletion.md.
package expiration

import (
	"slices"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// DefaultFrequency is the time between two looks at a backup, as in Velero.
const DefaultFrequency = time.Hour

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	backup *velerov1.Backup
	now    time.Time

	// location is that of the backup: nil when it does not exist, or when it could
	// not be read because of locationErr.
	location    *velerov1.BackupStorageLocation
	locationErr error

	// requests are the DeleteBackupRequests for the backup.
	requests []velerov1.DeleteBackupRequest

	frequency time.Duration
}

type action string

const (
	actNothing action = "Nothing"
	actLabel   action = "Label"
	actRequest action = "Request"
)

// step is the one thing to do now.
type step struct {
	action  action
	failure string        // value of GCFailureLabel; "" means that it has none
	after   time.Duration // look again after; 0 means when a watched object changes
}

// plan decides the next step. Each case is one row of the state table in
// docs/deletion.md.
func plan(o observed) step {
	b := o.backup
	switch {
	case !b.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case b.IsRunning():
		return step{action: actNothing} // that its time is over is no reason to stop it; its end is an event
	case !isExpired(b, o.now) && !isForgotten(o):
		return step{action: actNothing, after: untilExpiration(o)}
	case slices.ContainsFunc(o.requests, isPending):
		return step{action: actNothing, after: o.frequency}
	case o.locationErr != nil:
		return label(o, velerov1.GCFailureLocationCannotGet)
	case o.location == nil:
		return label(o, velerov1.GCFailureLocationNotFound)
	case o.location.Spec.AccessMode == velerov1.BackupStorageLocationAccessModeReadOnly:
		return label(o, velerov1.GCFailureLocationReadOnly)
	case o.location.Status.Phase != velerov1.BackupStorageLocationPhaseAvailable:
		return label(o, velerov1.GCFailureLocationUnavailable)
	default:
		return step{action: actRequest, after: o.frequency}
	}
}

func label(o observed, failure string) step {
	return step{action: actLabel, failure: failure, after: o.frequency}
}

func isExpired(b *velerov1.Backup, now time.Time) bool {
	return b.Status.Expiration != nil && !now.Before(b.Status.Expiration.Time)
}

// untilExpiration is how long to wait, 0 for a backup that never expires.
func untilExpiration(o observed) time.Duration {
	if o.backup.Status.Expiration == nil {
		return 0
	}
	return min(o.backup.Status.Expiration.Sub(o.now), o.frequency)
}

// isForgotten reports whether nobody removes a backup any more of which a part is
// gone: it was found in a bucket in the middle of its removal, or the request for
// it was removed.
func isForgotten(o observed) bool {
	return o.backup.Status.Phase == velerov1.BackupPhaseDeleting && len(o.requests) == 0
}

func isPending(r velerov1.DeleteBackupRequest) bool {
	return r.Status.Phase != velerov1.DeleteBackupRequestPhaseProcessed
}

// requestNameLayout is the time in the name of a request.
const requestNameLayout = "20060102150405"

// requestName is the same for all looks within one frequency, so that a server that
// dies after it has made a request makes no second one, and another one for the
// next, should the first have failed.
func requestName(o observed) string {
	why, since := "-expired-", o.backup.CreationTimestamp.Time
	if isExpired(o.backup, o.now) {
		since = o.backup.Status.Expiration.Time
	} else {
		why = "-forgotten-"
	}
	try := since.Add(o.now.Sub(since).Truncate(o.frequency))
	return velerov1.ValidLabelValue(o.backup.Name) + why + try.UTC().Format(requestNameLayout)
}
