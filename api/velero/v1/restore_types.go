package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RestoreSpec says what is restored, from which backup, and how.
type RestoreSpec struct {
	// backupName is the name of the Backup to restore. Exactly one of backupName
	// and scheduleName is given.
	// +optional
	BackupName string `json:"backupName,omitempty"`

	// scheduleName is the name of a Schedule; its newest completed backup is
	// restored.
	// +optional
	ScheduleName string `json:"scheduleName,omitempty"`

	// includedNamespaces are the namespaces to restore, by their names in the
	// backup. Empty or "*" means all.
	// +optional
	// +nullable
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`

	// excludedNamespaces are left out, also when includedNamespaces names them.
	// +optional
	// +nullable
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`

	// includedResources are the resources to restore. Empty or "*" means all.
	// +optional
	// +nullable
	IncludedResources []string `json:"includedResources,omitempty"`

	// excludedResources are left out, also when includedResources names them.
	// +optional
	// +nullable
	ExcludedResources []string `json:"excludedResources,omitempty"`

	// namespaceMapping maps names of namespaces in the backup to the names they
	// get in the cluster. A namespace without an entry keeps its name.
	// +optional
	NamespaceMapping map[string]string `json:"namespaceMapping,omitempty"`

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

	// restorePVs says whether persistent volumes are restored from native
	// snapshots. It has no say in file system restores.
	// +optional
	// +nullable
	RestorePVs *bool `json:"restorePVs,omitempty"`

	// restoreStatus says for which resources the status is restored. Unset means
	// for none.
	// +optional
	// +nullable
	RestoreStatus *RestoreStatusSpec `json:"restoreStatus,omitempty"`

	// preserveNodePorts says whether services keep the node ports of the backup.
	// Unset means no.
	// +optional
	// +nullable
	PreserveNodePorts *bool `json:"preserveNodePorts,omitempty"`

	// includeClusterResources says whether cluster-scoped resources are restored.
	// Unset means all of them when all namespaces are restored, else those that
	// namespaced items need.
	// +optional
	// +nullable
	IncludeClusterResources *bool `json:"includeClusterResources,omitempty"`

	// hooks are run in pods after their restore.
	// +optional
	Hooks RestoreHooks `json:"hooks,omitempty"`

	// existingResourcePolicy says what happens to an object that exists already
	// and differs from the backup. Empty means PolicyTypeNone.
	// +optional
	// +nullable
	ExistingResourcePolicy PolicyType `json:"existingResourcePolicy,omitempty"`

	// itemOperationTimeout bounds the time, as a Go duration, that asynchronous
	// item operations may take. Zero means the server's default.
	// +optional
	ItemOperationTimeout metav1.Duration `json:"itemOperationTimeout,omitempty"`

	// resourceModifier refers to a ConfigMap, in the namespace of the restore,
	// with changes to make to items before they are restored.
	// +optional
	// +nullable
	ResourceModifier *corev1.TypedLocalObjectReference `json:"resourceModifier,omitempty"`

	// uploaderConfig tunes how file data is downloaded and written.
	// +optional
	// +nullable
	UploaderConfig *UploaderConfigForRestore `json:"uploaderConfig,omitempty"`
}

// UploaderConfigForRestore tunes how file data is downloaded and written.
type UploaderConfigForRestore struct {
	// writeSparseFiles says whether runs of zeros become holes. Unset means no.
	// +optional
	// +nullable
	WriteSparseFiles *bool `json:"writeSparseFiles,omitempty"`

	// parallelFilesDownload is the number of files written at the same time. Zero
	// means the uploader's default.
	// +optional
	ParallelFilesDownload int `json:"parallelFilesDownload,omitempty"`
}

// RestoreHooks holds the hooks of a restore.
type RestoreHooks struct {
	// resources are the hooks, with the items each of them applies to.
	// +optional
	Resources []RestoreResourceHookSpec `json:"resources,omitempty"`
}

