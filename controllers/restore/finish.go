package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hold"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// finishing is what the end of a restore works with.
type finishing struct {
	o       observed
	store   objectstore.Store
	log     *itemlog.Log
	claims  map[types.NamespacedName]*corev1.PersistentVolumeClaim // that the restore has made
	volumes []velerov1.PodVolumeRestore                            // by their names

	// untaken says what the pods of volumes wait for that are not restored.
	untaken map[string]untaken
}

// finish records what came of the volumes, completes the files of the restore in
// the bucket and takes the marks off the namespaces.
func (r *Reconciler) finish(ctx context.Context, o observed) (err error) {
	store, _, err := r.Locations.Store(ctx, o.backup.Spec.StorageLocation)
	if err != nil {
		return waitForStorage("opening the storage location", err)
	}
	f := finishing{o: o, store: store, volumes: slices.SortedFunc(slices.Values(o.volumes), func(a, b velerov1.PodVolumeRestore) int {
		return cmp.Or(cmp.Compare(volumeName(&a), volumeName(&b)), cmp.Compare(a.Name, b.Name))
	})}
	if f.log, err = r.resumeLog(ctx, store, o.restore); err != nil {
		return waitForStorage("reading interim results", err)
	}
	defer func() { err = errors.Join(err, f.log.Close()) }()

	if f.untaken, err = r.explainUnrestored(ctx, o); err != nil {
		return err
	}
	recordVolumes(f)
	recordUngated(f)
	if err := r.recordHooks(ctx, f.log, o.restore); err != nil {
		return err
	}
	infos, err := r.recordVolumeInfo(ctx, &f)
	if err != nil {
		return err
	}
	if err := r.markClaims(ctx, o, f.claims); err != nil {
		return err
	}
	if err := r.unmarkNamespaces(ctx, o.restore); err != nil {
		return err
	}
	if err := uploadEnd(ctx, f, infos); err != nil {
		return waitForStorage("uploading results", err)
	}
	o.restore.Status.Warnings, o.restore.Status.Errors = f.log.Counts()
	return nil
}

// recordVolumes adds the warnings and errors of the volumes. A finish that is
// repeated finds its own entries in the interim results.
func recordVolumes(f finishing) {
	again := replaced(f.volumes)
	for _, v := range f.volumes {
		e := itemlog.Entry{Namespace: v.Spec.Pod.Namespace, Resource: "pods", Name: v.Spec.Pod.Name, Message: "volume " + v.Spec.Volume}
		err := volumeError(&v, f.untaken[v.Name])
		warning := volumeWarning(&v)
		switch {
		case err != nil && again[v.Name]:
			f.log.Info("Leaving out volume", "volume", volumeName(&v), "reason", "its pod was replaced, and the volume of the new one is restored")
		case err != nil:
			e.Message += " is not restored"
			e.Err = err
			f.log.ErrorOnce(e)
		case warning != "":
			e.Message += " is restored, but " + warning
			f.log.WarnOnce(e)
		default:
			f.log.Info("Restored volume", "volume", volumeName(&v), "bytes", v.Status.Progress.BytesDone)
		}
	}
}

// replaced returns the names of those volume restores whose volume was restored all
// the same: their pod was made again, as when its namespace was deleted in the
// middle, or another pod has taken its place.
func replaced(volumes []velerov1.PodVolumeRestore) map[string]bool {
	done := doneSources(volumes)
	again := map[string]bool{}
	for _, v := range volumes {
		again[v.Name] = v.Status.Phase != velerov1.PodVolumeRestorePhaseCompleted && done[hold.Source(&v)]
	}
	return again
}

// recordUngated warns of pods that started without waiting for their data, which
// the watchdog has found.
func recordUngated(f finishing) {
	for name := range strings.SplitSeq(f.o.restore.Annotations[velerov1.UngatedPodsAnnotation], ",") {
		if namespace, pod, ok := strings.Cut(name, "/"); ok {
			f.log.WarnOnce(itemlog.Entry{Namespace: namespace, Resource: "pods", Name: pod,
				Message: "the pod started on a volume before the restore had filled it, because no webhook held it; delete it when the restore has ended"})
		}
	}
}

// recordVolumeInfo builds the list of restored volumes and finishes the new
// persistent volumes.
func (r *Reconciler) recordVolumeInfo(ctx context.Context, f *finishing) (layout.RestoreVolumeInfoList, error) {
	var backedUp layout.VolumeInfoList
	if err := readJSON(ctx, f.store, layout.BackupVolumeInfo(f.o.backup.Name), &backedUp); err != nil {
		return nil, unreadable("reading the volume information", err)
	}
	var err error
	if f.claims, err = r.restoredClaims(ctx, f.o.restore); err != nil {
		return nil, err
	}
	r.finishVolumes(ctx, *f, backedUp)
	var infos layout.RestoreVolumeInfoList
	again := replaced(f.volumes)
	for _, v := range f.volumes {
		claim := v.Annotations[velerov1.PVCNameAnnotation]
		if claim == "" || again[v.Name] {
			continue // volumes without a claim are not listed (velero-facts §1.8)
		}
		pvc, err := r.claimOf(ctx, *f, types.NamespacedName{Namespace: v.Spec.Pod.Namespace, Name: claim})
		if err != nil {
			return nil, err
		}
		infos = append(infos, newVolumeInfo(&v, claim, pvc.Spec.VolumeName))
	}
	return infos, nil
}

