package backup

import (
	"context"
	"errors"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// finish writes the remaining files, velero-backup.json last: with it, the
// backup exists. It begins from the interim files of collecting, and everything
// in it may be repeated.
func (r *Reconciler) finish(ctx context.Context, o observed) (result, error) {
	store, err := r.openStore(ctx, o.location)
	if err != nil {
		return result{}, err
	}
	log, err := r.resumeLog(ctx, store, o.backup)
	if err != nil {
		return result{}, err
	}
	defer closeQuietly(ctx, log)
	var interim layout.VolumeInfoList
	if err := download(ctx, store, layout.BackupVolumeInfo(o.backup.Name), &interim); err != nil {
		return result{}, err
	}

	info, lost := finalVolumeInfo(interim, o.volumes)
	failed := logVolumes(log, o, lost)
	books, err := r.readHooks(ctx, o.backup)
	if err != nil {
		return result{}, err
	}
	logHooks(log, books)
	warnings, errs := log.Counts()
	log.Info("Backup finished", "warnings", warnings, "errors", errs)
	final := o.backup.DeepCopy()
	// Finalizers are of this cluster: in another one nobody may be there to remove
	// them.
	final.ManagedFields, final.Finalizers = nil, nil
	conclude(final, o.now, warnings, errs)
	noteVolumes(final, failed)
	final.Status.HookStatus = countHooks(o.backup, books)

	files, err := finalFiles(final, info, o.volumes, log)
	if err != nil {
		return result{}, err
	}
	if err := uploadFinal(ctx, store, final.Name, files); err != nil {
		return result{}, err
	}
	ctrl.LoggerFrom(ctx).Info("Stored backup", "phase", final.Status.Phase, "warnings", warnings, "errors", errs)
	return result{final: &final.Status}, nil
}

// uploadFinal writes the files. Just before the last one, with which the backup
// exists, the mark goes that says that they are interim.
func uploadFinal(ctx context.Context, store objectstore.Store, backup string, files []file) error {
	last := len(files) - 1
	if err := upload(ctx, store, files[:last]); err != nil {
		return err
	}
	if err := store.Delete(ctx, layout.BackupInterim(backup)); err != nil {
		return newStorageError(ctx, fmt.Errorf("removing the interim mark: %w", err))
	}
	return upload(ctx, store, files[last:])
}

// resumeLog continues the log and the results of collecting.
func (r *Reconciler) resumeLog(ctx context.Context, store objectstore.Store, b *velerov1.Backup) (*itemlog.Log, error) {
	var results layout.Results
	if err := download(ctx, store, layout.BackupResults(b.Name), &results); err != nil {
		return nil, err
	}
	lines, err := store.Get(ctx, layout.BackupLog(b.Name))
	if err != nil {
		return nil, newStorageError(ctx, err)
	}
	defer closeQuietly(ctx, lines)

	return itemlog.Resume(r.logOptions(b), lines, results)
}

// logVolumes adds to log and results how the volumes have ended, and returns how
// many have no complete snapshot.
func logVolumes(log *itemlog.Log, o observed, lost layout.VolumeInfoList) int {
	if len(unfinished(o.volumes)) > 0 || (isTimedOut(o) && countFailed(o.volumes) > 0) {
		log.ErrorOnce(itemlog.Entry{Message: timeoutMessage(o)})
	}
	for i := range o.volumes {
		logVolume(log, &o.volumes[i])
	}
	for _, info := range lost {
		p := info.PodVolumeInfo
		log.ErrorOnce(volumeEntry(p.PodNamespace, p.PodName, p.VolumeName, errors.New("pod volume backup was deleted before it ended")))
	}
	return countFailed(o.volumes) + len(lost)
}

func isTimedOut(o observed) bool {
	return !o.now.Before(o.backup.Status.StartTimestamp.Add(o.volumeTimeout))
}

func countFailed(volumes []velerov1.PodVolumeBackup) int {
	n := 0
	for _, v := range volumes {
		if v.Status.Phase != velerov1.PodVolumeBackupPhaseCompleted {
			n++
		}
	}
	return n
}

func logVolume(log *itemlog.Log, v *velerov1.PodVolumeBackup) {
	entry := func(err error) itemlog.Entry {
		return volumeEntry(v.Spec.Pod.Namespace, v.Spec.Pod.Name, v.Spec.Volume, err)
	}
	switch v.Status.Phase {
	case velerov1.PodVolumeBackupPhaseCompleted:
		log.Info("Backed up volume", "namespace", v.Spec.Pod.Namespace, "pod", v.Spec.Pod.Name, "volume", v.Spec.Volume,
			"snapshotID", v.Status.SnapshotID, "bytes", v.Status.Progress.TotalBytes, "incrementalBytes", v.Status.IncrementalBytes)
		if v.Status.SkippedFiles > 0 {
			log.Info("Some entries of the volume are no files and not in the backup", "namespace", v.Spec.Pod.Namespace,
				"pod", v.Spec.Pod.Name, "volume", v.Spec.Volume, "entries", v.Status.SkippedFiles)
		}
	case velerov1.PodVolumeBackupPhaseFailed:
		log.ErrorOnce(entry(errors.New("pod volume backup failed: " + oneLine(v.Status.Message))))
	case velerov1.PodVolumeBackupPhaseCanceled:
		log.ErrorOnce(entry(errors.New("pod volume backup canceled: " + oneLine(v.Status.Message))))
	default:
		log.ErrorOnce(entry(fmt.Errorf("pod volume backup did not stop when it was canceled; its phase is %q", v.Status.Phase)))
	}
}

// volumeEntry names a volume in full, because results are read without the log.
func volumeEntry(namespace, pod, volume string, err error) itemlog.Entry {
	return itemlog.Entry{
		Namespace: namespace, Resource: podsResource.Resource, Name: pod,
		Message: fmt.Sprintf("Volume %s of pod %s/%s is not in the backup", volume, namespace, pod), Err: err,
	}
}

// finalFiles are all files of a backup but those that collecting has uploaded,
// in the order of upload.
func finalFiles(b *velerov1.Backup, info layout.VolumeInfoList, volumes []velerov1.PodVolumeBackup, log *itemlog.Log) ([]file, error) {
	documents := []struct {
		key   string
		value any
	}{
		{layout.BackupPodVolumeBackups(b.Name), storedVolumes(volumes)},
		{layout.BackupVolumeSnapshots(b.Name), []layout.NativeSnapshot(nil)},
		{layout.BackupItemOperations(b.Name), layout.BackupItemOperationList(nil)},
		{layout.BackupVolumeInfo(b.Name), info},
		{layout.BackupResults(b.Name), log.Results()},
	}
	files := make([]file, 0, len(documents)+2)
	for _, d := range documents {
		f, err := jsonFile(d.key, d.value)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	metadata, err := layout.EncodeBackup(b)
	if err != nil {
		return nil, err
	}
	return append(files,
		logFile(b.Name, log),
		bytesFile(layout.BackupMetadata(b.Name), metadata),
	), nil
}

// storedVolumes are the pod volume backups that a sync may create in another
// cluster. One that is not finished is not among them: a node agent there would
// act on it. Finalizers would keep it from being deleted where there is none. One
// that was canceled is stored as failed, because the CRD of Velero 1.16 refuses the
// phase, and so would the sync (velero-facts §13).
func storedVolumes(volumes []velerov1.PodVolumeBackup) []velerov1.PodVolumeBackup {
	var stored []velerov1.PodVolumeBackup
	for i := range volumes {
		if volumes[i].Name == "" || !volumes[i].IsFinished() {
			continue
		}
		v := volumes[i].DeepCopy()
		v.SetGroupVersionKind(velerov1.SchemeGroupVersion.WithKind("PodVolumeBackup"))
		v.ManagedFields, v.Finalizers = nil, nil
		v.Spec.Cancel = false
		if v.Status.Phase == velerov1.PodVolumeBackupPhaseCanceled {
			v.Status.Phase = velerov1.PodVolumeBackupPhaseFailed
			v.Status.Message = storedMessage(v.Status.Message)
		}
		stored = append(stored, *v)
	}
	return stored
}

// storedMessage keeps what the phase would have said.
func storedMessage(message string) string {
	if message == "" {
		return "canceled"
	}
	return "canceled: " + message
}
