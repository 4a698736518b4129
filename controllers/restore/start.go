package restore

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/restorespec"
)

// findNewest returns the newest completed backup of a schedule, nil when there is
// none.
func (r *Reconciler) findNewest(ctx context.Context, schedule string) (*velerov1.Backup, error) {
	if schedule == "" {
		return nil, nil
	}
	list := &velerov1.BackupList{}
	// Not from the cache, as in findBackup.
	err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace),
		client.MatchingLabels{velerov1.ScheduleNameLabel: velerov1.ValidLabelValue(schedule)})
	if err != nil {
		return nil, fmt.Errorf("listing Backups of schedule %s: %w", schedule, err)
	}
	return newestOf(list.Items), nil
}

// newestOf returns the completed backup that was started last, nil when there is
// none.
func newestOf(backups []velerov1.Backup) *velerov1.Backup {
	complete := keep(backups, func(b velerov1.Backup) bool {
		return b.Status.Phase == velerov1.BackupPhaseCompleted && b.Status.StartTimestamp != nil && b.DeletionTimestamp == nil
	})
	if len(complete) == 0 {
		return nil
	}
	newest := slices.MaxFunc(complete, func(a, b velerov1.Backup) int {
		return a.Status.StartTimestamp.Compare(b.Status.StartTimestamp.Time)
	})
	return &newest
}

// completeSpec writes into the spec what Velero's clients look for there: which
// backup it is, what is never restored, and the server's default
// (velero-facts §2.2).
func (r *Reconciler) completeSpec(o observed) {
	spec := &o.restore.Spec
	spec.BackupName = o.backup.Name
	if spec.ScheduleName == "" {
		spec.ScheduleName = o.backup.Labels[velerov1.ScheduleNameLabel]
	}
	for _, name := range restorespec.NeverRestored {
		if !slices.Contains(spec.ExcludedResources, name) {
			spec.ExcludedResources = append(spec.ExcludedResources, name)
		}
	}
	if spec.ItemOperationTimeout.Duration == 0 {
		spec.ItemOperationTimeout.Duration = r.Options.ItemOperationTimeout
	}
}
