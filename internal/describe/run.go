package describe

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Run is a backup or a restore: what both have in common. Their phases have the
// same names.
type Run struct {
	Kind      string // "Backup" or "Restore"
	Name      string
	Namespace string
	Created   time.Time

	Phase            string // never ""
	Finished         bool   // it will not change any more
	Conditions       []metav1.Condition
	FailureReason    string
	ValidationErrors []string
	Errors           int
	Warnings         int
	ItemsDone        int
	ItemsTotal       int       // 0: not known yet
	Started          time.Time // zero: not started
	Completed        time.Time // zero: not finished

	Volumes []Volume // sorted by name
}

// RunOf returns what a Backup or a Restore, as a pointer, says of itself. It
// panics for any other kind.
func RunOf(obj any, volumes []Volume) Run {
	switch o := obj.(type) {
	case *velerov1.Backup:
		return runOfBackup(o, volumes)
	case *velerov1.Restore:
		return runOfRestore(o, volumes)
	default:
		panic(fmt.Sprintf("a %T does not run", obj))
	}
}

func runOfBackup(b *velerov1.Backup, volumes []Volume) Run {
	s := &b.Status
	r := Run{
		Kind: kindBackup, Name: b.Name, Namespace: b.Namespace, Created: b.CreationTimestamp.Time,
		Phase: phaseOrNew(string(s.Phase)), Finished: b.IsFinished(), Conditions: s.Conditions,
		FailureReason: s.FailureReason, ValidationErrors: s.ValidationErrors, Errors: s.Errors, Warnings: s.Warnings,
		Started: timeOf(s.StartTimestamp), Completed: timeOf(s.CompletionTimestamp), Volumes: volumes,
	}
	if p := s.Progress; p != nil {
		r.ItemsDone, r.ItemsTotal = p.ItemsBackedUp, p.TotalItems
	}
	return r
}

func runOfRestore(o *velerov1.Restore, volumes []Volume) Run {
	s := &o.Status
	r := Run{
		Kind: kindRestore, Name: o.Name, Namespace: o.Namespace, Created: o.CreationTimestamp.Time,
		Phase: phaseOrNew(string(s.Phase)), Finished: o.IsFinished(), Conditions: s.Conditions,
		FailureReason: s.FailureReason, ValidationErrors: s.ValidationErrors, Errors: s.Errors, Warnings: s.Warnings,
		Started: timeOf(s.StartTimestamp), Completed: timeOf(s.CompletionTimestamp), Volumes: volumes,
	}
	if p := s.Progress; p != nil {
		r.ItemsDone, r.ItemsTotal = p.ItemsRestored, p.TotalItems
	}
	return r
}

// Kinds of runs.
const (
	kindBackup  = "Backup"
	kindRestore = "Restore"
)

// Phases that a backup and a restore share.
const (
	runCompleted       = string(velerov1.BackupPhaseCompleted)
	runPartiallyFailed = string(velerov1.BackupPhasePartiallyFailed)
	runFailed          = string(velerov1.BackupPhaseFailed)
	runRejected        = string(velerov1.BackupPhaseFailedValidation)
	runInProgress      = string(velerov1.BackupPhaseInProgress)
)

// IsCompleted reports whether it ended with everything.
func (r Run) IsCompleted() bool { return r.Phase == runCompleted }

// IsPartial reports whether it ended without something that its errors name.
func (r Run) IsPartial() bool { return r.Phase == runPartiallyFailed }

// HasLog reports whether its log is in object storage. The phases are those of
// Velero's client (velero-facts §8.7).
func (r Run) HasLog() bool {
	return slices.Contains([]string{
		runCompleted, runPartiallyFailed, runFailed,
		string(velerov1.BackupPhaseWaitingForPluginOperations), string(velerov1.BackupPhaseWaitingForPluginOperationsPartiallyFailed),
	}, r.Phase)
}

// took is how long it ran; 0 when it did not, or still does.
func (r Run) took() time.Duration {
	if r.Started.IsZero() || r.Completed.IsZero() {
		return 0
	}
	return r.Completed.Sub(r.Started)
}
