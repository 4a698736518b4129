package sync

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// problem is a backup, or something of it, that cannot be in the cluster.
type problem struct {
	backup string
	why    string

	// inBucket: it lies in the files of the backup, and is the same as long as they
	// are.
	inBucket bool
}

// result is what a sync has done and found. It is valid, as far as it came, also
// when the sync failed.
type result struct {
	imported, removed []string
	swept             []string // folders of backups that never were
	held              []string // kept for people to decide
	problems          []problem
	place             string // what to record; "" when the sync did not come that far
	isEmpty           bool   // the place, when Backups are held
	failure           error
}

// run is one sync of one location.
type run struct {
	*Reconciler
	store    objectstore.Store
	location *velerov1.BackupStorageLocation
	result   result
}

// sync compares the location with the cluster and carries out each verdict. One
// backup that cannot be read does not keep the others from being synced; storage
// or an API server that does not answer does.
func (r *Reconciler) sync(ctx context.Context, l *velerov1.BackupStorageLocation) (result, error) {
	store, _, err := r.Access.Open(ctx, l)
	if locationaccess.Reason(err) == velerov1.ReasonLocationUnavailable {
		err = inCluster("reading what the location names", err)
	}
	if err != nil {
		return result{}, err
	}
	p := &run{Reconciler: r, store: store, location: l}
	w, err := p.look(ctx)
	if err != nil {
		return p.result, err
	}
	r.unusable.keep(l.UID, w.folders)
	verdicts := compare(w)
	for _, v := range verdicts {
		if err := p.carryOut(ctx, v); err != nil {
			return p.result, err
		}
	}
	p.result.place, p.result.isEmpty = nextPlace(w, verdicts), isEmptyPlace(w.place)
	return p.result, nil
}

