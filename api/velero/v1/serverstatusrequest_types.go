package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServerStatusRequestSpec is empty: there is only one question.
type ServerStatusRequestSpec struct{}

// ServerStatusRequestPhase is where a request stands.
// +kubebuilder:validation:Enum=New;Processed
type ServerStatusRequestPhase string

const (
	// ServerStatusRequestPhaseNew is a request nobody has looked at yet; an empty
	// phase means the same.
	ServerStatusRequestPhaseNew ServerStatusRequestPhase = "New"

	// ServerStatusRequestPhaseProcessed is a request with an answer. It is final.
	ServerStatusRequestPhaseProcessed ServerStatusRequestPhase = "Processed"
)

// PluginInfo names something that is run for items of a backup or a restore.
type PluginInfo struct {
	// name identifies it, such as "velero.io/pod".
	Name string `json:"name"`

	// kind says when it is run, such as "RestoreItemAction".
	Kind string `json:"kind"`
}

// ServerStatusRequestStatus is the answer to a request.
type ServerStatusRequestStatus struct {
	// phase is where the request stands.
	// +optional
	Phase ServerStatusRequestPhase `json:"phase,omitempty"`

	// processedTimestamp is when the server answered.
	// +optional
	// +nullable
	ProcessedTimestamp *metav1.Time `json:"processedTimestamp,omitempty"`

	// serverVersion is the version of the server.
	// +optional
	ServerVersion string `json:"serverVersion,omitempty"`

	// plugins are what the server runs for items.
	// +optional
	// +nullable
	Plugins []PluginInfo `json:"plugins,omitempty"`
}

// ServerStatusRequest asks the server for its version and plugins.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=ssr
// +kubebuilder:metadata:labels="component=velero"
type ServerStatusRequest struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is empty.
	// +optional
	Spec ServerStatusRequestSpec `json:"spec,omitempty"`

	// status is the answer.
	// +optional
	Status ServerStatusRequestStatus `json:"status,omitempty"`
}

// ServerStatusRequestList is a list of ServerStatusRequests.
//
// +kubebuilder:object:root=true
type ServerStatusRequestList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the requests.
	Items []ServerStatusRequest `json:"items"`
}
