package progressview

import (
	"fmt"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

// State is a backup or restore at one moment.
type State struct {
	Title    string // "Backup shop-1"
	Phase    string
	Why      describe.Why
	Finished bool              // it will not change any more
	Volumes  []describe.Volume // sorted by name

	ItemsDone  int
	ItemsTotal int // 0: not known yet

	// Trouble says that the state may be old, and why; "" when it is not.
	Trouble string
}

// untakenAfter is how long a server may take to see a new object before people
// are told that none may be running.
const untakenAfter = 10 * time.Second

// OfBackup returns the state of a backup.
func OfBackup(b *velerov1.Backup, volumes []velerov1.PodVolumeBackup, now time.Time) State {
	s := State{
		Title: "Backup " + b.Name, Phase: phaseOrNew(string(b.Status.Phase)),
		Why: describe.WhyOf(b.Status.Conditions), Finished: b.IsFinished(),
		Volumes: describe.BackupVolumes(volumes),
	}
	if p := b.Status.Progress; p != nil {
		s.ItemsDone, s.ItemsTotal = p.ItemsBackedUp, p.TotalItems
	}
	return s.withHint(b.Namespace, now.Sub(b.CreationTimestamp.Time))
}

// OfRestore returns the state of a restore.
func OfRestore(r *velerov1.Restore, volumes []velerov1.PodVolumeRestore, now time.Time) State {
	s := State{
		Title: "Restore " + r.Name, Phase: phaseOrNew(string(r.Status.Phase)),
		Why: describe.WhyOf(r.Status.Conditions), Finished: r.IsFinished(),
		Volumes: describe.RestoreVolumes(volumes),
	}
	if p := r.Status.Progress; p != nil {
		s.ItemsDone, s.ItemsTotal = p.ItemsRestored, p.TotalItems
	}
	return s.withHint(r.Namespace, now.Sub(r.CreationTimestamp.Time))
}

// withHint explains an object that nobody takes up, which cannot explain itself.
func (s State) withHint(namespace string, age time.Duration) State {
	if s.Phase == describe.PhaseNew && s.Why == (describe.Why{}) && age >= untakenAfter {
		s.Why = describe.Why{
			Reason:  "NotTaken",
			Message: fmt.Sprintf("no server has taken it; look for one with: kubectl get pods -n %s", namespace),
			Problem: true,
		}
	}
	return s
}

func phaseOrNew(phase string) string {
	if phase == "" {
		return describe.PhaseNew
	}
	return phase
}