// look reads the world, in the order that compare relies on.
func (p *run) look(ctx context.Context) (world, error) {
	w := world{location: p.location.Name, deleting: map[string]bool{}, recorded: p.location.Annotations[velerov1.SyncedFromAnnotation]}
	backups := &velerov1.BackupList{}
	// They are not changed: what is deleted or patched is read by name.
	if err := p.Client.List(ctx, backups, client.InNamespace(p.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return w, inCluster("listing Backups", err)
	}
	w.backups = backups.Items
	requests := &velerov1.DeleteBackupRequestList{}
	if err := p.Client.List(ctx, requests, client.InNamespace(p.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return w, inCluster("listing DeleteBackupRequests", err)
	}
	for i := range requests.Items {
		if r := &requests.Items[i]; r.Status.Phase != velerov1.DeleteBackupRequestPhaseProcessed {
			w.deleting[r.Spec.BackupName] = true
		}
	}

	prefixes, err := p.store.CommonPrefixes(ctx, layout.BackupsPrefix)
	if err != nil {
		return w, err
	}
	for _, prefix := range prefixes {
		if name := layout.BackupName(prefix); name != "" {
			w.folders = append(w.folders, name)
		}
	}
	return w, p.lookWhere(ctx, &w)
}

// lookWhere finds out where the location leads to. A place without anything in it
// is another place than one with something.
func (p *run) lookWhere(ctx context.Context, w *world) error {
	l, err := location.New(p.location)
	if err != nil {
		return fmt.Errorf("%w: %w", objectstore.ErrInvalidConfig, err)
	}
	w.place = l.Place()
	if len(w.folders) > 0 {
		return nil
	}
	top, err := p.store.CommonPrefixes(ctx, "")
	if err == nil && len(top) == 0 {
		w.place += emptySuffix
	}
	return err
}

// carryOut does what one verdict says. Every action is idempotent: a crash in the
// middle is made good by the next sync.
func (p *run) carryOut(ctx context.Context, v verdict) error {
	log := ctrl.LoggerFrom(ctx).WithValues("Backup", v.name)
	switch v.fate {
	case fateImport:
		return p.unlessUnusable(ctx, v.name, func() error { return p.importBackup(ctx, v.name) })
	case fateComplete:
		return p.unlessUnusable(ctx, v.name, func() error { return p.completeBackup(ctx, v.backup) })
	case fateRemove:
		return p.removeBackup(ctx, v.backup)
	case fateHold:
		log.V(1).Info("Keeping a Backup that is not in the location", "reason", v.why)
		if v.visible {
			p.result.held = append(p.result.held, v.name)
		}
	case fateSkip:
		log.V(1).Info("Skipping a stored backup", "reason", v.why)
		if v.visible {
			p.complain(v.name, v.why)
		}
	default:
	}
	return nil
}

func (p *run) complain(backup, why string) {
	p.result.problems = append(p.result.problems, problem{backup: backup, why: why})
}

// complainOfFiles is for what only other files of the backup can make good.
func (p *run) complainOfFiles(backup, why string) {
	p.result.problems = append(p.result.problems, problem{backup: backup, why: why, inBucket: true})
}

// importBackup makes the Backup and its volumes for a stored backup. What lies in
// the bucket is read before anything is made.
func (p *run) importBackup(ctx context.Context, name string) error {
	stored, err := p.readBackup(ctx, name)
	if err != nil {
		return err
	}
	if stored == nil {
		return p.sweep(ctx, name)
	}
	if a := admit(stored, name, p.Clock.Now()); !a.ok {
		ctrl.LoggerFrom(ctx).V(1).Info("Skipping a stored backup", "Backup", name, "reason", a.why)
		if a.visible {
			p.complainOfFiles(name, a.why)
		}
		return nil
	}
	volumes, err := p.readVolumes(ctx, name)
	if err != nil {
		return err
	}
	to, err := p.target(ctx, stored)
	if err != nil {
		return err
	}
	b := localBackup(stored, to)
	if volumes.readable && len(volumes.entries) == 0 {
		delete(b.Annotations, velerov1.SyncingAnnotation)
	}
	made, err := p.create(ctx, name, b)
	if !made || err != nil {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("Made a Backup of a stored one", "Backup", name, "phase", b.Status.Phase, "volumes", len(volumes.entries))
	if gone, err := p.takeBack(ctx, b); gone || err != nil {
		return err
	}
	p.result.imported = append(p.result.imported, name)
	return p.createVolumes(ctx, b, volumes)
}

// create makes the Backup. It exists already when the cache is behind, or another
// location had one of the same name; the next sync tells.
func (p *run) create(ctx context.Context, name string, b *velerov1.Backup) (bool, error) {
	if isTooLarge(b) {
		p.complainOfFiles(name, fmt.Sprintf("its Backup has more than the %d bytes that a cluster can keep", maxObjectBytes))
		return false, nil
	}
	err := p.Client.Create(ctx, b)
	switch {
	case err == nil:
		return true, nil
	case apierrors.IsAlreadyExists(err):
		return false, nil
	case isRefusal(err):
		p.refused(name, "the API server refuses its Backup: ", err)
		return false, nil
	default:
		return false, inCluster("creating Backup "+name, err)
	}
}

// refused complains of what the API server does not take. What it finds wrong with
// the object lies in the files; what it forbids does not.
func (p *run) refused(backup, what string, err error) {
	p.result.problems = append(p.result.problems, problem{
		backup: backup, why: what + locationaccess.Text(err), inBucket: !apierrors.IsForbidden(err),
	})
}

// isRefusal reports whether the API server will say the same to the same object
// again.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err) || apierrors.IsForbidden(err)
}

// takeBack removes a Backup whose files were deleted while it was being made: the
// deletion has gone through the objects in the cluster already.
func (p *run) takeBack(ctx context.Context, b *velerov1.Backup) (bool, error) {
	exists, err := p.store.Exists(ctx, layout.BackupMetadata(b.Name))
	if err != nil || exists {
		return false, err
	}
	return true, p.delete(ctx, b)
}

// completeBackup makes the volumes that an earlier sync did not come to.
func (p *run) completeBackup(ctx context.Context, b *velerov1.Backup) error {
	volumes, err := p.readVolumes(ctx, b.Name)
	if err != nil {
		return err
	}
	return p.createVolumes(ctx, b.DeepCopy(), volumes)
}

// removeBackup looks once more, at the one object that makes a backup exist.
func (p *run) removeBackup(ctx context.Context, b *velerov1.Backup) error {
	exists, err := p.store.Exists(ctx, layout.BackupMetadata(b.Name))
	if err != nil || exists {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("Deleting a Backup that is gone from its location", "Backup", b.Name)
	if err := p.delete(ctx, b); err != nil {
		return err
	}
	p.result.removed = append(p.result.removed, b.Name)
	return nil
}

// delete deletes the very Backup that was looked at, and leaves one that has
// changed since.
func (p *run) delete(ctx context.Context, b *velerov1.Backup) error {
	err := p.Client.Delete(ctx, &velerov1.Backup{ObjectMeta: b.ObjectMeta}, client.Preconditions{UID: &b.UID, ResourceVersion: &b.ResourceVersion})
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return inCluster("deleting Backup "+b.Name, err)
}

// target looks up the Schedules that the backup says it belongs to.
func (p *run) target(ctx context.Context, stored *velerov1.Backup) (target, error) {
	to := target{namespace: p.Namespace, location: p.location.Name, schedules: map[string]types.UID{}}
	for _, owner := range stored.OwnerReferences {
		if owner.Kind != kindSchedule {
			continue
		}
		s := &velerov1.Schedule{}
		switch err := p.Client.Get(ctx, client.ObjectKey{Namespace: p.Namespace, Name: owner.Name}, s); {
		case err == nil:
			to.schedules[owner.Name] = s.UID
		case !apierrors.IsNotFound(err):
			return to, inCluster("getting Schedule "+owner.Name, err)
		}
	}
	return to, nil
}

// readBackup is nil when there is none that could be made a Backup of.
func (p *run) readBackup(ctx context.Context, name string) (*velerov1.Backup, error) {
	body, err := p.store.Get(ctx, layout.BackupMetadata(name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return nil, nil // being written, or deleted, or left by either
	}
	if err != nil {
		return nil, p.ofOne(name, err)
	}
	stored, err := layout.DecodeBackup(body)
	err = errors.Join(err, body.Close())
	if err != nil {
		return nil, p.ofOne(name, err)
	}
	return stored, nil
}

// volumeList is the list of a backup's volumes.
type volumeList struct {
	entries  []velerov1.PodVolumeBackup
	readable bool // false means that there is a list, and that it is broken
}

// readVolumes returns the volumes of a backup. That they cannot be read, for a
// reason that lies in them, is a problem of that backup and no error.
func (p *run) readVolumes(ctx context.Context, name string) (volumeList, error) {
	body, err := p.store.Get(ctx, layout.BackupPodVolumeBackups(name))
	if errors.Is(err, objectstore.ErrNotFound) {
		return volumeList{readable: true}, nil
	}
	if err != nil {
		return volumeList{}, p.ofOne(name, err)
	}
	list := volumeList{readable: true}
	err = errors.Join(layout.DecodeJSONGzip(body, &list.entries), body.Close())
	if err != nil {
		return volumeList{}, p.ofOne(name, fmt.Errorf("reading the list of its volumes: %w", err))
	}
	return list, nil
}

// ofOne tells the errors that concern one backup from those that concern the
// location: the latter end the sync.
func (p *run) ofOne(name string, err error) error {
	switch {
	case errors.Is(err, objectstore.ErrUnavailable), errors.Is(err, objectstore.ErrBucketNotFound),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, layout.ErrCorrupt), errors.Is(err, layout.ErrTooLarge):
		p.complainOfFiles(name, locationaccess.Text(err))
		return nil
	default:
		p.complain(name, locationaccess.Text(err))
		return nil
	}
}
