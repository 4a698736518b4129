package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DownloadRequestSpec says which file is wanted.
type DownloadRequestSpec struct {
	// target is the wanted file.
	Target DownloadTarget `json:"target"`
}

// DownloadTargetKind names a file of a backup or of a restore.
// +kubebuilder:validation:Enum=BackupLog;BackupContents;BackupVolumeSnapshots;BackupItemOperations;BackupResourceList;BackupResults;RestoreLog;RestoreResults;RestoreResourceList;RestoreItemOperations;CSIBackupVolumeSnapshots;CSIBackupVolumeSnapshotContents;BackupVolumeInfos;RestoreVolumeInfo
type DownloadTargetKind string

const (
	// DownloadTargetKindBackupLog is the log of a backup.
	DownloadTargetKindBackupLog DownloadTargetKind = "BackupLog"

	// DownloadTargetKindBackupContents is the archive with the items of a backup.
	DownloadTargetKindBackupContents DownloadTargetKind = "BackupContents"

	// DownloadTargetKindBackupVolumeSnapshots is the list of native snapshots of a
	// backup.
	DownloadTargetKindBackupVolumeSnapshots DownloadTargetKind = "BackupVolumeSnapshots"

	// DownloadTargetKindBackupItemOperations is the list of asynchronous
	// operations of a backup.
	DownloadTargetKindBackupItemOperations DownloadTargetKind = "BackupItemOperations"

	// DownloadTargetKindBackupResourceList is the list of items of a backup.
	DownloadTargetKindBackupResourceList DownloadTargetKind = "BackupResourceList"

	// DownloadTargetKindBackupResults is the list of warnings and errors of a
	// backup.
	DownloadTargetKindBackupResults DownloadTargetKind = "BackupResults"

	// DownloadTargetKindRestoreLog is the log of a restore.
	DownloadTargetKindRestoreLog DownloadTargetKind = "RestoreLog"

	// DownloadTargetKindRestoreResults is the list of warnings and errors of a
	// restore.
	DownloadTargetKindRestoreResults DownloadTargetKind = "RestoreResults"

	// DownloadTargetKindRestoreResourceList is the list of items of a restore.
	DownloadTargetKindRestoreResourceList DownloadTargetKind = "RestoreResourceList"

	// DownloadTargetKindRestoreItemOperations is the list of asynchronous
	// operations of a restore.
	DownloadTargetKindRestoreItemOperations DownloadTargetKind = "RestoreItemOperations"

	// DownloadTargetKindCSIBackupVolumeSnapshots is the list of CSI snapshots of a
	// backup by Velero up to 1.16.
	DownloadTargetKindCSIBackupVolumeSnapshots DownloadTargetKind = "CSIBackupVolumeSnapshots"

	// DownloadTargetKindCSIBackupVolumeSnapshotContents is the list of CSI
	// snapshot contents of a backup by Velero up to 1.16.
	DownloadTargetKindCSIBackupVolumeSnapshotContents DownloadTargetKind = "CSIBackupVolumeSnapshotContents"

	// DownloadTargetKindBackupVolumeInfos is the list of volumes of a backup.
	DownloadTargetKindBackupVolumeInfos DownloadTargetKind = "BackupVolumeInfos"

	// DownloadTargetKindRestoreVolumeInfo is the list of volumes of a restore.
	DownloadTargetKindRestoreVolumeInfo DownloadTargetKind = "RestoreVolumeInfo"
)

// DownloadTarget is one file of one backup or restore.
type DownloadTarget struct {
	// kind names the file.
	Kind DownloadTargetKind `json:"kind"`

	// name is the name of the Backup or Restore, according to kind.
	Name string `json:"name"`
}

// DownloadRequestPhase is where a download request stands.
// +kubebuilder:validation:Enum=New;Processed
type DownloadRequestPhase string

const (
	// DownloadRequestPhaseNew is a request nobody has looked at yet; an empty
	// phase means the same.
	DownloadRequestPhaseNew DownloadRequestPhase = "New"

	// DownloadRequestPhaseProcessed is a request with an answer. It is final.
	DownloadRequestPhaseProcessed DownloadRequestPhase = "Processed"
)

// DownloadRequestStatus is the answer to a download request.
type DownloadRequestStatus struct {
	// phase is where the request stands.
	// +optional
	Phase DownloadRequestPhase `json:"phase,omitempty"`

	// downloadURL is the address the file can be read from until expiration,
	// without further credentials.
	// +optional
	DownloadURL string `json:"downloadURL,omitempty"`

	// expiration is when the address stops working and the request may be removed.
	// +optional
	// +nullable
	Expiration *metav1.Time `json:"expiration,omitempty"`

	// conditions say, for people, why there is no address, or that the file behind
	// it does not exist. podkeep adds them; Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DownloadRequest asks for a temporary address of a file in object storage.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
type DownloadRequest struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which file is wanted.
	// +optional
	Spec DownloadRequestSpec `json:"spec,omitempty"`

	// status is the answer.
	// +optional
	Status DownloadRequestStatus `json:"status,omitempty"`
}

// DownloadRequestList is a list of DownloadRequests.
//
// +kubebuilder:object:root=true
type DownloadRequestList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the requests.
	Items []DownloadRequest `json:"items"`
}
