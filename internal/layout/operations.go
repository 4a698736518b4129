package layout

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NativeSnapshot is a snapshot taken by the storage provider. podkeep takes
// none; a nil slice, written as null, says so.
type NativeSnapshot struct {
	Spec   NativeSnapshotSpec   `json:"spec"`
	Status NativeSnapshotStatus `json:"status"`
}

// NativeSnapshotSpec says what the snapshot is of.
type NativeSnapshotSpec struct {
	BackupName           string `json:"backupName"`
	BackupUID            string `json:"backupUID"`
	Location             string `json:"location"`
	PersistentVolumeName string `json:"persistentVolumeName"`
	ProviderVolumeID     string `json:"providerVolumeID"`
	VolumeType           string `json:"volumeType"`
	VolumeAZ             string `json:"volumeAZ,omitempty"`
	VolumeIOPS           *int64 `json:"volumeIOPS,omitempty"`
}

// NativeSnapshotStatus says how it went.
type NativeSnapshotStatus struct {
	ProviderSnapshotID string `json:"providerSnapshotID,omitempty"`
	Phase              string `json:"phase,omitempty"` // New, Completed or Failed
}

// BackupItemOperationList is the content of BackupItemOperations. Nil is written
// as []. File system backup has no such operations.
type BackupItemOperationList []BackupItemOperation

// MarshalJSON implements json.Marshaler.
func (l BackupItemOperationList) MarshalJSON() ([]byte, error) { return marshalList(l) }

// RestoreItemOperationList is the content of RestoreItemOperations. Nil is
// written as [].
type RestoreItemOperationList []RestoreItemOperation

// MarshalJSON implements json.Marshaler.
func (l RestoreItemOperationList) MarshalJSON() ([]byte, error) { return marshalList(l) }

// BackupItemOperation is work on an item that went on after the item was
// written.
type BackupItemOperation struct {
	Spec   BackupItemOperationSpec `json:"spec"`
	Status ItemOperationStatus     `json:"status"`
}

// BackupItemOperationSpec says which plugin works on which item.
type BackupItemOperationSpec struct {
	BackupName         string             `json:"backupName"`
	BackupUID          string             `json:"backupUID"`
	BackupItemAction   string             `json:"backupItemAction"`
	ResourceIdentifier ResourceIdentifier `json:"resourceIdentifier"`
	OperationID        string             `json:"operationID"`

	// PostOperationItems are written again when the operation ends.
	PostOperationItems []ResourceIdentifier `json:"postOperationItems"`
}

// RestoreItemOperation is work on an item that went on after the item was
// created.
type RestoreItemOperation struct {
	Spec   RestoreItemOperationSpec `json:"spec"`
	Status ItemOperationStatus      `json:"status"`
}

// RestoreItemOperationSpec says which plugin works on which item.
type RestoreItemOperationSpec struct {
	RestoreName        string             `json:"restoreName"`
	RestoreUID         string             `json:"restoreUID"`
	RestoreItemAction  string             `json:"restoreItemAction"`
	ResourceIdentifier ResourceIdentifier `json:"resourceIdentifier"`
	OperationID        string             `json:"operationID"`
}

// ResourceIdentifier names an item. Its keys are in Go's case because Velero's
// fields have no JSON tags.
type ResourceIdentifier struct {
	Group     string `json:"Group"`
	Resource  string `json:"Resource"`
	Namespace string `json:"Namespace"`
	Name      string `json:"Name"`
}

// ItemOperationStatus says how far an operation is.
type ItemOperationStatus struct {
	Phase          string       `json:"phase,omitempty"` // New, InProgress, Completed or Failed
	Error          string       `json:"error,omitempty"`
	Completed      int64        `json:"nCompleted,omitempty"` // in OperationUnits
	Total          int64        `json:"nTotal,omitempty"`     // in OperationUnits
	OperationUnits string       `json:"operationUnits,omitempty"`
	Description    string       `json:"description,omitempty"`
	Created        *metav1.Time `json:"created,omitempty"`
	Started        *metav1.Time `json:"started,omitempty"`
	Updated        *metav1.Time `json:"updated,omitempty"`
}
