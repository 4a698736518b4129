package restore

import (
	"fmt"
	"strings"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/restorespec"
)

// everything is the list entry that matches every name.
const everything = "*"

// validate says what is wrong with the restore or with what it refers to; nil
// when it can start. Each problem names its field. backup and location are nil
// when they do not exist.
func validate(r *velerov1.Restore, backup *velerov1.Backup, location *velerov1.BackupStorageLocation) []string {
	problems := validateBackup(r, backup)
	if backup != nil {
		problems = append(problems, validateLocation(backup.Spec.StorageLocation, location)...)
	}
	return append(problems, restorespec.Problems(r)...)
}

// validateBackup says why the backup cannot be restored. That none is named is said
// by restorespec.
func validateBackup(r *velerov1.Restore, backup *velerov1.Backup) []string {
	name, schedule := r.Spec.BackupName, r.Spec.ScheduleName
	switch {
	case (name == "") == (schedule == ""):
		return nil
	case name == "" && backup == nil:
		return []string{fmt.Sprintf("spec.scheduleName: Invalid value: %q: no completed backup of this schedule; see kubectl get backups.velero.io -l %s=%s",
			schedule, velerov1.ScheduleNameLabel, velerov1.ValidLabelValue(schedule))}
	case backup == nil:
		return []string{fmt.Sprintf("spec.backupName: Not found: %q: name one of: kubectl get backups.velero.io", name)}
	case backup.DeletionTimestamp != nil:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: %q: the backup is being deleted", backup.Name)}
	case backup.Status.Phase != velerov1.BackupPhaseCompleted && backup.Status.Phase != velerov1.BackupPhasePartiallyFailed:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: %q: the backup must be %s or %s and is %q",
			backup.Name, velerov1.BackupPhaseCompleted, velerov1.BackupPhasePartiallyFailed, backup.Status.Phase)}
	default:
		return nil
	}
}

// validateLocation says why the backup cannot be read; location is nil when there
// is none of that name.
func validateLocation(name string, location *velerov1.BackupStorageLocation) []string {
	switch {
	case location == nil:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: its storage location %q does not exist", name)}
	case location.Status.Phase == velerov1.BackupStorageLocationPhaseUnavailable:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: its storage location %q is unavailable: %s", name, oneLine(location.Status.Message))}
	default:
		return nil
	}
}

// volumeTimeoutOf is how long the restore may take until its last volume.
func volumeTimeoutOf(r *velerov1.Restore, fallback time.Duration) time.Duration {
	d, err := time.ParseDuration(r.Annotations[velerov1.PodVolumeTimeoutAnnotation])
	if err != nil || d <= 0 {
		return fallback // a value that does not parse was refused before the start
	}
	return d
}

// oneLine makes a text fit for a condition or a result.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
