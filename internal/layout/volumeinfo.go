package layout

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// How a volume was backed up; VolumeInfo.BackupMethod.
const (
	BackupMethodNativeSnapshot  = "NativeSnapshot"
	BackupMethodPodVolumeBackup = "PodVolumeBackup"
	BackupMethodCSISnapshot     = "CSISnapshot"
)

// How a volume was restored; RestoreVolumeInfo.RestoreMethod.
const (
	RestoreMethodNativeSnapshot   = "NativeSnapshot"
	RestoreMethodPodVolumeRestore = "PodVolumeRestore"
	RestoreMethodCSISnapshot      = "CSISnapshot"
)

// How the backup of a volume ended; VolumeInfo.Result.
const (
	VolumeResultSucceeded = "succeeded"
	VolumeResultFailed    = "failed"
)

// VolumeInfoList is the content of BackupVolumeInfo. Nil is written as [].
type VolumeInfoList []VolumeInfo

// MarshalJSON implements json.Marshaler.
func (l VolumeInfoList) MarshalJSON() ([]byte, error) { return marshalList(l) }

// RestoreVolumeInfoList is the content of RestoreVolumeInfo. Nil is written as
// [].
type RestoreVolumeInfoList []RestoredVolumeInfo

// MarshalJSON implements json.Marshaler.
func (l RestoreVolumeInfoList) MarshalJSON() ([]byte, error) { return marshalList(l) }

// marshalList writes an empty list as [], never as null.
func marshalList[E any](list []E) ([]byte, error) {
	if list == nil {
		list = []E{}
	}
	return json.Marshal(list)
}

// VolumeInfo says how one volume was backed up. The order of its fields is
// contract, pinned by testdata.
type VolumeInfo struct {
	PVCName      string `json:"pvcName,omitempty"`
	PVCNamespace string `json:"pvcNamespace,omitempty"`
	PVName       string `json:"pvName,omitempty"`

	// BackupMethod is one of the BackupMethod constants; "" for a skipped volume.
	BackupMethod string `json:"backupMethod,omitempty"`

	SnapshotDataMoved     bool   `json:"snapshotDataMoved"`
	PreserveLocalSnapshot bool   `json:"preserveLocalSnapshot"`
	Skipped               bool   `json:"skipped"`
	SkippedReason         string `json:"skippedReason,omitempty"`

	StartTimestamp      *metav1.Time `json:"startTimestamp,omitempty"`
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// Result is VolumeResultSucceeded or VolumeResultFailed.
	Result string `json:"result,omitempty"`

	CSISnapshotInfo          *CSISnapshotInfo          `json:"csiSnapshotInfo,omitempty"`
	SnapshotDataMovementInfo *SnapshotDataMovementInfo `json:"snapshotDataMovementInfo,omitempty"`
	NativeSnapshotInfo       *NativeSnapshotInfo       `json:"nativeSnapshotInfo,omitempty"`
	PodVolumeInfo            *PodVolumeInfo            `json:"pvbInfo,omitempty"`
	PVInfo                   *PVInfo                   `json:"pvInfo,omitempty"`
}

// RestoredVolumeInfo says how one volume was restored. Volumes without a
// claim have no entry.
type RestoredVolumeInfo struct {
	PVCName      string `json:"pvcName,omitempty"`
	PVCNamespace string `json:"pvcNamespace,omitempty"`
	PVName       string `json:"pvName,omitempty"`

	// RestoreMethod is one of the RestoreMethod constants.
	RestoreMethod string `json:"restoreMethod"`

	SnapshotDataMoved bool `json:"snapshotDataMoved"`

	CSISnapshotInfo          *CSISnapshotInfo          `json:"csiSnapshotInfo,omitempty"`
	SnapshotDataMovementInfo *SnapshotDataMovementInfo `json:"snapshotDataMovementInfo,omitempty"`
	NativeSnapshotInfo       *NativeSnapshotInfo       `json:"nativeSnapshotInfo,omitempty"`
	PodVolumeInfo            *PodVolumeInfo            `json:"pvrInfo,omitempty"`
}

// PodVolumeInfo is what file system backup knows of a volume. In a restore,
// NodeName and Phase are empty.
type PodVolumeInfo struct {
	SnapshotHandle string `json:"snapshotHandle,omitempty"` // kopia manifest ID

	// SizeBytes is the logical size of the volume.
	SizeBytes int64 `json:"size,omitempty"`

	// IncrementalBytes is the size of what had changed since the last backup.
	IncrementalBytes int64 `json:"incrementalSize,omitempty"`

	UploaderType string `json:"uploaderType"`
	VolumeName   string `json:"volumeName"`
	PodName      string `json:"podName"`
	PodNamespace string `json:"podNamespace"`
	NodeName     string `json:"nodeName,omitempty"`

	// Phase has a key in Go's case because Velero's field has no JSON tag.
	Phase velerov1.PodVolumeBackupPhase `json:"Phase"`
}

// PVInfo is what of a persistent volume is given to the volume that replaces it.
type PVInfo struct {
	ReclaimPolicy string            `json:"reclaimPolicy"`
	Labels        map[string]string `json:"labels"` // nil is written as null
}

// CSISnapshotInfo is written by Velero only; podkeep reads it.
type CSISnapshotInfo struct {
	SnapshotHandle string `json:"snapshotHandle"`
	SizeBytes      int64  `json:"size"`
	Driver         string `json:"driver"`
	VSCName        string `json:"vscName"`
	OperationID    string `json:"operationID,omitempty"`

	// ReadyToUse has a key in Go's case because Velero's field has no JSON tag.
	ReadyToUse *bool `json:"ReadyToUse"`

	VolumeGroupSnapshotHandle string `json:"volumeGroupSnapshotHandle,omitempty"`
}

// SnapshotDataMovementInfo is written by Velero only; podkeep reads it.
type SnapshotDataMovementInfo struct {
	DataMover        string `json:"dataMover"`
	UploaderType     string `json:"uploaderType"`
	RetainedSnapshot string `json:"retainedSnapshot,omitempty"`
	SnapshotHandle   string `json:"snapshotHandle"`
	OperationID      string `json:"operationID"`
	SizeBytes        int64  `json:"size"`
	IncrementalBytes int64  `json:"incrementalSize,omitempty"`

	// Phase has a key in Go's case because Velero's field has no JSON tag.
	Phase string `json:"Phase"`
}

// NativeSnapshotInfo is written by Velero only; podkeep reads it.
type NativeSnapshotInfo struct {
	SnapshotHandle string `json:"snapshotHandle"`
	VolumeType     string `json:"volumeType"`
	VolumeAZ       string `json:"volumeAZ"`
	IOPS           string `json:"iops"`

	// Phase has a key in Go's case because Velero's field has no JSON tag.
	Phase string `json:"Phase"`
}