// claimOf returns a claim, an empty one when it is gone. Those of generic ephemeral
// volumes are not made by the restore.
func (r *Reconciler) claimOf(ctx context.Context, f finishing, key types.NamespacedName) (*corev1.PersistentVolumeClaim, error) {
	if claim, ok := f.claims[key]; ok {
		return claim, nil
	}
	claim := &corev1.PersistentVolumeClaim{}
	if err := r.Reader.Get(ctx, key, claim); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("getting PersistentVolumeClaim %s: %w", key, err)
	}
	return claim, nil
}

// newVolumeInfo is the entry of one restored volume.
func newVolumeInfo(v *velerov1.PodVolumeRestore, claim, pv string) layout.RestoredVolumeInfo {
	return layout.RestoredVolumeInfo{
		PVCName:       claim,
		PVCNamespace:  v.Spec.Pod.Namespace,
		PVName:        pv,
		RestoreMethod: layout.RestoreMethodPodVolumeRestore,
		PodVolumeInfo: &layout.PodVolumeInfo{
			SnapshotHandle: v.Spec.SnapshotID,
			SizeBytes:      v.Status.Progress.TotalBytes,
			UploaderType:   v.Spec.UploaderType,
			VolumeName:     v.Spec.Volume,
			PodName:        v.Spec.Pod.Name,
			PodNamespace:   v.Spec.Pod.Namespace,
		},
	}
}

// uploadEnd completes the files of the restore.
func uploadEnd(ctx context.Context, f finishing, infos layout.RestoreVolumeInfoList) error {
	name := f.o.restore.Name
	if err := putJSON(ctx, f.store, layout.RestoreVolumeInfo(name), infos); err != nil {
		return err
	}
	if err := putJSON(ctx, f.store, layout.RestoreItemOperations(name), layout.RestoreItemOperationList(nil)); err != nil {
		return err
	}
	return uploadLog(ctx, f.store, name, f.log)
}

// finishCanceled ends a restore that was asked to stop. Its results are uploaded
// when storage takes them at once: stopping does not wait for storage.
func (r *Reconciler) finishCanceled(ctx context.Context, o observed) error {
	if err := r.release(ctx, o); err != nil {
		return err
	}
	if o.backup == nil || !isStarted(o.restore) {
		return nil
	}
	hurried, stop := context.WithTimeout(ctx, cancelUploadTime)
	defer stop()
	if err := r.uploadCanceled(hurried, o); err != nil {
		ctrl.LoggerFrom(ctx).Info("Leaving results of the canceled restore out of object storage", "reason", err.Error())
	}
	return ctx.Err()
}

// cancelUploadTime is how long a canceled restore may take for its results; all of
// it is to take 10 s.
const cancelUploadTime = 5 * time.Second

func (r *Reconciler) uploadCanceled(ctx context.Context, o observed) (err error) {
	f := finishing{o: o, volumes: o.volumes}
	if f.store, _, err = r.Locations.Store(ctx, o.backup.Spec.StorageLocation); err != nil {
		return err
	}
	if f.log, err = r.resumeLog(ctx, f.store, o.restore); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.log.Close()) }()
	recordVolumes(f)
	f.log.ErrorOnce(itemlog.Entry{Message: canceledMessage(o.restore)})
	o.restore.Status.Warnings, o.restore.Status.Errors = f.log.Counts()
	return uploadEnd(ctx, f, nil)
}

// cleanUp does what must happen before a Restore is gone, once its volumes have
// stopped: its marks go, and its files in the bucket.
func (r *Reconciler) cleanUp(ctx context.Context, o observed) error {
	if !o.restore.IsFinished() { // else its claims say how they are
		if err := r.markClaims(ctx, o, nil); err != nil {
			return err
		}
	}
	if err := r.unmarkNamespaces(ctx, o.restore); err != nil {
		return err
	}
	patience := o.restore.DeletionTimestamp.Add(o.storageTimeout)
	if err := r.removeFiles(ctx, o); err != nil {
		if o.now.Before(patience) {
			return waitForStorage("removing files of the restore", err)
		}
		ctrl.LoggerFrom(ctx).Info("Leaving files of the restore in object storage", "reason", err.Error())
	}
	controllerutil.RemoveFinalizer(o.restore, velerov1.RestoreExternalResourcesFinalizer)
	return nil
}

// removeFiles removes restores/<name>/ from the bucket. Without the backup or its
// location nobody knows where that is, so there is nothing to do.
func (r *Reconciler) removeFiles(ctx context.Context, o observed) error {
	if o.backup == nil {
		return nil
	}
	store, _, err := r.Locations.Store(ctx, o.backup.Spec.StorageLocation)
	if errors.Is(err, locationaccess.ErrLocationNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	keys, err := store.List(ctx, layout.RestorePrefix(o.restore.Name))
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
