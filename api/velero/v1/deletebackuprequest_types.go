package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeleteBackupRequestSpec says which backup is to be removed.
type DeleteBackupRequestSpec struct {
	// backupName is the name of the Backup.
	BackupName string `json:"backupName"`
}

// DeleteBackupRequestPhase is where a removal stands.
// +kubebuilder:validation:Enum=New;InProgress;Processed
type DeleteBackupRequestPhase string

const (
	// DeleteBackupRequestPhaseNew is a request nobody has looked at yet; an empty
	// phase means the same.
	DeleteBackupRequestPhaseNew DeleteBackupRequestPhase = "New"

	// DeleteBackupRequestPhaseInProgress is a request whose backup is being
	// removed.
	DeleteBackupRequestPhaseInProgress DeleteBackupRequestPhase = "InProgress"

	// DeleteBackupRequestPhaseProcessed is a request that is dealt with;
	// status.errors says what could not be removed. It is final.
	DeleteBackupRequestPhaseProcessed DeleteBackupRequestPhase = "Processed"
)

// DeleteBackupRequestStatus says where a removal stands.
type DeleteBackupRequestStatus struct {
	// phase is where the removal stands.
	// +optional
	Phase DeleteBackupRequestPhase `json:"phase,omitempty"`

	// errors say what could not be removed, and why.
	// +optional
	// +nullable
	Errors []string `json:"errors,omitempty"`

	// conditions say, for people, what the phase leaves out. podkeep adds them;
	// Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DeleteBackupRequest asks for the removal of a backup with all its data.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
// +kubebuilder:printcolumn:name="BackupName",type=string,JSONPath=.spec.backupName,description="Backup to be removed"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=.status.phase,description="Where the removal stands"
type DeleteBackupRequest struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which backup is to be removed.
	// +optional
	Spec DeleteBackupRequestSpec `json:"spec,omitempty"`

	// status says where the removal stands.
	// +optional
	Status DeleteBackupRequestStatus `json:"status,omitempty"`
}

// DeleteBackupRequestList is a list of DeleteBackupRequests.
//
// +kubebuilder:object:root=true
type DeleteBackupRequestList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the requests.
	Items []DeleteBackupRequest `json:"items"`
}
