package movement

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

// repositoryPatience is how long a repository may be unusable, for a reason that
// may pass, before a volume fails because of it. The server tries again within
// that time; Velero does not wait at all.
const repositoryPatience = time.Minute

// mendedPatience is the same for a reason that only people can repair. They may
// just have done so: the server then finds the repository usable within seconds,
// and a backup that is made at once must not fail on what was.
const mendedPatience = 15 * time.Second

// repositoryPreparation is how long the server may take to prepare a repository
// that it has not looked at yet. Creating one takes seconds; a server that is
// being upgraded comes back within minutes.
const repositoryPreparation = 10 * time.Minute

// lastingReasons are those of a repository that only people can repair.
var lastingReasons = []string{
	velerov1.ReasonRepositoryPasswordWrong, velerov1.ReasonRepositoryCorrupt,
	velerov1.ReasonAccessDenied, velerov1.ReasonBucketNotFound,
	velerov1.ReasonLocationNotFound, velerov1.ReasonLocationReadOnly,
}

// Destination is where a mover finds its repository.
type Destination struct {
	LocationName string
	Location     *velerov1.BackupStorageLocation // nil when it does not exist

	Namespace  string                     // whose repository it is
	Repository *velerov1.BackupRepository // nil when it does not exist

	Writes bool      // whether the mover adds to the repository
	Since  time.Time // when it was first asked for
}

// ObstacleOf returns what keeps the repository from being used, or nil.
func ObstacleOf(d Destination, now time.Time) *Obstacle {
	if d.Location == nil {
		return &Obstacle{Terminal: true, Reason: velerov1.ReasonLocationNotFound,
			Message: fmt.Sprintf("backup storage location %q does not exist", d.LocationName)}
	}
	l, err := location.New(d.Location)
	switch {
	case err != nil:
		return &Obstacle{Terminal: true, Reason: velerov1.ReasonInvalidSpec,
			Message: fmt.Sprintf("backup storage location %q: %v", d.LocationName, err)}
	case d.Writes && l.ReadOnly:
		return &Obstacle{Terminal: true, Reason: velerov1.ReasonLocationReadOnly,
			Message: fmt.Sprintf("backup storage location %q is read-only", d.LocationName)}
	case d.Repository == nil:
		return waitForRepository(d, now, "does not exist yet")
	}
	switch d.Repository.Status.Phase {
	case velerov1.BackupRepositoryPhaseReady:
		return nil
	case velerov1.BackupRepositoryPhaseNotReady:
		return unusableRepository(d, now)
	default:
		return waitForRepository(d, now, "is being prepared")
	}
}

func waitForRepository(d Destination, now time.Time, how string) *Obstacle {
	deadline := d.Since.Add(repositoryPreparation)
	if now.Before(deadline) {
		return &Obstacle{Reason: velerov1.ReasonWaitingForRepository, After: deadline.Sub(now),
			Message: fmt.Sprintf("repository of namespace %s in location %s %s", d.Namespace, d.LocationName, how)}
	}
	return &Obstacle{Terminal: true, Reason: velerov1.ReasonRepositoryNotReady,
		Message: fmt.Sprintf("repository of namespace %s in location %s %s after %s; is the server running?",
			d.Namespace, d.LocationName, how, repositoryPreparation)}
}

// unusableRepository gives a repository that became unusable a while, and one that
// only people can repair less.
func unusableRepository(d Destination, now time.Time) *Obstacle {
	o := &Obstacle{Terminal: true, Reason: velerov1.ReasonRepositoryNotReady,
		Message: fmt.Sprintf("repository %s is not ready: %s", d.Repository.Name, d.Repository.Status.Message)}
	since, patience := d.Since, repositoryPatience
	if c := meta.FindStatusCondition(d.Repository.Status.Conditions, velerov1.ConditionReady); c != nil {
		o.Reason = c.Reason
		if slices.Contains(lastingReasons, c.Reason) {
			patience = mendedPatience
		} else if c.LastTransitionTime.After(since) {
			since = c.LastTransitionTime.Time
		}
	}
	if deadline := since.Add(patience); now.Before(deadline) {
		o.Terminal, o.Reason, o.After = false, velerov1.ReasonWaitingForRepository, deadline.Sub(now)
	}
	return o
}
