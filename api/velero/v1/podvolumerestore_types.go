package v1

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PodVolumeRestoreSpec says which snapshot is written into which volume of which
// pod.
type PodVolumeRestoreSpec struct {
	// pod is the pod that uses the volume, with namespace, name and uid as they
	// are in the cluster now.
	Pod corev1.ObjectReference `json:"pod"`

	// volume is the name of the volume in the pod's spec.volumes.
	Volume string `json:"volume"`

	// backupStorageLocation is the name of the BackupStorageLocation that holds
	// the repository.
	BackupStorageLocation string `json:"backupStorageLocation"`

	// repoIdentifier is the address of a restic repository. It is empty for kopia.
	RepoIdentifier string `json:"repoIdentifier"`

	// uploaderType is the format the data was written in. podkeep reads kopia;
	// empty means restic in objects of Velero up to 1.18.
	// +optional
	// +kubebuilder:validation:Enum=kopia;restic;""
	UploaderType string `json:"uploaderType,omitempty"`

	// snapshotID identifies the snapshot to restore.
	SnapshotID string `json:"snapshotID"`

	// sourceNamespace is the namespace the pod had when it was backed up, which is
	// the namespace of the repository.
	SourceNamespace string `json:"sourceNamespace"`

	// uploaderSettings tune the download, such as WriteSparseFiles.
	// +optional
	// +nullable
	UploaderSettings map[string]string `json:"uploaderSettings,omitempty"`

	// cancel asks to stop the restore. It has no effect once the restore is
	// finished.
	// +optional
	Cancel bool `json:"cancel,omitempty"`

	// snapshotSize is the size of the snapshot's files in bytes. Zero means
	// unknown.
	// +optional
	SnapshotSize int64 `json:"snapshotSize,omitempty"`
}

// PodVolumeRestorePhase is where a pod volume restore stands.
// +kubebuilder:validation:Enum=New;Accepted;Prepared;InProgress;Canceling;Canceled;Completed;Failed
type PodVolumeRestorePhase string

const (
	// PodVolumeRestorePhaseNew is a restore no node agent has taken yet; an empty
	// phase means the same.
	PodVolumeRestorePhaseNew PodVolumeRestorePhase = "New"

	// PodVolumeRestorePhaseAccepted is a restore whose mover pod is being made.
	PodVolumeRestorePhaseAccepted PodVolumeRestorePhase = "Accepted"

	// PodVolumeRestorePhasePrepared is a restore whose mover pod runs and waits
	// for a slot.
	PodVolumeRestorePhasePrepared PodVolumeRestorePhase = "Prepared"

	// PodVolumeRestorePhaseInProgress is a restore whose data is being written.
	PodVolumeRestorePhaseInProgress PodVolumeRestorePhase = "InProgress"

	// PodVolumeRestorePhaseCanceling is a restore whose mover has been asked to
	// stop.
	PodVolumeRestorePhaseCanceling PodVolumeRestorePhase = "Canceling"

	// PodVolumeRestorePhaseCanceled is a restore that was stopped. It is final.
	PodVolumeRestorePhaseCanceled PodVolumeRestorePhase = "Canceled"

	// PodVolumeRestorePhaseCompleted is a restore that has written everything,
	// the marker the pod waits for included. It is final.
	PodVolumeRestorePhaseCompleted PodVolumeRestorePhase = "Completed"

	// PodVolumeRestorePhaseFailed is a restore that ended in an error;
	// status.message says which. It is final.
	PodVolumeRestorePhaseFailed PodVolumeRestorePhase = "Failed"
)

