// Package repository reconciles BackupRepositories: it makes sure that the kopia
// repository of a namespace in a location exists and opens with the password.
//
// One reconcile is observe → plan → act → report. Only observe and act talk to
// the cluster and to the storage; plan is pure and holds every decision. What a
// repository is made of is mover/repository's; maintenance has a package of its own
// below. The state table is in docs/backup-repository.md.
package repository

import (
	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	repository *velerov1.BackupRepository

	// bsl is nil when the location does not exist.
	bsl *velerov1.BackupStorageLocation

	// location is bsl, resolved, and hash what location and password are now;
	// accessErr says why they could not be found out.
	location  location.Location
	hash      string
	accessErr error
}

type action string

const (
	actNothing     action = "Nothing"
	actSetDefaults action = "SetDefaults"
	actPrepare     action = "Prepare"
	actRefuse      action = "Refuse"
)

// step is the one thing to do now, and why.
type step struct {
	action action
	reason string // condition reason when the action is actRefuse
}

// plan decides the next step. Each case is one row of the state table in
// docs/backup-repository.md.
func plan(o observed) step {
	r := o.repository
	switch {
	case !r.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case r.Spec.RepositoryType != velerov1.BackupRepositoryTypeKopia:
		return step{action: actNothing}
	case r.Spec.MaintenanceFrequency.Duration <= 0:
		return step{action: actSetDefaults}
	case o.bsl == nil:
		return step{action: actRefuse, reason: velerov1.ReasonLocationNotFound}
	case isReady(r) && o.accessErr == nil && r.Annotations[velerov1.CheckedWithAnnotation] == o.hash:
		return step{action: actNothing}
	case isReady(r) && isUnavailable(o.bsl):
		// What is wrong with the location is said there, and does not make a
		// repository that was ready another one.
		return step{action: actNothing}
	case isUnavailable(o.bsl):
		return step{action: actRefuse, reason: velerov1.ReasonLocationUnavailable}
	default:
		return step{action: actPrepare}
	}
}

func isReady(r *velerov1.BackupRepository) bool {
	return r.Status.Phase == velerov1.BackupRepositoryPhaseReady
}

func isUnavailable(bsl *velerov1.BackupStorageLocation) bool {
	return bsl.Status.Phase == velerov1.BackupStorageLocationPhaseUnavailable
}
