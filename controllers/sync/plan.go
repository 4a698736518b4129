// Package sync makes the Backups in the cluster those of a storage location:
// backups that other clusters have stored there appear, with their
// PodVolumeBackups, and Backups whose files are gone disappear.
//
// One reconcile of a BackupStorageLocation is observe → plan → act → report. plan
// decides when to look, compare what to do with each backup; both are pure, and
// so is what a stored object becomes here (local.go). It writes nothing to object
// storage; what it removes there are files that this cluster has marked as interim
// (sweep.go). Everything in it may come from a stranger. State tables:
// docs/backup-sync.md.
package sync

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// DefaultPeriod is the time between two syncs of a location that does not say
	// it, as in Velero.
	DefaultPeriod = time.Minute

	// defaultFirstRecheck is a safety net: a location that waits for the default one
	// is woken by its first sync.
	defaultFirstRecheck = 30 * time.Second
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	location *velerov1.BackupStorageLocation
	all      []velerov1.BackupStorageLocation // of the install namespace

	defaultPeriod time.Duration
	now           time.Time
}

type action string

const (
	actNothing action = "Nothing"
	actSync    action = "Sync"
)

// step is the one thing to do now.
type step struct {
	action action
	after  time.Duration // look again after; 0 means when the location changes
}

// plan decides when to sync. Each case is one row of the first table in
// docs/backup-sync.md.
func plan(o observed) step {
	l := o.location
	switch {
	case !l.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case period(l, o.defaultPeriod) <= 0:
		return step{action: actNothing}
	case l.Status.Phase != velerov1.BackupStorageLocationPhaseAvailable:
		return step{action: actNothing}
	case !isTried(l) && isDefaultAwaited(o):
		return step{action: actNothing, after: defaultFirstRecheck}
	case isConfirmed(l):
		return step{action: actSync}
	case due(o) > 0:
		return step{action: actNothing, after: due(o)}
	default:
		return step{action: actSync}
	}
}

// period is the time between two syncs; 0 means that there are none.
func period(l *velerov1.BackupStorageLocation, byDefault time.Duration) time.Duration {
	if p := l.Spec.BackupSyncPeriod; p != nil {
		return p.Duration
	}
	return byDefault
}

// due is the time until the next sync. A last one in the future, after the clock
// was set back, does not count.
func due(o observed) time.Duration {
	last := o.location.Status.LastSyncedTime
	if last == nil || last.After(o.now) {
		return 0
	}
	return last.Add(period(o.location, o.defaultPeriod)).Sub(o.now)
}

// isDefaultAwaited reports whether the default location is about to be synced for
// the first time. It goes first, because of two backups of the same name only one
// can be in the cluster.
func isDefaultAwaited(o observed) bool {
	for i := range o.all {
		d := &o.all[i]
		if d.Spec.Default && d.Name != o.location.Name && d.DeletionTimestamp.IsZero() && !isTried(d) &&
			period(d, o.defaultPeriod) > 0 && d.Status.Phase != velerov1.BackupStorageLocationPhaseUnavailable {
			return true
		}
	}
	return false
}

// isConfirmed reports whether people have just said that the location leads to the
// right place.
func isConfirmed(l *velerov1.BackupStorageLocation) bool {
	return l.Annotations[velerov1.SyncedFromAnnotation] == velerov1.SyncedFromHere
}

// isTried reports whether a location was ever synced, successfully or not.
func isTried(l *velerov1.BackupStorageLocation) bool {
	return l.Status.LastSyncedTime != nil || meta.FindStatusCondition(l.Status.Conditions, velerov1.ConditionSynced) != nil
}
