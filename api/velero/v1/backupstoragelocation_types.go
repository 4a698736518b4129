package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// BackupStorageLocationSpec says where backups are kept and how to get there.
type BackupStorageLocationSpec struct {
	// provider is the kind of object storage, such as "aws" or "velero.io/aws".
	Provider string `json:"provider"`

	// config holds what the provider needs besides bucket and credential.
	// +optional
	Config map[string]string `json:"config,omitempty"`

	// credential is a key of a Secret in the namespace of the location. Unset
	// means the credentials the server was installed with.
	// +optional
	Credential *corev1.SecretKeySelector `json:"credential,omitempty"`

	StorageType `json:",inline"`

	// default marks the location of backups that do not name one.
	// +optional
	Default bool `json:"default,omitempty"`

	// accessMode says whether the location may be written. Empty means ReadWrite.
	// +optional
	AccessMode BackupStorageLocationAccessMode `json:"accessMode,omitempty"`

	// backupSyncPeriod is the time between two looks for backups of other
	// clusters, as a Go duration. Zero means never, unset the server's default.
	// +optional
	// +nullable
	BackupSyncPeriod *metav1.Duration `json:"backupSyncPeriod,omitempty"`

	// validationFrequency is the time between two checks of the location, as a Go
	// duration. Zero means that it is checked once only, unset the server's
	// default.
	// +optional
	// +nullable
	ValidationFrequency *metav1.Duration `json:"validationFrequency,omitempty"`
}

// StorageType holds the fields of each type of storage; there is only one.
type StorageType struct {
	// objectStorage is the bucket that holds the backups.
	ObjectStorage *ObjectStorageLocation `json:"objectStorage"`
}

// ObjectStorageLocation is a place in object storage.
type ObjectStorageLocation struct {
	// bucket is the name of the bucket.
	Bucket string `json:"bucket"`

	// prefix is the path inside the bucket. Empty means the root; slashes at both
	// ends are ignored.
	// +optional
	Prefix string `json:"prefix,omitempty"`

	// caCert holds PEM certificates that are trusted for connections to the
	// storage. It cannot be combined with caCertRef.
	// +optional
	CACert []byte `json:"caCert,omitempty"`

	// caCertRef is a key of a Secret, in the namespace of the location, that holds
	// such certificates.
	// +optional
	CACertRef *corev1.SecretKeySelector `json:"caCertRef,omitempty"`
}

// BackupStorageLocationPhase is whether a location can be used.
// +kubebuilder:validation:Enum=Available;Unavailable
type BackupStorageLocationPhase string

const (
	// BackupStorageLocationPhaseAvailable is a location that passed its last
	// check.
	BackupStorageLocationPhaseAvailable BackupStorageLocationPhase = "Available"

	// BackupStorageLocationPhaseUnavailable is a location that failed its last
	// check; status.message says why.
	BackupStorageLocationPhaseUnavailable BackupStorageLocationPhase = "Unavailable"
)

// BackupStorageLocationAccessMode says whether a location may be written.
// +kubebuilder:validation:Enum=ReadOnly;ReadWrite
type BackupStorageLocationAccessMode string

const (
	// BackupStorageLocationAccessModeReadOnly allows restores only.
	BackupStorageLocationAccessModeReadOnly BackupStorageLocationAccessMode = "ReadOnly"

	// BackupStorageLocationAccessModeReadWrite allows everything.
	BackupStorageLocationAccessModeReadWrite BackupStorageLocationAccessMode = "ReadWrite"
)

// BackupStorageLocationStatus says whether a location can be used.
type BackupStorageLocationStatus struct {
	// phase is whether the location can be used.
	// +optional
	Phase BackupStorageLocationPhase `json:"phase,omitempty"`

	// lastSyncedTime is when backups in the location were last compared with the
	// Backups in the cluster.
	// +optional
	// +nullable
	LastSyncedTime *metav1.Time `json:"lastSyncedTime,omitempty"`

	// lastValidationTime is when the location was last checked.
	// +optional
	// +nullable
	LastValidationTime *metav1.Time `json:"lastValidationTime,omitempty"`

	// message says, for people, why the location is unavailable.
	// +optional
	Message string `json:"message,omitempty"`

	// lastSyncedRevision has no meaning.
	//
	// Deprecated: nobody reads or writes it.
	// +optional
	LastSyncedRevision types.UID `json:"lastSyncedRevision,omitempty"`

	// accessMode has no meaning.
	//
	// Deprecated: use spec.accessMode.
	// +optional
	AccessMode BackupStorageLocationAccessMode `json:"accessMode,omitempty"`

	// conditions say, for people, what the phase leaves out. podkeep adds them;
	// Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BackupStorageLocation is a place in object storage where backups are kept.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=bsl
// +kubebuilder:metadata:labels="component=velero"
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=.status.phase,description="Whether the location can be used"
// +kubebuilder:printcolumn:name="Last Validated",type=date,JSONPath=.status.lastValidationTime,description="Time since the last check"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="Default",type=boolean,JSONPath=.spec.default,description="Whether backups go here by default"
type BackupStorageLocation struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says where backups are kept and how to get there.
	// +optional
	Spec BackupStorageLocationSpec `json:"spec,omitempty"`

	// status says whether the location can be used.
	// +optional
	Status BackupStorageLocationStatus `json:"status,omitempty"`
}

// BackupStorageLocationList is a list of BackupStorageLocations.
//
// +kubebuilder:object:root=true
type BackupStorageLocationList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the locations.
	Items []BackupStorageLocation `json:"items"`
}
