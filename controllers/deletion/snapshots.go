package deletion

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/wire"
)

// storageTimeoutSeconds bounds one operation of the storage; the next try comes
// anyway.
const storageTimeoutSeconds = 20

// deleteSnapshots removes the snapshots of the backup's volumes, after it has
// marked the backup in the bucket as one that is being deleted: from then on
// nobody who finds it there takes it for whole.
func (r *Reconciler) deleteSnapshots(ctx context.Context, o observed) error {
	store, _, err := r.Locations.Store(ctx, o.backup.Spec.StorageLocation)
	if err != nil {
		return storageError(err)
	}
	if err := r.markStored(ctx, store, o); err != nil && !errors.Is(err, errForeign) {
		return err
	}
	volumes, err := r.volumes(ctx, store, o)
	if err != nil {
		return err
	}
	snapshots, left := snapshotsOf(volumes)
	left = append(left, providerSnapshots(o.backup)...)
	for _, text := range left {
		ctrl.LoggerFrom(ctx).Info("Leaving snapshots", "reason", text)
		r.Recorder.Eventf(o.backup, o.request, corev1.EventTypeWarning, "SnapshotsLeft", "Delete", "%s", text)
	}
	var errs []error
	for _, namespace := range slices.Sorted(maps.Keys(snapshots)) {
		errs = append(errs, r.deleteFrom(ctx, o, namespace, snapshots[namespace]))
	}
	return joined(errs)
}

// markStored sets the phase of the Backup in the bucket, if it is there.
func (r *Reconciler) markStored(ctx context.Context, store objectstore.Store, o observed) error {
	stored, err := readStored(ctx, store, o.backup)
	if err != nil || stored == nil || stored.Status.Phase == velerov1.BackupPhaseDeleting {
		return err
	}
	marked := o.backup.DeepCopy()
	marked.Status.Phase = velerov1.BackupPhaseDeleting
	data, err := layout.EncodeBackup(marked)
	if err != nil {
		return err
	}
	if err := store.Put(ctx, layout.BackupMetadata(o.backup.Name), bytes.NewReader(data)); err != nil {
		return storageError(fmt.Errorf("marking the backup in the bucket: %w", err))
	}
	return nil
}

// readStored returns the Backup in the bucket; nil when there is none. It returns
// errForeign for another backup of the same name. One that cannot be read is taken
// for this one: nobody can restore it.
func readStored(ctx context.Context, store objectstore.Store, b *velerov1.Backup) (*velerov1.Backup, error) {
	body, err := store.Get(ctx, layout.BackupMetadata(b.Name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, storageError(fmt.Errorf("reading the backup in the bucket: %w", err))
	}
	defer func() { _ = body.Close() }()

	stored, err := layout.DecodeBackup(body)
	switch {
	case errors.Is(err, layout.ErrCorrupt), errors.Is(err, layout.ErrTooLarge):
		return &velerov1.Backup{}, nil
	case err != nil:
		return nil, storageError(err)
	case !isSame(b, stored):
		return nil, errForeign
	}
	return stored, nil
}

// volumes are the pod volume backups of the backup: those in the cluster, which
// has them first, and those in the bucket, which has them longer.
func (r *Reconciler) volumes(ctx context.Context, store objectstore.Store, o observed) ([]velerov1.PodVolumeBackup, error) {
	list := &velerov1.PodVolumeBackupList{}
	err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace),
		client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(o.backup.Name)})
	if err != nil {
		return nil, fmt.Errorf("listing PodVolumeBackups: %w", err)
	}
	// A label may be the shortened form of several names.
	volumes := slices.DeleteFunc(list.Items, func(v velerov1.PodVolumeBackup) bool {
		uid := v.Labels[velerov1.BackupUIDLabel]
		return uid != "" && uid != string(o.backup.UID)
	})
	if _, err := readStored(ctx, store, o.backup); errors.Is(err, errForeign) {
		return volumes, nil // so is its list
	}
	stored, err := readVolumes(ctx, store, o.backup.Name)
	if err != nil {
		return nil, err
	}
	return append(volumes, stored...), nil
}

// readVolumes reads the list in the bucket. One that cannot be decoded is as good
// as none: it will not get better, and must not keep the rest from being deleted.
func readVolumes(ctx context.Context, store objectstore.Store, backup string) ([]velerov1.PodVolumeBackup, error) {
	body, err := store.Get(ctx, layout.BackupPodVolumeBackups(backup))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, storageError(fmt.Errorf("reading the list of volumes: %w", err))
	}
	defer func() { _ = body.Close() }()

	var volumes []velerov1.PodVolumeBackup
	err = layout.DecodeJSONGzip(body, &volumes)
	if errors.Is(err, layout.ErrCorrupt) || errors.Is(err, layout.ErrTooLarge) {
		ctrl.LoggerFrom(ctx).Info("Ignoring the list of volumes in the bucket", "reason", err.Error())
		return nil, nil
	}
	return volumes, err
}

