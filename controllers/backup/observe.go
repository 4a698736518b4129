package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/podfacts/live"
)

// observe reads the cluster and, when the step depends on it, object storage. It
// decides nothing.
func (r *Reconciler) observe(ctx context.Context, b *velerov1.Backup) (observed, error) {
	o := observed{
		backup:         b,
		now:            r.Clock.Now(),
		volumeTimeout:  volumeTimeoutOf(b, r.Options.FSBackupTimeout),
		storageTimeout: r.Options.StorageTimeout,
		location:       b.Spec.StorageLocation,
	}
	var err error
	if o.volumes, err = r.volumesOf(ctx, b); err != nil {
		return o, err
	}
	if o.hooks, err = r.observeHooks(ctx, b); err != nil {
		return o, err
	}
	if isLive(b) && !isStarted(b) && !isCanceled(b) {
		if err := r.observeProblems(ctx, &o); err != nil {
			return o, err
		}
	}
	if needsStored(o) {
		if err := r.observeStored(ctx, &o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// volumesOf returns the pod volume backups of a backup, by name. They may belong to
// the cache and are not to be changed. That all are finished is believed only to
// the API server: the cache may not know the newest ones yet.
func (r *Reconciler) volumesOf(ctx context.Context, b *velerov1.Backup) ([]velerov1.PodVolumeBackup, error) {
	if b.IsFinished() && b.Status.Phase != velerov1.BackupPhaseFailed || isOthers(b) {
		r.pace.note(client.ObjectKeyFromObject(b), 0)
		return nil, nil
	}
	volumes, err := r.cachedVolumes(ctx, b)
	left := len(unfinished(volumes))
	ending := isCollected(b) || isStarted(b) && isCanceled(b)
	if err == nil && isLive(b) && ending && left == 0 {
		volumes, err = listVolumes(ctx, r.Reader, b)
		left = len(unfinished(volumes))
	}
	if left > 0 {
		left = len(volumes)
	}
	r.pace.note(client.ObjectKeyFromObject(b), left)
	return volumes, err
}

func (r *Reconciler) cachedVolumes(ctx context.Context, b *velerov1.Backup) ([]velerov1.PodVolumeBackup, error) {
	list := &velerov1.PodVolumeBackupList{}
	err := r.Client.List(ctx, list, client.InNamespace(b.Namespace), volumesOfBackup(b), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing pod volume backups: %w", err)
	}
	return sortVolumes(list.Items), nil
}

// volumesPage is how many volumes the API server is asked for at once: ten thousand
// in one answer would be in memory twice.
const volumesPage = 500

// listVolumes asks the API server.
func listVolumes(ctx context.Context, reader client.Reader, b *velerov1.Backup) ([]velerov1.PodVolumeBackup, error) {
	var volumes []velerov1.PodVolumeBackup
	for page := ""; ; {
		list := &velerov1.PodVolumeBackupList{}
		err := reader.List(ctx, list, client.InNamespace(b.Namespace), volumesOfBackup(b), client.Limit(volumesPage), client.Continue(page))
		if err != nil {
			return nil, fmt.Errorf("listing pod volume backups: %w", err)
		}
		volumes = append(volumes, list.Items...)
		if page = list.Continue; page == "" {
			return sortVolumes(volumes), nil
		}
	}
}

func volumesOfBackup(b *velerov1.Backup) client.MatchingLabels {
	return client.MatchingLabels{velerov1.BackupUIDLabel: string(b.UID)}
}

func sortVolumes(volumes []velerov1.PodVolumeBackup) []velerov1.PodVolumeBackup {
	slices.SortFunc(volumes, func(a, b velerov1.PodVolumeBackup) int { return cmp.Compare(a.Name, b.Name) })
	return volumes
}

func (r *Reconciler) observeProblems(ctx context.Context, o *observed) error {
	policies, problems, err := live.Policies(ctx, r.Reader, o.backup.Namespace, o.backup.Spec.ResourcePolicy)
	if err != nil {
		return err
	}
	o.problems = append(problems, validate(o.backup, policies)...)
	locations := &velerov1.BackupStorageLocationList{}
	if err := r.Client.List(ctx, locations, client.InNamespace(r.Namespace)); err != nil {
		return fmt.Errorf("listing backup storage locations: %w", err)
	}
	o.location = chooseLocation(o.backup, locations.Items, r.Options.DefaultLocation)
	bsl := findLocation(locations.Items, o.location)
	o.problems = append(o.problems, validateLocation(o.location, bsl)...)
	if isReady(o.backup) {
		o.problems = append(o.problems, validateAvailable(bsl)...)
	}
	return nil
}

// chooseLocation is the location that the backup names, or the one marked as the
// default (the first by name, should there be several), or the fallback.
func chooseLocation(b *velerov1.Backup, locations []velerov1.BackupStorageLocation, fallback string) string {
	if b.Spec.StorageLocation != "" {
		return b.Spec.StorageLocation
	}
	var defaults []string
	for _, l := range locations {
		if l.Spec.Default {
			defaults = append(defaults, l.Name)
		}
	}
	if len(defaults) == 0 {
		return fallback
	}
	return slices.Min(defaults)
}

func findLocation(locations []velerov1.BackupStorageLocation, name string) *velerov1.BackupStorageLocation {
	i := slices.IndexFunc(locations, func(l velerov1.BackupStorageLocation) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &locations[i]
}

// observeStored looks for the final backup of this name. A failure of object
// storage is a fact, not an error.
func (r *Reconciler) observeStored(ctx context.Context, o *observed) error {
	stored, err := r.readStored(ctx, o.location, o.backup.Name)
	if failed, ok := errors.AsType[*storageError](err); ok {
		o.storageErr = failed
		return nil
	}
	o.stored = stored
	return err
}

func (r *Reconciler) readStored(ctx context.Context, location, name string) (*velerov1.Backup, error) {
	store, err := r.openStore(ctx, location)
	if err != nil {
		return nil, err
	}
	body, err := store.Get(ctx, layout.BackupMetadata(name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, newStorageError(ctx, err)
	}
	defer closeQuietly(ctx, body)

	stored, err := layout.DecodeBackup(body)
	if errors.Is(err, layout.ErrCorrupt) || errors.Is(err, layout.ErrTooLarge) {
		// Somebody's file lies there all the same; it is not ours, and not
		// replaced.
		return &velerov1.Backup{}, nil
	}
	return stored, newStorageError(ctx, err)
}
