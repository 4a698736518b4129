package metrics

// Names of metrics, which are Velero's (velero-facts §9.1).
const (
	backupTarballSize        = "velero_backup_tarball_size_bytes"
	backupLastSuccess        = "velero_backup_last_successful_timestamp"
	backupTotal              = "velero_backup_total"
	backupAttempts           = "velero_backup_attempt_total"
	backupSuccesses          = "velero_backup_success_total"
	backupPartialFailures    = "velero_backup_partial_failure_total"
	backupFailures           = "velero_backup_failure_total"
	backupValidationFailures = "velero_backup_validation_failure_total"
	backupDuration           = "velero_backup_duration_seconds"
	backupItems              = "velero_backup_items_total"
	backupItemErrors         = "velero_backup_items_errors"
	backupWarnings           = "velero_backup_warning_total"
	backupLastStatus         = "velero_backup_last_status"
	deletionAttempts         = "velero_backup_deletion_attempt_total"
	deletionSuccesses        = "velero_backup_deletion_success_total"
	deletionFailures         = "velero_backup_deletion_failure_total"

	restoreTotal              = "velero_restore_total"
	restoreAttempts           = "velero_restore_attempt_total"
	restoreSuccesses          = "velero_restore_success_total"
	restorePartialFailures    = "velero_restore_partial_failure_total"
	restoreFailures           = "velero_restore_failed_total"
	restoreValidationFailures = "velero_restore_validation_failed_total"

	volumeSnapshotAttempts  = "velero_volume_snapshot_attempt_total"
	volumeSnapshotSuccesses = "velero_volume_snapshot_success_total"
	volumeSnapshotFailures  = "velero_volume_snapshot_failure_total"
	csiSnapshotAttempts     = "velero_csi_snapshot_attempt_total"
	csiSnapshotSuccesses    = "velero_csi_snapshot_success_total"
	csiSnapshotFailures     = "velero_csi_snapshot_failure_total"

	locationStatus        = "velero_backup_location_status_gauge"
	scheduleInterval      = "velero_schedule_expected_interval_seconds"
	maintenanceSuccesses  = "velero_repo_maintenance_success_total"
	maintenanceFailures   = "velero_repo_maintenance_failure_total"
	maintenanceDuration   = "velero_repo_maintenance_duration_seconds"
	labelSchedule         = "schedule"
	labelBackup           = "backupName"
	labelLocation         = "backup_location_name"
	labelRepository       = "repository_name"
	valueOK, valueFailure = 1, 0 // of backupLastStatus and locationStatus
)

// counters are the metrics that are counted when something happens, with what they
// count. All have the label schedule.
var counters = map[string]string{
	backupAttempts:            "Backups that were started.",
	backupSuccesses:           "Backups that completed.",
	backupPartialFailures:     "Backups that completed with errors.",
	backupFailures:            "Backups that failed.",
	backupValidationFailures:  "Backups that were refused.",
	backupWarnings:            "Backups with warnings.",
	deletionAttempts:          "Removals of backups that were begun.",
	deletionSuccesses:         "Backups that were removed with their data.",
	deletionFailures:          "Removals of backups that failed.",
	restoreAttempts:           "Restores that were started.",
	restoreSuccesses:          "Restores that completed.",
	restorePartialFailures:    "Restores that completed with errors.",
	restoreFailures:           "Restores that failed.",
	restoreValidationFailures: "Restores that were refused.",
	volumeSnapshotAttempts:    "Volume snapshots that were attempted; podkeep takes none.",
	volumeSnapshotSuccesses:   "Volume snapshots that were taken; podkeep takes none.",
	volumeSnapshotFailures:    "Volume snapshots that failed; podkeep takes none.",
}

// snapshotCounters have the labels schedule and backupName.
var snapshotCounters = map[string]string{
	csiSnapshotAttempts:  "CSI snapshots that were attempted; podkeep takes none.",
	csiSnapshotSuccesses: "CSI snapshots that were taken; podkeep takes none.",
	csiSnapshotFailures:  "CSI snapshots that failed; podkeep takes none.",
}

// maintenanceCounters have the label repository_name.
var maintenanceCounters = map[string]string{
	maintenanceSuccesses: "Maintenance runs of a repository that succeeded.",
	maintenanceFailures:  "Maintenance runs of a repository that failed.",
}