// RestoreStatusSpec says for which resources the status is restored.
type RestoreStatusSpec struct {
	// includedResources are the resources whose status is restored. Empty means
	// all.
	// +optional
	// +nullable
	IncludedResources []string `json:"includedResources,omitempty"`

	// excludedResources are resources whose status is not restored.
	// +optional
	// +nullable
	ExcludedResources []string `json:"excludedResources,omitempty"`
}

// RestoreResourceHookSpec is a set of hooks and the items they apply to.
type RestoreResourceHookSpec struct {
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

	// postHooks are run in order while and after the item is restored.
	// +optional
	PostHooks []RestoreResourceHook `json:"postHooks,omitempty"`
}

// RestoreResourceHook is one hook: a command or init containers.
type RestoreResourceHook struct {
	// exec runs a command in a container of the restored pod.
	// +optional
	Exec *ExecRestoreHook `json:"exec,omitempty"`

	// init adds init containers to the restored pod.
	// +optional
	Init *InitRestoreHook `json:"init,omitempty"`
}

// ExecRestoreHook runs a command in a container of a restored pod.
type ExecRestoreHook struct {
	// container is where the command runs. Empty means the pod's first container.
	// +optional
	Container string `json:"container,omitempty"`

	// command is the program and its arguments. It is not run in a shell.
	// +kubebuilder:validation:MinItems=1
	Command []string `json:"command"`

	// onError says whether further hooks of the pod are run after this one has
	// failed. Empty means Continue.
	// +optional
	OnError HookErrorMode `json:"onError,omitempty"`

	// execTimeout bounds the run of the command, as a Go duration. Zero means
	// 30s.
	// +optional
	ExecTimeout metav1.Duration `json:"execTimeout,omitempty"`

	// waitTimeout bounds the time, as a Go duration, until the container can run
	// the command. Zero means that only the restore's own limits apply.
	// +optional
	WaitTimeout metav1.Duration `json:"waitTimeout,omitempty"`

	// waitForReady says whether the container must be ready, not only running.
	// +optional
	// +nullable
	WaitForReady *bool `json:"waitForReady,omitempty"`
}

// InitRestoreHook adds init containers to a restored pod.
type InitRestoreHook struct {
	// initContainers are put before the pod's own init containers and behind the
	// one that waits for the volumes. Each is a core/v1 Container with name,
	// image and command.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	InitContainers []runtime.RawExtension `json:"initContainers,omitempty"`

	// timeout bounds the run of the init containers, as a Go duration.
	// +optional
	Timeout metav1.Duration `json:"timeout,omitempty"`
}

// PolicyType says what happens to an object that exists already.
type PolicyType string

const (
	// PolicyTypeNone leaves the existing object as it is and reports it.
	PolicyTypeNone PolicyType = "none"

	// PolicyTypeUpdate patches the existing object to what the backup holds.
	PolicyTypeUpdate PolicyType = "update"
)

// RestorePhase is where a restore stands.
// +kubebuilder:validation:Enum=New;FailedValidation;InProgress;WaitingForPluginOperations;WaitingForPluginOperationsPartiallyFailed;Completed;PartiallyFailed;Failed;Finalizing;FinalizingPartiallyFailed
type RestorePhase string

const (
	// RestorePhaseNew is a restore nobody has looked at yet; an empty phase means
	// the same.
	RestorePhaseNew RestorePhase = "New"

	// RestorePhaseFailedValidation is a restore that never started because of
	// status.validationErrors. It is final.
	RestorePhaseFailedValidation RestorePhase = "FailedValidation"

	// RestorePhaseInProgress is a restore whose items and volumes are being
	// written.
	RestorePhaseInProgress RestorePhase = "InProgress"

	// RestorePhaseWaitingForPluginOperations is a restore that waits for
	// asynchronous operations; nothing has failed so far.
	RestorePhaseWaitingForPluginOperations RestorePhase = "WaitingForPluginOperations"

	// RestorePhaseWaitingForPluginOperationsPartiallyFailed is a restore that
	// waits for asynchronous operations after something else has failed.
	RestorePhaseWaitingForPluginOperationsPartiallyFailed RestorePhase = "WaitingForPluginOperationsPartiallyFailed"

	// RestorePhaseFinalizing is a restore whose last steps are being done; nothing
	// has failed so far.
	RestorePhaseFinalizing RestorePhase = "Finalizing"

	// RestorePhaseFinalizingPartiallyFailed is a restore whose last steps are
	// being done after something has failed.
	RestorePhaseFinalizingPartiallyFailed RestorePhase = "FinalizingPartiallyFailed"

	// RestorePhaseCompleted is a restore without errors. It is final.
	RestorePhaseCompleted RestorePhase = "Completed"

	// RestorePhasePartiallyFailed is a restore that ran to its end but lacks what
	// its errors name. It is final.
	RestorePhasePartiallyFailed RestorePhase = "PartiallyFailed"

	// RestorePhaseFailed is a restore that could not run to its end;
	// status.failureReason says why. It is final.
	RestorePhaseFailed RestorePhase = "Failed"
)

