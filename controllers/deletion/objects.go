package deletion

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/layout"
)

// deleteObjects removes everything of the backup from the bucket, also what an
// unfinished one has left. The Backup itself goes last: what is removed before is
// found through it.
func (r *Reconciler) deleteObjects(ctx context.Context, o observed) error {
	store, _, err := r.Locations.Store(ctx, o.backup.Spec.StorageLocation)
	if err != nil {
		return storageError(err)
	}
	if _, err := readStored(ctx, store, o.backup); errors.Is(err, errForeign) {
		r.Recorder.Eventf(o.backup, o.request, corev1.EventTypeWarning, "ObjectsLeft", "Delete", "Objects are left: %s", err)
		return nil
	} else if err != nil {
		return err
	}
	keys, err := store.List(ctx, layout.BackupPrefix(o.backup.Name))
	if err != nil {
		return storageError(fmt.Errorf("listing objects of the backup: %w", err))
	}
	last := layout.BackupMetadata(o.backup.Name)
	for _, key := range keys {
		if key == last {
			continue
		}
		if err := store.Delete(ctx, key); err != nil {
			return storageError(fmt.Errorf("deleting %s: %w", key, err))
		}
	}
	if err := store.Delete(ctx, last); err != nil {
		return storageError(fmt.Errorf("deleting %s: %w", last, err))
	}
	return nil
}
