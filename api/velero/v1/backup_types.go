package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// BackupVersion is the value of status.version of every backup written today.
	BackupVersion = 1

	// BackupFormatVersion is the value of status.formatVersion of every backup
	// written today; the item archive carries it in metadata/version too.
	BackupFormatVersion = "1.1.0"
)

// Metadata is the part of an object's metadata that a Schedule hands to the
// backups it makes.
type Metadata struct {
	// labels are put on each backup made from this template. When empty, the
	// labels of the Schedule are used.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// BackupSpec says what a backup contains and where it goes. Every field is
// optional; the server fills in its defaults when the backup starts.
type BackupSpec struct {
	// metadata is used by Schedule templates only.
	// +optional
	Metadata `json:"metadata,omitempty"`

	// includedNamespaces are the namespaces to back up. Empty or "*" means all.
	// +optional
	// +nullable
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`

	// excludedNamespaces are left out, also when includedNamespaces names them.
	// +optional
	// +nullable
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`

	// includedResources are the resources to back up, such as "pods" or
	// "deployments.apps". Empty or "*" means all. It cannot be combined with the
	// fields that filter by scope.
	// +optional
	// +nullable
	IncludedResources []string `json:"includedResources,omitempty"`

	// excludedResources are left out, also when includedResources names them.
	// +optional
	// +nullable
	ExcludedResources []string `json:"excludedResources,omitempty"`

	// includedClusterScopedResources are the cluster-scoped resources to back up.
	// "*" means all; empty means those that namespaced items need.
	// +optional
	// +nullable
	IncludedClusterScopedResources []string `json:"includedClusterScopedResources,omitempty"`

	// excludedClusterScopedResources are cluster-scoped resources to leave out.
	// "*" means all.
	// +optional
	// +nullable
	ExcludedClusterScopedResources []string `json:"excludedClusterScopedResources,omitempty"`

	// includedNamespaceScopedResources are the namespaced resources to back up.
	// Empty or "*" means all.
	// +optional
	// +nullable
	IncludedNamespaceScopedResources []string `json:"includedNamespaceScopedResources,omitempty"`

	// excludedNamespaceScopedResources are namespaced resources to leave out.
	// "*" means all.
	// +optional
	// +nullable
	ExcludedNamespaceScopedResources []string `json:"excludedNamespaceScopedResources,omitempty"`

	// labelSelector keeps only items whose labels match. Unset matches every
	// item. It cannot be combined with orLabelSelectors.
	// +optional
	// +nullable
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`

	// orLabelSelectors keep items that match at least one of the selectors. It
	// cannot be combined with labelSelector.
	// +optional
	// +nullable
	OrLabelSelectors []*metav1.LabelSelector `json:"orLabelSelectors,omitempty"`

	// snapshotVolumes says whether snapshots of persistent volumes are taken.
	// Unset means: where a snapshot location exists.
	// +optional
	// +nullable
	SnapshotVolumes *bool `json:"snapshotVolumes,omitempty"`

	// ttl is how long the backup is kept, as a Go duration. Zero means the
	// server's default.
	// +optional
	TTL metav1.Duration `json:"ttl,omitempty"`

	// volumeGroupSnapshotLabelKey is the label key that groups claims into one
	// volume group snapshot. Empty means the server's default.
	// +optional
	VolumeGroupSnapshotLabelKey string `json:"volumeGroupSnapshotLabelKey,omitempty"`

	// includeClusterResources says whether cluster-scoped resources are backed
	// up. Unset means those that namespaced items need.
	// +optional
	// +nullable
	IncludeClusterResources *bool `json:"includeClusterResources,omitempty"`

	// hooks are commands run in pods around their backup.
	// +optional
	Hooks BackupHooks `json:"hooks,omitempty"`

	// storageLocation is the name of the BackupStorageLocation the backup is
	// written to. Empty means the default location.
	// +optional
	StorageLocation string `json:"storageLocation,omitempty"`

	// volumeSnapshotLocations are names of VolumeSnapshotLocations, at most one
	// per provider.
	// +optional
	VolumeSnapshotLocations []string `json:"volumeSnapshotLocations,omitempty"`

	// defaultVolumesToRestic is the old name of defaultVolumesToFsBackup.
	//
	// Deprecated: true is read as defaultVolumesToFsBackup: true.
	// +optional
	// +nullable
	DefaultVolumesToRestic *bool `json:"defaultVolumesToRestic,omitempty"`

	// defaultVolumesToFsBackup says whether file system backup takes volumes for
	// which no annotation and no volume policy says otherwise. Unset means the
	// policy of the namespace, then the default of the server.
	// +optional
	// +nullable
	DefaultVolumesToFsBackup *bool `json:"defaultVolumesToFsBackup,omitempty"`

	// orderedResources maps a resource to a comma separated list of item names,
	// "namespace/name" or "name", that are backed up first and in that order.
	// +optional
	// +nullable
	OrderedResources map[string]string `json:"orderedResources,omitempty"`

	// csiSnapshotTimeout bounds the time, as a Go duration, that a CSI snapshot
	// may take to become ready. Zero means 10m.
	// +optional
	CSISnapshotTimeout metav1.Duration `json:"csiSnapshotTimeout,omitempty"`

	// itemOperationTimeout bounds the time, as a Go duration, that asynchronous
	// item operations may take. Zero means the server's default.
	// +optional
	ItemOperationTimeout metav1.Duration `json:"itemOperationTimeout,omitempty"`

	// resourcePolicy refers to a ConfigMap with volume policies in the namespace
	// of the backup.
	// +optional
	ResourcePolicy *corev1.TypedLocalObjectReference `json:"resourcePolicy,omitempty"`

	// snapshotMoveData says whether the data of snapshots is copied to the
	// storage location.
	// +optional
	// +nullable
	SnapshotMoveData *bool `json:"snapshotMoveData,omitempty"`

	// datamover is the name of the mover that copies the data of snapshots. Empty
	// or "velero" means the built-in one.
	// +optional
	DataMover string `json:"datamover,omitempty"`

	// uploaderConfig tunes how file data is read and uploaded.
	// +optional
	// +nullable
	UploaderConfig *UploaderConfigForBackup `json:"uploaderConfig,omitempty"`
}

// UploaderConfigForBackup tunes how file data is read and uploaded.
type UploaderConfigForBackup struct {
	// parallelFilesUpload is the number of files read at the same time. Zero
	// means the uploader's default.
	// +optional
	ParallelFilesUpload int `json:"parallelFilesUpload,omitempty"`
}

// BackupHooks holds the hooks of a backup.
type BackupHooks struct {
	// resources are the hooks, with the items each of them applies to.
	// +optional
	// +nullable
	Resources []BackupResourceHookSpec `json:"resources,omitempty"`
}

// BackupResourceHookSpec is a set of hooks and the items they apply to.
type BackupResourceHookSpec struct {
	// name identifies the hook in logs and results.
	Name string `json:"name"`

	// includedNamespaces are the namespaces the hook applies to. Empty means all.
	// +optional
	// +nullable
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`

	// excludedNamespaces are namespaces the hook does not apply to.
	// +optional
	// +nullable
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`

	// includedResources are the resources the hook applies to. Empty means all.
	// +optional
	// +nullable
	IncludedResources []string `json:"includedResources,omitempty"`

	// excludedResources are resources the hook does not apply to.
	// +optional
	// +nullable
	ExcludedResources []string `json:"excludedResources,omitempty"`

	// labelSelector keeps only items whose labels match. Unset matches all.
	// +optional
	// +nullable
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`

	// pre are run in order before the item and the items it needs are backed up.
	// +optional
	PreHooks []BackupResourceHook `json:"pre,omitempty"`

	// post are run in order after the item and its volumes have been backed up.
	// +optional
	PostHooks []BackupResourceHook `json:"post,omitempty"`
}

// BackupResourceHook is one hook.
type BackupResourceHook struct {
	// exec runs a command in a container of the pod.
	Exec *ExecHook `json:"exec"`
}

// ExecHook runs a command in a container of a pod during a backup.
type ExecHook struct {
	// container is where the command runs. Empty means the pod's first container.
	// +optional
	Container string `json:"container,omitempty"`

	// command is the program and its arguments. It is not run in a shell.
	// +kubebuilder:validation:MinItems=1
	Command []string `json:"command"`

	// onError says what a failing command does to the backup of the pod. Empty
	// counts the failure and goes on.
	// +optional
	OnError HookErrorMode `json:"onError,omitempty"`

	// timeout bounds the run of the command, as a Go duration. Zero means 30s.
	// +optional
	Timeout metav1.Duration `json:"timeout,omitempty"`
}

// HookErrorMode says what the failure of a hook does.
// +kubebuilder:validation:Enum=Continue;Fail
type HookErrorMode string

const (
	// HookErrorModeContinue reports the failure and goes on.
	HookErrorModeContinue HookErrorMode = "Continue"

	// HookErrorModeFail reports the failure and gives the item up.
	HookErrorModeFail HookErrorMode = "Fail"
)

// BackupPhase is where a backup stands.
// +kubebuilder:validation:Enum=New;Queued;ReadyToStart;FailedValidation;InProgress;WaitingForPluginOperations;WaitingForPluginOperationsPartiallyFailed;Finalizing;FinalizingPartiallyFailed;Completed;PartiallyFailed;Failed;Deleting
type BackupPhase string

const (
	// BackupPhaseNew is a backup nobody has looked at yet; an empty phase means
	// the same.
	BackupPhaseNew BackupPhase = "New"

	// BackupPhaseQueued is a backup waiting for others; status.queuePosition says
	// for how many.
	BackupPhaseQueued BackupPhase = "Queued"

	// BackupPhaseReadyToStart is a backup whose turn it is.
	BackupPhaseReadyToStart BackupPhase = "ReadyToStart"

	// BackupPhaseFailedValidation is a backup that never started because of
	// status.validationErrors. It is final.
	BackupPhaseFailedValidation BackupPhase = "FailedValidation"

	// BackupPhaseInProgress is a backup whose items and volumes are being read.
	BackupPhaseInProgress BackupPhase = "InProgress"

	// BackupPhaseWaitingForPluginOperations is a backup that waits for
	// asynchronous operations; nothing has failed so far.
	BackupPhaseWaitingForPluginOperations BackupPhase = "WaitingForPluginOperations"

	// BackupPhaseWaitingForPluginOperationsPartiallyFailed is a backup that waits
	// for asynchronous operations after something else has failed.
	BackupPhaseWaitingForPluginOperationsPartiallyFailed BackupPhase = "WaitingForPluginOperationsPartiallyFailed"

	// BackupPhaseFinalizing is a backup whose last files are being written;
	// nothing has failed so far.
	BackupPhaseFinalizing BackupPhase = "Finalizing"

	// BackupPhaseFinalizingPartiallyFailed is a backup whose last files are being
	// written after something has failed.
	BackupPhaseFinalizingPartiallyFailed BackupPhase = "FinalizingPartiallyFailed"

	// BackupPhaseCompleted is a backup without errors. It is final.
	BackupPhaseCompleted BackupPhase = "Completed"

	// BackupPhasePartiallyFailed is a backup that can be restored but lacks what
	// its errors name. It is final.
	BackupPhasePartiallyFailed BackupPhase = "PartiallyFailed"

	// BackupPhaseFailed is a backup that cannot be restored; status.failureReason
	// says why. It is final.
	BackupPhaseFailed BackupPhase = "Failed"

	// BackupPhaseDeleting is a backup that is being removed with all its data.
	BackupPhaseDeleting BackupPhase = "Deleting"
)

// BackupStatus says where a backup stands and what came of it.
type BackupStatus struct {
	// version is the major version of the backup's format.
	// +optional
	Version int `json:"version,omitempty"`

	// formatVersion is the full version of the backup's format.
	// +optional
	FormatVersion string `json:"formatVersion,omitempty"`

	// expiration is when the backup may be removed.
	// +optional
	// +nullable
	Expiration *metav1.Time `json:"expiration,omitempty"`

	// phase is where the backup stands.
	// +optional
	Phase BackupPhase `json:"phase,omitempty"`

	// queuePosition is the place in the queue, counted from one. Zero means that
	// the backup is not queued.
	// +optional
	QueuePosition int `json:"queuePosition,omitempty"`

	// validationErrors say what is wrong with the spec.
	// +optional
	// +nullable
	ValidationErrors []string `json:"validationErrors,omitempty"`

	// startTimestamp is when the backup began to read items, by the server's
	// clock.
	// +optional
	// +nullable
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// completionTimestamp is when the backup ended, by the server's clock, well
	// or not.
	// +optional
	// +nullable
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// volumeSnapshotsAttempted is how many native volume snapshots were tried.
	// +optional
	VolumeSnapshotsAttempted int `json:"volumeSnapshotsAttempted,omitempty"`

	// volumeSnapshotsCompleted is how many native volume snapshots succeeded.
	// +optional
	VolumeSnapshotsCompleted int `json:"volumeSnapshotsCompleted,omitempty"`

	// failureReason says why the whole backup failed.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`

	// warnings is the number of warnings in the backup's results.
	// +optional
	Warnings int `json:"warnings,omitempty"`

	// errors is the number of errors in the backup's results.
	// +optional
	Errors int `json:"errors,omitempty"`

	// progress counts items. It is not updated with every item.
	// +optional
	// +nullable
	Progress *BackupProgress `json:"progress,omitempty"`

	// csiVolumeSnapshotsAttempted is how many CSI snapshots were tried.
	// +optional
	CSIVolumeSnapshotsAttempted int `json:"csiVolumeSnapshotsAttempted,omitempty"`

	// csiVolumeSnapshotsCompleted is how many CSI snapshots succeeded.
	// +optional
	CSIVolumeSnapshotsCompleted int `json:"csiVolumeSnapshotsCompleted,omitempty"`

	// backupItemOperationsAttempted is how many asynchronous operations were
	// started.
	// +optional
	BackupItemOperationsAttempted int `json:"backupItemOperationsAttempted,omitempty"`

	// backupItemOperationsCompleted is how many asynchronous operations succeeded.
	// +optional
	BackupItemOperationsCompleted int `json:"backupItemOperationsCompleted,omitempty"`

	// backupItemOperationsFailed is how many asynchronous operations failed.
	// +optional
	BackupItemOperationsFailed int `json:"backupItemOperationsFailed,omitempty"`

	// hookStatus counts the hooks.
	// +optional
	// +nullable
	HookStatus *HookStatus `json:"hookStatus,omitempty"`

	// conditions say, for people, what the phase leaves out. podkeep adds them;
	// Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BackupProgress counts the items of a backup.
type BackupProgress struct {
	// totalItems is the number of items known so far; items found on the way are
	// added to it.
	// +optional
	TotalItems int `json:"totalItems,omitempty"`

	// itemsBackedUp is the number of items written so far.
	// +optional
	ItemsBackedUp int `json:"itemsBackedUp,omitempty"`
}

// HookStatus counts the hooks of a backup or a restore.
type HookStatus struct {
	// hooksAttempted is the number of hooks that were run, or would have been run
	// if an earlier one had not failed.
	// +optional
	HooksAttempted int `json:"hooksAttempted,omitempty"`

	// hooksFailed is the number of hooks that ended in an error.
	// +optional
	HooksFailed int `json:"hooksFailed,omitempty"`
}

// Backup is a request to save objects and volumes of a cluster, and the record of
// what was saved.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
type Backup struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what is backed up and where it goes.
	// +optional
	Spec BackupSpec `json:"spec,omitempty"`

	// status says where the backup stands.
	// +optional
	Status BackupStatus `json:"status,omitempty"`
}

// IsFinished reports whether the backup will never change its result again. A
// backup that is being deleted is not finished.
func (b *Backup) IsFinished() bool {
	switch b.Status.Phase {
	case BackupPhaseFailedValidation, BackupPhaseCompleted, BackupPhasePartiallyFailed, BackupPhaseFailed:
		return true
	default:
		return false
	}
}

// IsRunning reports whether podkeep still has work to do to make the backup: it
// waits for its turn, or is being made. It is false for phases that a real Velero
// goes through after that; nobody ends them here.
func (b *Backup) IsRunning() bool {
	switch b.Status.Phase {
	case "", BackupPhaseNew, BackupPhaseQueued, BackupPhaseReadyToStart, BackupPhaseInProgress:
		return true
	default:
		return false
	}
}

// BackupList is a list of Backups.
//
// +kubebuilder:object:root=true
type BackupList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the backups.
	Items []Backup `json:"items"`
}
