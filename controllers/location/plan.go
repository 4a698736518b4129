// Package location reconciles BackupStorageLocations: it checks from time to
// time that a location can be used, says so in its status, and keeps at most one
// of them the default.
//
// One reconcile is observe → plan → act → report. Only observe and act talk to
// the cluster and to the storage; plan is pure and holds every decision. It does
// not look for backups in the location, and it never writes to it. The state
// table is in docs/backup-storage-location.md.
package location

import (
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// DefaultValidationFrequency is the time between two checks of a location that
	// does not say it, as in Velero.
	DefaultValidationFrequency = time.Minute

	// unavailableRetry is the time after which an unavailable location is checked
	// again, also when its own frequency is longer: the user who has just repaired
	// the storage is waiting.
	unavailableRetry = 10 * time.Second
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	location *velerov1.BackupStorageLocation
	all      []velerov1.BackupStorageLocation // of the install namespace

	// changed says that the location, a certificate or a credential is not what
	// this process checked last. It is true for a location that the process has
	// never checked.
	changed bool

	defaultFrequency time.Duration
	now              time.Time
}

type action string

const (
	actNothing      action = "Nothing"
	actUnsetDefault action = "UnsetDefault"
	actValidate     action = "Validate"
)

// step is the one thing to do now.
type step struct {
	action action
	after  time.Duration // look again after; 0 means when a watched object changes
}

// plan decides the next step. Each case is one row of the state table in
// docs/backup-storage-location.md.
func plan(o observed) step {
	l := o.location
	switch {
	case !l.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case l.Spec.Default && hasNewerDefault(l, o.all):
		return step{action: actUnsetDefault}
	case l.Status.Phase == "" || l.Status.LastValidationTime == nil || o.changed:
		return step{action: actValidate}
	case interval(o) == 0:
		return step{action: actNothing}
	case due(o) <= 0:
		return step{action: actValidate}
	default:
		return step{action: actNothing, after: due(o)}
	}
}

// interval is the time between two checks; 0 means that there is no next one.
func interval(o observed) time.Duration {
	frequency := o.defaultFrequency
	if f := o.location.Spec.ValidationFrequency; f != nil {
		frequency = max(f.Duration, 0)
	}
	available := o.location.Status.Phase == velerov1.BackupStorageLocationPhaseAvailable
	if !available && (frequency == 0 || frequency > unavailableRetry) {
		return unavailableRetry
	}
	return frequency
}

// due is the time until the next check. A last check in the future, after the
// clock was set back, does not count.
func due(o observed) time.Duration {
	last := o.location.Status.LastValidationTime.Time
	if last.After(o.now) {
		return 0
	}
	return last.Add(interval(o)).Sub(o.now)
}

// hasNewerDefault reports whether another default location takes precedence: the
// newest does, and of two made in the same second the one whose name is first.
func hasNewerDefault(l *velerov1.BackupStorageLocation, all []velerov1.BackupStorageLocation) bool {
	for _, other := range all {
		if other.Name == l.Name || !other.Spec.Default || !other.DeletionTimestamp.IsZero() {
			continue
		}
		switch mine, theirs := l.CreationTimestamp, other.CreationTimestamp; {
		case mine.Before(&theirs), mine.Equal(&theirs) && other.Name < l.Name:
			return true
		}
	}
	return false
}
