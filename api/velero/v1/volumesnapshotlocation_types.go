package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VolumeSnapshotLocationSpec says where native volume snapshots are kept.
type VolumeSnapshotLocationSpec struct {
	// provider is the kind of volume storage, such as "aws".
	Provider string `json:"provider"`

	// config holds what the provider needs besides the credential.
	// +optional
	Config map[string]string `json:"config,omitempty"`

	// credential is a key of a Secret in the namespace of the location. Unset
	// means the credentials the server was installed with.
	// +optional
	Credential *corev1.SecretKeySelector `json:"credential,omitempty"`
}

// VolumeSnapshotLocationPhase is whether a location can be used.
// +kubebuilder:validation:Enum=Available;Unavailable
type VolumeSnapshotLocationPhase string

const (
	// VolumeSnapshotLocationPhaseAvailable is a location that can be used.
	VolumeSnapshotLocationPhaseAvailable VolumeSnapshotLocationPhase = "Available"

	// VolumeSnapshotLocationPhaseUnavailable is a location that cannot be used.
	VolumeSnapshotLocationPhaseUnavailable VolumeSnapshotLocationPhase = "Unavailable"
)

// VolumeSnapshotLocationStatus says whether a location can be used.
type VolumeSnapshotLocationStatus struct {
	// phase is whether the location can be used. No controller of Velero sets it.
	// +optional
	Phase VolumeSnapshotLocationPhase `json:"phase,omitempty"`
}

// VolumeSnapshotLocation is a place where native volume snapshots are kept.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vsl
// +kubebuilder:metadata:labels="component=velero"
type VolumeSnapshotLocation struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says where the snapshots are kept.
	// +optional
	Spec VolumeSnapshotLocationSpec `json:"spec,omitempty"`

	// status says whether the location can be used.
	// +optional
	Status VolumeSnapshotLocationStatus `json:"status,omitempty"`
}

// VolumeSnapshotLocationList is a list of VolumeSnapshotLocations.
//
// +kubebuilder:object:root=true
type VolumeSnapshotLocationList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the locations.
	Items []VolumeSnapshotLocation `json:"items"`
}