// snapshotsOf returns the IDs of the snapshots by the namespace of their
// repository, sorted, and says which it leaves out. The list may come from a
// stranger's bucket, and a namespace becomes part of a path.
func snapshotsOf(volumes []velerov1.PodVolumeBackup) (byNamespace map[string][]string, left []string) {
	sets := map[string]map[string]bool{}
	for _, v := range volumes {
		id, namespace := v.Status.SnapshotID, v.Spec.Pod.Namespace
		switch {
		case id == "":
			continue
		case v.Spec.UploaderType == velerov1.BackupRepositoryTypeRestic:
			left = append(left, fmt.Sprintf("restic snapshot %s of namespace %s is left: podkeep does not change restic repositories", id, namespace))
			continue
		case len(validation.IsDNS1123Label(namespace)) > 0:
			left = append(left, fmt.Sprintf("snapshot %q is left: %q is no namespace", id, namespace))
			continue
		}
		if sets[namespace] == nil {
			sets[namespace] = map[string]bool{}
		}
		sets[namespace][id] = true
	}
	byNamespace = map[string][]string{}
	for namespace, ids := range sets {
		byNamespace[namespace] = slices.Sorted(maps.Keys(ids))
	}
	slices.Sort(left)
	return byNamespace, slices.Compact(left)
}

// providerSnapshots says which snapshots a real Velero has taken outside of
// repositories. Only its plugins can remove them.
func providerSnapshots(b *velerov1.Backup) []string {
	if n := b.Status.VolumeSnapshotsCompleted + b.Status.CSIVolumeSnapshotsCompleted; n > 0 {
		return []string{fmt.Sprintf("%d snapshots of the storage provider are left: podkeep did not take them and cannot remove them", n)}
	}
	return nil
}

// deleteFrom removes snapshots from the repository of one namespace.
func (r *Reconciler) deleteFrom(ctx context.Context, o observed, namespace string, ids []string) error {
	l, err := r.Locations.Resolve(ctx, o.location)
	if err != nil {
		return storageError(err)
	}
	passwordFile, err := r.Locations.RepositoryPasswordFile(ctx)
	if err != nil {
		return storageError(err)
	}
	scratch, err := os.MkdirTemp(r.ScratchDir, "deletion-*")
	if err != nil {
		return fmt.Errorf("making a scratch directory: %w", err)
	}
	ctrl.LoggerFrom(ctx).Info("Deleting snapshots", "namespace", namespace, "snapshots", len(ids))
	err = r.Repositories.DeleteSnapshots(ctx, wire.Repository{
		Location: l, Namespace: namespace, PasswordFile: passwordFile, CacheDir: scratch, StorageTimeoutSeconds: storageTimeoutSeconds,
	}, ids)
	if rerr := os.RemoveAll(scratch); rerr != nil {
		ctrl.LoggerFrom(ctx).Error(rerr, "Removing a scratch directory")
	}
	return r.classify(err)
}

// classify gives an error of a repository its reason, and says whether somebody
// must repair something before a new try can help.
func (r *Reconciler) classify(err error) error {
	if err == nil {
		return nil
	}
	reason := cmp.Or(r.Repositories.Reason(err), velerov1.ReasonRepositoryNotReady)
	if r.Repositories.IsTerminal(err) {
		return outcome.Terminalf(reason, "%w", err)
	}
	return outcome.Waitf(reason, 0, "%w", err)
}

// storageError gives an error of the location its reason. All are retried: what is
// wrong with a location is checked before, and may have been repaired since.
func storageError(err error) error {
	return outcome.Waitf(cmp.Or(locationaccess.Reason(err), velerov1.ReasonStorageUnavailable), 0, "%w", err)
}

// joined returns the errors that are retried, or, when there is none, the others:
// as long as something may yet succeed, the request goes on.
func joined(errs []error) error {
	var retried, terminal []error
	for _, err := range errs {
		switch {
		case outcome.IsTerminal(err):
			terminal = append(terminal, err)
		case err != nil:
			retried = append(retried, err)
		}
	}
	if len(retried) > 0 {
		return errors.Join(retried...)
	}
	return errors.Join(terminal...)
}
