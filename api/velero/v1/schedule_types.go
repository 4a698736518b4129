package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScheduleSpec says when backups are made, and what they contain.
type ScheduleSpec struct {
	// template is the spec of each backup. Its metadata.labels become labels of
	// the backup.
	Template BackupSpec `json:"template"`

	// schedule is a cron expression of five fields, or a descriptor such as
	// "@daily" or "@every 6h". "CRON_TZ=<zone> " in front selects a time zone.
	Schedule string `json:"schedule"`

	// useOwnerReferencesInBackup says whether backups are owned by the Schedule,
	// and so are removed with it. Unset means no.
	// +optional
	// +nullable
	UseOwnerReferencesInBackup *bool `json:"useOwnerReferencesInBackup,omitempty"`

	// paused stops the making of backups.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// skipImmediately says that a backup that is due right after the Schedule was
	// made or unpaused is left out. Unset means the server's default. The server
	// sets it to false once it has acted on it.
	// +optional
	SkipImmediately *bool `json:"skipImmediately,omitempty"`
}

// SchedulePhase is where a schedule stands.
// +kubebuilder:validation:Enum=New;Enabled;FailedValidation
type SchedulePhase string

const (
	// SchedulePhaseNew is a schedule nobody has looked at yet; an empty phase
	// means the same.
	SchedulePhaseNew SchedulePhase = "New"

	// SchedulePhaseEnabled is a schedule that makes backups unless it is paused.
	SchedulePhaseEnabled SchedulePhase = "Enabled"

	// SchedulePhaseFailedValidation is a schedule that makes no backups because of
	// status.validationErrors.
	SchedulePhaseFailedValidation SchedulePhase = "FailedValidation"
)

// ScheduleStatus says where a schedule stands.
type ScheduleStatus struct {
	// phase is where the schedule stands.
	// +optional
	Phase SchedulePhase `json:"phase,omitempty"`

	// lastBackup is when the newest backup of the schedule was due. It is made then,
	// or as soon as that is possible.
	// +optional
	// +nullable
	LastBackup *metav1.Time `json:"lastBackup,omitempty"`

	// lastSkipped is when a backup was last left out because of skipImmediately.
	// +optional
	// +nullable
	LastSkipped *metav1.Time `json:"lastSkipped,omitempty"`

	// validationErrors say what is wrong with the spec.
	// +optional
	ValidationErrors []string `json:"validationErrors,omitempty"`

	// conditions say, for people, what the phase leaves out. podkeep adds them;
	// Velero does not know them.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Schedule makes backups at given times.
//
// +kubebuilder:object:root=true
// +kubebuilder:metadata:labels="component=velero"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=.status.phase,description="Where the schedule stands"
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=.spec.schedule,description="Cron expression"
// +kubebuilder:printcolumn:name="LastBackup",type=date,JSONPath=.status.lastBackup,description="Time since the newest backup was made"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=.metadata.creationTimestamp
// +kubebuilder:printcolumn:name="Paused",type=boolean,JSONPath=.spec.paused
type Schedule struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says when backups are made, and what they contain.
	// +optional
	Spec ScheduleSpec `json:"spec,omitempty"`

	// status says where the schedule stands.
	// +optional
	Status ScheduleStatus `json:"status,omitempty"`
}

// ScheduleList is a list of Schedules.
//
// +kubebuilder:object:root=true
type ScheduleList struct {
	metav1.TypeMeta `json:",inline"`

	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// items are the schedules.
	Items []Schedule `json:"items"`
}
