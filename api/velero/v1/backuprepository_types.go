package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// BackupRepositoryTypeRestic is the type of repositories that only Velero up
	// to 1.16 writes.
	BackupRepositoryTypeRestic = "restic"

	// BackupRepositoryTypeKopia is the type of repositories that podkeep writes.
	// It is also the uploader type of their snapshots.
	BackupRepositoryTypeKopia = "kopia"
)

// BackupRepositorySpec says whose data a repository holds, and where.
type BackupRepositorySpec struct {
	// volumeNamespace is the namespace of the pods whose volumes are in the
	// repository.
	VolumeNamespace string `json:"volumeNamespace"`

	// backupStorageLocation is the name of the BackupStorageLocation that holds
	// the repository.
	BackupStorageLocation string `json:"backupStorageLocation"`

	// repositoryType is the format of the repository.
	// +optional
	// +kubebuilder:validation:Enum=kopia;restic;""
	RepositoryType string `json:"repositoryType,omitempty"`

	// resticIdentifier is the address of a restic repository. It is empty for
	// kopia.
	// +optional
	ResticIdentifier string `json:"resticIdentifier,omitempty"`

	// maintenanceFrequency is the time between two maintenance runs, as a Go
	// duration.
	MaintenanceFrequency metav1.Duration `json:"maintenanceFrequency"`

	// repositoryConfig tunes the repository, such as cacheLimitMB.
	// +optional
	// +nullable
	RepositoryConfig map[string]string `json:"repositoryConfig,omitempty"`
}

// BackupRepositoryPhase is where a repository stands.
// +kubebuilder:validation:Enum=New;Ready;NotReady
type BackupRepositoryPhase string

const (
	// BackupRepositoryPhaseNew is a repository nobody has looked at yet; an empty
	// phase means the same.
	BackupRepositoryPhaseNew BackupRepositoryPhase = "New"

	// BackupRepositoryPhaseReady is a repository that can be read and written.
	BackupRepositoryPhaseReady BackupRepositoryPhase = "Ready"

	// BackupRepositoryPhaseNotReady is a repository that cannot be used;
	// status.message says why. It is tried again from time to time.
	BackupRepositoryPhaseNotReady BackupRepositoryPhase = "NotReady"
)

// BackupRepositoryStatus says whether a repository can be used.
type BackupRepositoryStatus struct {
	// phase is where the repository stands.
	// +optional
	Phase BackupRepositoryPhase `json:"phase,omitempty"`

	// message says, for people, why the phase is what it is.
	// +optional
	Message string `json:"message,omitempty"`

	// lastMaintenanceTime is when maintenance last succeeded.
	// +optional
	// +nullable
	LastMaintenanceTime *metav1.Time `json:"lastMaintenanceTime,omitempty"`

	// recentMaintenance holds the last few maintenance runs, newest last.
	// +optional
	RecentMaintenance []BackupRepositoryMaintenanceStatus `json:"recentMaintenance,omitempty"`

	// conditions say, for people, what the phase leaves out. podkeep adds them;
	// Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BackupRepositoryMaintenanceResult is how a maintenance run ended.
// +kubebuilder:validation:Enum=Succeeded;Failed
type BackupRepositoryMaintenanceResult string

const (
	// BackupRepositoryMaintenanceSucceeded is a run without errors.
	BackupRepositoryMaintenanceSucceeded BackupRepositoryMaintenanceResult = "Succeeded"

	// BackupRepositoryMaintenanceFailed is a run that ended in an error.
	BackupRepositoryMaintenanceFailed BackupRepositoryMaintenanceResult = "Failed"
)

// BackupRepositoryMaintenanceStatus describes one maintenance run.
type BackupRepositoryMaintenanceStatus struct {
	// result is how the run ended. Empty means that it has not ended.
	// +optional
	Result BackupRepositoryMaintenanceResult `json:"result,omitempty"`

	// startTimestamp is when the run began.
	// +optional
	// +nullable
	StartTimestamp *metav1.Time `json:"startTimestamp,omitempty"`

	// completeTimestamp is when the run ended.
	// +optional
	// +nullable
	CompleteTimestamp *metav1.Time `json:"completeTimestamp,omitempty"`

	// message says, for people, why the run failed.
	// +optional
	Message string `json:"message,omitempty"`
}

// BackupRepository is the repository that holds the volume data of one namespace
// in one BackupStorageLocation.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="Repository Type",type=string,JSONPath=.spec.repositoryType
type BackupRepository struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says whose data the repository holds, and where.
	// +optional
	Spec BackupRepositorySpec `json:"spec,omitempty"`

	// status says whether the repository can be used.
	// +optional
	Status BackupRepositoryStatus `json:"status,omitempty"`
}

// BackupRepositoryList is a list of BackupRepositories.
//
// +kubebuilder:object:root=true
type BackupRepositoryList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the repositories.
	Items []BackupRepository `json:"items"`
}
