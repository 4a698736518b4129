package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// finish records what came of the volumes, completes the files of the restore in
// the bucket and takes the marks off the namespaces.
func (r *Reconciler) finish(ctx context.Context, o observed) (err error) {
	store, _, err := r.Locations.Store(ctx, o.backup.Spec.StorageLocation)
	if err != nil {
		return waitForStorage("opening the storage location", err)
	}
	log, err := r.resumeLog(ctx, store, o.restore)
	if err != nil {
		return waitForStorage("reading interim results", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()

	volumes := slices.SortedFunc(slices.Values(o.volumes), func(a, b velerov1.PodVolumeRestore) int {
		return cmp.Compare(volumeName(&a), volumeName(&b))
	})
	recordVolumes(log, volumes, o.untaken)
	infos, err := r.recordVolumeInfo(ctx, store, o, log)
	if err != nil {
		return err
	}
	if err := r.unmarkNamespaces(ctx, o.restore); err != nil {
		return err
	}
	if err := uploadEnd(ctx, store, o.restore.Name, infos, log); err != nil {
		return waitForStorage("uploading results", err)
	}
	o.restore.Status.Warnings, o.restore.Status.Errors = log.Counts()
	return nil
}

// recordVolumes adds the warnings and errors of the volumes.
func recordVolumes(log *itemlog.Log, volumes []velerov1.PodVolumeRestore, untaken map[string]untaken) {
	for _, v := range volumes {
		e := itemlog.Entry{Namespace: v.Spec.Pod.Namespace, Resource: "pods", Name: v.Spec.Pod.Name, Message: "volume " + v.Spec.Volume}
		if err := volumeError(&v, untaken[v.Name].podGone); err != nil {
			e.Message += " is not restored"
			e.Err = err
			addError(log, e)
			continue
		}
		if warning := volumeWarning(&v); warning != "" {
			e.Message += " is restored, but " + warning
			addWarning(log, e)
			continue
		}
		log.Info("Restored volume", "volume", volumeName(&v), "bytes", v.Status.Progress.BytesDone)
	}
}

// addError and addWarning add an entry once: a finish that is repeated finds its
// own entries in the interim results.
func addError(log *itemlog.Log, e itemlog.Entry) {
	if !slices.Contains(log.Results().Errors.Namespaces[e.Namespace], e.String()) {
		log.Error(e)
	}
}

func addWarning(log *itemlog.Log, e itemlog.Entry) {
	if !slices.Contains(log.Results().Warnings.Namespaces[e.Namespace], e.String()) {
		log.Warn(e)
	}
}

// recordVolumeInfo builds the list of restored volumes and finishes the new
// persistent volumes.
func (r *Reconciler) recordVolumeInfo(ctx context.Context, store objectstore.Store, o observed, log *itemlog.Log) (layout.RestoreVolumeInfoList, error) {
	var backedUp layout.VolumeInfoList
	if err := readJSON(ctx, store, layout.BackupVolumeInfo(o.backup.Name), &backedUp); err != nil {
		return nil, waitForStorage("reading the volume information", err)
	}
	for _, warning := range r.finishVolumes(ctx, o.restore, backedUp) {
		log.Warn(itemlog.Entry{Cluster: true, Resource: "persistentvolumes", Message: warning})
	}
	var infos layout.RestoreVolumeInfoList
	for _, v := range o.volumes {
		claim := v.Annotations[velerov1.PVCNameAnnotation]
		if claim == "" {
			continue // volumes without a claim are not listed (velero-facts §1.8)
		}
		pvc := &corev1.PersistentVolumeClaim{}
		err := r.Reader.Get(ctx, client.ObjectKey{Namespace: v.Spec.Pod.Namespace, Name: claim}, pvc)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("getting PersistentVolumeClaim %s/%s: %w", v.Spec.Pod.Namespace, claim, err)
		}
		infos = append(infos, newVolumeInfo(&v, claim, pvc.Spec.VolumeName))
	}
	return infos, nil
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
func uploadEnd(ctx context.Context, store objectstore.Store, restore string, infos layout.RestoreVolumeInfoList, log *itemlog.Log) error {
	if err := putJSON(ctx, store, layout.RestoreVolumeInfo(restore), infos); err != nil {
		return err
	}
	if err := putJSON(ctx, store, layout.RestoreItemOperations(restore), layout.RestoreItemOperationList(nil)); err != nil {
		return err
	}
	return uploadLog(ctx, store, restore, log)
}

// cleanUp does what must happen before a Restore is gone: its volumes stop, its
// marks go, and its files in the bucket.
func (r *Reconciler) cleanUp(ctx context.Context, o observed) error {
	if err := r.cancel(ctx, uncanceled(o.volumes)); err != nil {
		return err
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
