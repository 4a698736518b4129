package v1

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PodVolumeBackupSpec says which volume of which pod is backed up, and where to.
type PodVolumeBackupSpec struct {
	// node is the name of the node the pod runs on. Only that node's agent acts.
	Node string `json:"node"`

	// pod is the pod that uses the volume, with namespace, name and uid.
	Pod corev1.ObjectReference `json:"pod"`

	// volume is the name of the volume in the pod's spec.volumes.
	Volume string `json:"volume"`

	// backupStorageLocation is the name of the BackupStorageLocation that holds
	// the repository.
	BackupStorageLocation string `json:"backupStorageLocation"`

	// repoIdentifier is the address of a restic repository. It is empty for kopia.
	RepoIdentifier string `json:"repoIdentifier"`

	// uploaderType is the format the data is written in. podkeep writes kopia;
	// empty means restic in objects of Velero up to 1.18.
	// +optional
	// +kubebuilder:validation:Enum=kopia;restic;""
	UploaderType string `json:"uploaderType,omitempty"`

	// tags are attached to the snapshot and do not influence the backup.
	// +optional
	Tags map[string]string `json:"tags,omitempty"`

	// uploaderSettings tune the uploader, such as ParallelFilesUpload.
	// +optional
	// +nullable
	UploaderSettings map[string]string `json:"uploaderSettings,omitempty"`

	// cancel asks to stop the backup. It has no effect once the backup is
	// finished.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// PodVolumeBackupPhase is where a pod volume backup stands.
// +kubebuilder:validation:Enum=New;Accepted;Prepared;InProgress;Canceling;Canceled;Completed;Failed
type PodVolumeBackupPhase string

const (
	// PodVolumeBackupPhaseNew is a backup no node agent has taken yet; an empty
	// phase means the same.
	PodVolumeBackupPhaseNew PodVolumeBackupPhase = "New"

	// PodVolumeBackupPhaseAccepted is a backup whose mover pod is being made.
	PodVolumeBackupPhaseAccepted PodVolumeBackupPhase = "Accepted"

	// PodVolumeBackupPhasePrepared is a backup whose mover pod runs and waits for
	// a slot.
	PodVolumeBackupPhasePrepared PodVolumeBackupPhase = "Prepared"

	// PodVolumeBackupPhaseInProgress is a backup whose data is being read.
	PodVolumeBackupPhaseInProgress PodVolumeBackupPhase = "InProgress"

	// PodVolumeBackupPhaseCanceling is a backup whose mover has been asked to
	// stop.
	PodVolumeBackupPhaseCanceling PodVolumeBackupPhase = "Canceling"

	// PodVolumeBackupPhaseCanceled is a backup that was stopped. It is final.
	PodVolumeBackupPhaseCanceled PodVolumeBackupPhase = "Canceled"

	// PodVolumeBackupPhaseCompleted is a backup with a snapshot. It is final.
	PodVolumeBackupPhaseCompleted PodVolumeBackupPhase = "Completed"

	// PodVolumeBackupPhaseFailed is a backup that ended in an error;
	// status.message says which. It is final.
	PodVolumeBackupPhaseFailed PodVolumeBackupPhase = "Failed"
)

// DataMoveOperationProgress counts the bytes of one volume. Readers must allow
// for totals that are still growing: the size is estimated while data is moved.
type DataMoveOperationProgress struct {
	// totalBytes is the size of the volume's files, as far as it is known.
	// +optional
	TotalBytes int64 `json:"totalBytes,omitempty"`

	// bytesDone is the size of the files dealt with so far, unchanged ones
	// included.
	// +optional
	BytesDone int64 `json:"bytesDone,omitempty"`
}

// PodVolumeBackupStatus says where a pod volume backup stands and what came of it.
type PodVolumeBackupStatus struct {
	// phase is where the backup stands.
	// +optional
	Phase PodVolumeBackupPhase `json:"phase,omitempty"`

	// path is the directory the mover read.
	// +optional
	Path string `json:"path,omitempty"`

	// snapshotID identifies the snapshot in the repository. For kopia it is the
	// ID of the snapshot's manifest.
	// +optional
	SnapshotID string `json:"snapshotID,omitempty"`

	// message says, for people, why the phase is what it is.
	// +optional
	Message string `json:"message,omitempty"`

	// startTimestamp is when the mover began to read data, by the node agent's
	// clock.
	// +optional
	// +nullable
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// completionTimestamp is when the backup ended, by the node agent's clock,
	// well or not.
	// +optional
	// +nullable
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// progress counts the bytes of the volume.
	// +optional
	Progress DataMoveOperationProgress `json:"progress,omitempty"`

	// incrementalBytes is the size of the files that were new or changed since
	// the snapshot before.
	// +optional
	IncrementalBytes int64 `json:"incrementalBytes,omitempty"`

	// acceptedTimestamp is when a node agent took the backup, by its clock.
	// +optional
	// +nullable
	AcceptedTimestamp *metav1.Time `json:"acceptedTimestamp,omitempty"`

	// skippedFiles is the number of entries in the volume that a file system
	// backup cannot carry: pipes, sockets and devices. podkeep adds it; Velero
	// does not know it.
	// +optional
	SkippedFiles int64 `json:"skippedFiles,omitempty"`

	// conditions say, for people, what the phase leaves out. podkeep adds them;
	// Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PodVolumeBackup is the backup of one volume of one pod by the agent of the node
// the pod runs on.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=.status.phase,description="Where the backup stands"
// +kubebuilder:printcolumn:name="Started",type=date,JSONPath=.status.startTimestamp,description="Time since data was first read"
// +kubebuilder:printcolumn:name="Bytes Done",type=integer,format=int64,JSONPath=.status.progress.bytesDone,description="Bytes dealt with"
// +kubebuilder:printcolumn:name="Total Bytes",type=integer,format=int64,JSONPath=.status.progress.totalBytes,description="Bytes in all"
// +kubebuilder:printcolumn:name="Incremental Bytes",type=integer,format=int64,JSONPath=.status.incrementalBytes,priority=10
// +kubebuilder:printcolumn:name="Storage Location",type=string,JSONPath=.spec.backupStorageLocation,description="Where the data is kept"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp,description="Time since the object was made"
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=.status.node,description="Kept for compatibility; see spec.node"
// +kubebuilder:printcolumn:name="Uploader",type=string,JSONPath=.spec.uploaderType,description="Format of the data"
type PodVolumeBackup struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which volume is backed up, and where to.
	// +optional
	Spec PodVolumeBackupSpec `json:"spec,omitempty"`

	// status says where the backup stands.
	// +optional
	Status PodVolumeBackupStatus `json:"status,omitempty"`
}

// IsFinished reports whether the backup will never change its result again.
func (b *PodVolumeBackup) IsFinished() bool {
	switch b.Status.Phase {
	case PodVolumeBackupPhaseCompleted, PodVolumeBackupPhaseFailed, PodVolumeBackupPhaseCanceled:
		return true
	default:
		return false
	}
}

// IsTaken reports whether a node agent has begun to work for the backup. One that is
// not taken waits, and whoever asked for it may end it.
func (b *PodVolumeBackup) IsTaken() bool {
	switch b.Status.Phase {
	case "", PodVolumeBackupPhaseNew:
		return b.Status.AcceptedTimestamp != nil || b.Annotations[MoversAnnotation] != ""
	default:
		return true
	}
}

// IsCancelRequested reports whether the backup was told to stop.
func (b *PodVolumeBackup) IsCancelRequested() bool { return b.Spec.Cancel }

// RequestCancel tells the backup to stop, and why, unless something is said already.
func (b *PodVolumeBackup) RequestCancel(why string) {
	b.Spec.Cancel = true
	b.Status.Message = cmp.Or(b.Status.Message, why)
}

// EndCanceled ends a backup that nobody has taken.
func (b *PodVolumeBackup) EndCanceled(now metav1.Time, why string) {
	b.RequestCancel(why)
	b.Status.Phase, b.Status.CompletionTimestamp = PodVolumeBackupPhaseCanceled, &now
	setCanceled(&b.Status.Conditions, now, b.Status.Message)
}

// PodVolumeBackupList is a list of PodVolumeBackups.
//
// +kubebuilder:object:root=true
type PodVolumeBackupList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the pod volume backups.
	Items []PodVolumeBackup `json:"items"`
}
