package download

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// keys are where the files lie that can be asked for. The conformance test of the
// API has every kind of Velero.
var keys = map[velerov1.DownloadTargetKind]func(name string) string{
	velerov1.DownloadTargetKindBackupLog:                       layout.BackupLog,
	velerov1.DownloadTargetKindBackupContents:                  layout.BackupContents,
	velerov1.DownloadTargetKindBackupVolumeSnapshots:           layout.BackupVolumeSnapshots,
	velerov1.DownloadTargetKindBackupItemOperations:            layout.BackupItemOperations,
	velerov1.DownloadTargetKindBackupResourceList:              layout.BackupResourceList,
	velerov1.DownloadTargetKindBackupResults:                   layout.BackupResults,
	velerov1.DownloadTargetKindRestoreLog:                      layout.RestoreLog,
	velerov1.DownloadTargetKindRestoreResults:                  layout.RestoreResults,
	velerov1.DownloadTargetKindRestoreResourceList:             layout.RestoreResourceList,
	velerov1.DownloadTargetKindRestoreItemOperations:           layout.RestoreItemOperations,
	velerov1.DownloadTargetKindCSIBackupVolumeSnapshots:        layout.BackupCSIVolumeSnapshots,
	velerov1.DownloadTargetKindCSIBackupVolumeSnapshotContents: layout.BackupCSIVolumeSnapshotContents,
	velerov1.DownloadTargetKindBackupVolumeInfos:               layout.BackupVolumeInfo,
	velerov1.DownloadTargetKindRestoreVolumeInfo:               layout.RestoreVolumeInfo,
}

func isOfRestore(kind velerov1.DownloadTargetKind) bool {
	switch kind {
	case velerov1.DownloadTargetKindRestoreLog, velerov1.DownloadTargetKindRestoreResults, velerov1.DownloadTargetKindRestoreResourceList,
		velerov1.DownloadTargetKindRestoreItemOperations, velerov1.DownloadTargetKindRestoreVolumeInfo:
		return true
	default:
		return false
	}
}

// file is one object of a location.
type file struct {
	store    objectstore.Store
	location *velerov1.BackupStorageLocation
	key      string
}

// Locations opens the object storage of a BackupStorageLocation
// (locationaccess.Resolver).
type Locations interface {
	Store(ctx context.Context, name string) (objectstore.Store, *velerov1.BackupStorageLocation, error)
}

// finder finds the file of a request. The controller and the file server share
// it, so that the latter serves what the former has promised.
type finder struct {
	reader    client.Reader
	locations Locations
	namespace string
}

// find returns the file, or why there is none. An error is one of the API server.
func (f finder) find(ctx context.Context, target velerov1.DownloadTarget) (file, *obstacle, error) {
	key, ok := keys[target.Kind]
	if !ok {
		return file{}, &obstacle{velerov1.ReasonInvalidSpec, fmt.Sprintf("spec.target.kind: Unsupported value: %q", target.Kind)}, nil
	}
	backupName := target.Name
	if isOfRestore(target.Kind) {
		r := &velerov1.Restore{}
		switch err := f.reader.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: target.Name}, r); {
		case apierrors.IsNotFound(err):
			return file{}, &obstacle{velerov1.ReasonRestoreNotFound, fmt.Sprintf("there is no Restore %s", target.Name)}, nil
		case err != nil:
			return file{}, nil, fmt.Errorf("getting Restore %s: %w", target.Name, err)
		}
		// Files of a restore lie where those of its backup do.
		backupName = r.Spec.BackupName
	}
	b := &velerov1.Backup{}
	switch err := f.reader.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: backupName}, b); {
	case apierrors.IsNotFound(err):
		return file{}, &obstacle{velerov1.ReasonBackupNotFound, fmt.Sprintf("there is no Backup %s", backupName)}, nil
	case err != nil:
		return file{}, nil, fmt.Errorf("getting Backup %s: %w", backupName, err)
	}
	return f.open(ctx, b, key(target.Name))
}

func (f finder) open(ctx context.Context, b *velerov1.Backup, key string) (file, *obstacle, error) {
	if b.Spec.StorageLocation == "" {
		return file{}, &obstacle{velerov1.ReasonObjectNotFound, fmt.Sprintf("Backup %s has not started, so it has no files", b.Name)}, nil
	}
	store, bsl, err := f.locations.Store(ctx, b.Spec.StorageLocation)
	if err != nil {
		return file{}, &obstacle{locationaccess.Reason(err), locationaccess.Text(err)}, nil
	}
	return file{store: store, location: bsl, key: key}, nil, nil
}
