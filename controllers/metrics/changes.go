package metrics

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// change is what one change of an object adds to the metrics.
type change struct {
	metric string
	label  string  // schedule or repository
	add    float64 // for counters
	took   *time.Duration
}

func count(metric, label string) change { return change{metric: metric, label: label, add: 1} }

func took(metric, label string, from, to *metav1.Time) []change {
	if from == nil || to == nil {
		return nil
	}
	d := to.Sub(from.Time)
	return []change{{metric: metric, label: label, took: &d}}
}

func scheduleOf(b *velerov1.Backup) string { return b.Labels[velerov1.ScheduleNameLabel] }

// ofBackup are the changes between two states of a Backup. Those that come from a
// bucket are finished when they appear, and change nothing.
func ofBackup(before, after *velerov1.Backup) []change {
	schedule := scheduleOf(after)
	var changes []change
	if before.Status.StartTimestamp == nil && after.Status.StartTimestamp != nil {
		changes = append(changes, count(backupAttempts, schedule))
	}
	if before.IsFinished() || !after.IsFinished() {
		return changes
	}
	switch after.Status.Phase {
	case velerov1.BackupPhaseCompleted:
		changes = append(changes, count(backupSuccesses, schedule))
	case velerov1.BackupPhasePartiallyFailed:
		changes = append(changes, count(backupPartialFailures, schedule))
	case velerov1.BackupPhaseFailedValidation:
		return append(changes, count(backupValidationFailures, schedule))
	default:
		changes = append(changes, count(backupFailures, schedule))
	}
	if after.Status.Warnings > 0 {
		changes = append(changes, count(backupWarnings, schedule))
	}
	return append(changes, took(backupDuration, schedule, after.Status.StartTimestamp, after.Status.CompletionTimestamp)...)
}

// ofRestore are the changes between two states of a Restore.
func ofRestore(before, after *velerov1.Restore) []change {
	schedule := after.Spec.ScheduleName
	var changes []change
	if before.Status.StartTimestamp == nil && after.Status.StartTimestamp != nil {
		changes = append(changes, count(restoreAttempts, schedule))
	}
	if before.IsFinished() || !after.IsFinished() {
		return changes
	}
	metric := map[velerov1.RestorePhase]string{
		velerov1.RestorePhaseCompleted:        restoreSuccesses,
		velerov1.RestorePhasePartiallyFailed:  restorePartialFailures,
		velerov1.RestorePhaseFailed:           restoreFailures,
		velerov1.RestorePhaseFailedValidation: restoreValidationFailures,
	}[after.Status.Phase]
	return append(changes, count(metric, schedule))
}

// ofRequest are the changes between two states of a DeleteBackupRequest. schedule
// is that of its backup. A request that was refused has attempted nothing.
func ofRequest(before, after *velerov1.DeleteBackupRequest, schedule string) []change {
	const inProgress, processed = velerov1.DeleteBackupRequestPhaseInProgress, velerov1.DeleteBackupRequestPhaseProcessed
	switch {
	case before.Status.Phase != inProgress && after.Status.Phase == inProgress:
		return []change{count(deletionAttempts, schedule)}
	case before.Status.Phase == inProgress && after.Status.Phase == processed:
		return []change{count(deletionFailures, schedule)}
	default:
		return nil
	}
}

// ofGoneBackup is the change when a Backup has gone. One that was removed with its
// data was marked so.
func ofGoneBackup(last *velerov1.Backup) []change {
	if last.Status.Phase != velerov1.BackupPhaseDeleting {
		return nil
	}
	return []change{count(deletionSuccesses, scheduleOf(last))}
}

// ofRepository are the changes between two states of a BackupRepository: the runs of
// maintenance that have ended in between.
func ofRepository(before, after *velerov1.BackupRepository) []change {
	known := map[int64]bool{}
	for _, run := range before.Status.RecentMaintenance {
		if run.Result != "" && run.StartTimestamp != nil {
			known[run.StartTimestamp.Unix()] = true
		}
	}
	var changes []change
	for _, run := range after.Status.RecentMaintenance {
		if run.Result == "" || run.StartTimestamp == nil || known[run.StartTimestamp.Unix()] {
			continue
		}
		metric := maintenanceSuccesses
		if run.Result == velerov1.BackupRepositoryMaintenanceFailed {
			metric = maintenanceFailures
		}
		changes = append(changes, count(metric, after.Name))
		changes = append(changes, took(maintenanceDuration, after.Name, run.StartTimestamp, run.CompleteTimestamp)...)
	}
	return changes
}