// PodVolumeRestoreStatus says where a pod volume restore stands and what came of
// it.
type PodVolumeRestoreStatus struct {
	// phase is where the restore stands.
	// +optional
	Phase PodVolumeRestorePhase `json:"phase,omitempty"`

	// message says, for people, why the phase is what it is.
	// +optional
	Message string `json:"message,omitempty"`

	// startTimestamp is when the mover began to write data, by the node agent's
	// clock.
	// +optional
	// +nullable
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// completionTimestamp is when the restore ended, by the node agent's clock,
	// well or not.
	// +optional
	// +nullable
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// progress counts the bytes of the volume.
	// +optional
	Progress DataMoveOperationProgress `json:"progress,omitempty"`

	// acceptedTimestamp is when a node agent took the restore, by its clock.
	// +optional
	// +nullable
	AcceptedTimestamp *metav1.Time `json:"acceptedTimestamp,omitempty"`

	// node is the name of the node whose agent took the restore.
	// +optional
	Node string `json:"node,omitempty"`

	// skippedFiles is the number of entries of the snapshot that could not be
	// written because a file system restore does not carry their kind: pipes,
	// sockets and devices. podkeep adds it; Velero does not know it.
	// +optional
	SkippedFiles int64 `json:"skippedFiles,omitempty"`

	// lostAttributes is the number of attributes (owner, mode, times, extended
	// attributes) that could not be set. podkeep adds it; Velero does not know it.
	// +optional
	LostAttributes int64 `json:"lostAttributes,omitempty"`

	// conditions say, for people, what the phase leaves out. podkeep adds them;
	// Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PodVolumeRestore is the restore of one volume of one pod by the agent of the
// node the pod runs on.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=.status.phase,description="Where the restore stands"
// +kubebuilder:printcolumn:name="Started",type=date,JSONPath=.status.startTimestamp,description="Time since data was first written"
// +kubebuilder:printcolumn:name="Bytes Done",type=integer,format=int64,JSONPath=.status.progress.bytesDone,description="Bytes written"
// +kubebuilder:printcolumn:name="Total Bytes",type=integer,format=int64,JSONPath=.status.progress.totalBytes,description="Bytes in all"
// +kubebuilder:printcolumn:name="Storage Location",type=string,JSONPath=.spec.backupStorageLocation,description="Where the data is kept"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp,description="Time since the object was made"
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=.status.node,description="Node whose agent restores"
// +kubebuilder:printcolumn:name="Uploader Type",type=string,JSONPath=.spec.uploaderType,description="Format of the data"
type PodVolumeRestore struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which snapshot is written into which volume.
	// +optional
	Spec PodVolumeRestoreSpec `json:"spec,omitempty"`

	// status says where the restore stands.
	// +optional
	Status PodVolumeRestoreStatus `json:"status,omitempty"`
}

// IsFinished reports whether the restore will never change its result again.
func (r *PodVolumeRestore) IsFinished() bool {
	switch r.Status.Phase {
	case PodVolumeRestorePhaseCompleted, PodVolumeRestorePhaseFailed, PodVolumeRestorePhaseCanceled:
		return true
	default:
		return false
	}
}

// IsTaken reports whether a node agent has begun to work for the restore. One that
// is not taken waits, and whoever asked for it may end it.
func (r *PodVolumeRestore) IsTaken() bool {
	switch r.Status.Phase {
	case "", PodVolumeRestorePhaseNew:
		return r.Status.Node != "" || r.Status.AcceptedTimestamp != nil || r.Annotations[MoversAnnotation] != ""
	default:
		return true
	}
}

// IsCancelRequested reports whether the restore was told to stop.
func (r *PodVolumeRestore) IsCancelRequested() bool { return r.Spec.Cancel }

// RequestCancel tells the restore to stop, and why, unless something is said already.
func (r *PodVolumeRestore) RequestCancel(why string) {
	r.Spec.Cancel = true
	r.Status.Message = cmp.Or(r.Status.Message, why)
}

// EndCanceled ends a restore that nobody has taken.
func (r *PodVolumeRestore) EndCanceled(now metav1.Time, why string) {
	r.RequestCancel(why)
	r.Status.Phase, r.Status.CompletionTimestamp = PodVolumeRestorePhaseCanceled, &now
	setCanceled(&r.Status.Conditions, now, r.Status.Message)
}

// PodVolumeRestoreList is a list of PodVolumeRestores.
//
// +kubebuilder:object:root=true
type PodVolumeRestoreList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the pod volume restores.
	Items []PodVolumeRestore `json:"items"`
}
