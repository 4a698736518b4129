package locationaccess

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Patch writes what after changes in before, if anything.
//
// The check of a location and the sync of its backups each write a condition,
// and a merge patch replaces the whole list. So a patch of conditions is refused
// with a conflict (apierrors.IsConflict) when the location is no longer the one
// that before was read from.
func Patch(ctx context.Context, c client.Client, before, after *velerov1.BackupStorageLocation) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	if equality.Semantic.DeepEqual(before.Status.Conditions, after.Status.Conditions) {
		return c.Patch(ctx, after, client.MergeFrom(before))
	}
	return c.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}