// RestoreStatus says where a restore stands and what came of it.
type RestoreStatus struct {
	// phase is where the restore stands.
	// +optional
	Phase RestorePhase `json:"phase,omitempty"`

	// validationErrors say what is wrong with the spec.
	// +optional
	// +nullable
	ValidationErrors []string `json:"validationErrors,omitempty"`

	// warnings is the number of warnings in the restore's results.
	// +optional
	Warnings int `json:"warnings,omitempty"`

	// errors is the number of errors in the restore's results.
	// +optional
	Errors int `json:"errors,omitempty"`

	// failureReason says why the whole restore failed.
	// +optional
	FailureReason string `json:"failureReason,omitempty"`

	// startTimestamp is when the restore began, by the server's clock.
	// +optional
	// +nullable
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// completionTimestamp is when the restore ended, by the server's clock, well
	// or not.
	// +optional
	// +nullable
	CompletionTimestamp *metav1.Time `json:"completionTimestamp,omitempty"`

	// progress counts items. It is not updated with every item.
	// +optional
	// +nullable
	Progress *RestoreProgress `json:"progress,omitempty"`

	// restoreItemOperationsAttempted is how many asynchronous operations were
	// started.
	// +optional
	RestoreItemOperationsAttempted int `json:"restoreItemOperationsAttempted,omitempty"`

	// restoreItemOperationsCompleted is how many asynchronous operations
	// succeeded.
	// +optional
	RestoreItemOperationsCompleted int `json:"restoreItemOperationsCompleted,omitempty"`

	// restoreItemOperationsFailed is how many asynchronous operations failed.
	// +optional
	RestoreItemOperationsFailed int `json:"restoreItemOperationsFailed,omitempty"`

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

// RestoreProgress counts the items of a restore.
type RestoreProgress struct {
	// totalItems is the number of items known so far; items found on the way are
	// added to it.
	// +optional
	TotalItems int `json:"totalItems,omitempty"`

	// itemsRestored is the number of items written so far.
	// +optional
	ItemsRestored int `json:"itemsRestored,omitempty"`
}

// Restore is a request to bring objects and volumes of a backup into the cluster,
// and the record of what was restored.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
type Restore struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what is restored and how.
	// +optional
	Spec RestoreSpec `json:"spec,omitempty"`

	// status says where the restore stands.
	// +optional
	Status RestoreStatus `json:"status,omitempty"`
}

// IsFinished reports whether the restore will never change its result again.
func (r *Restore) IsFinished() bool {
	switch r.Status.Phase {
	case RestorePhaseFailedValidation, RestorePhaseCompleted, RestorePhasePartiallyFailed, RestorePhaseFailed:
		return true
	default:
		return false
	}
}

// IsRunning reports whether podkeep still has work to do for the restore. It is false
// for phases that a real Velero goes through at the end; nobody ends them here.
func (r *Restore) IsRunning() bool {
	switch r.Status.Phase {
	case "", RestorePhaseNew, RestorePhaseInProgress:
		return true
	default:
		return false
	}
}

// RestoreList is a list of Restores.
//
// +kubebuilder:object:root=true
type RestoreList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the restores.
	Items []Restore `json:"items"`
}
