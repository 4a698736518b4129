package describe

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func backupInputs() map[string]BackupInput {
	mixed := []velerov1.PodVolumeBackup{
		volumeBackup("web-0", "logs", skipped(2)), volumeBackup("web-0", "data", incremental(10<<20)),
		volumeBackup("web-1", "data", moving), volumeBackup("web-2", "data", waiting),
		volumeBackup("db-0", "data", failed("repository password is wrong")),
	}
	return map[string]BackupInput{
		"backup-without-volumes":  {Backup: completedBackup()},
		"backup-completed":        {Backup: completedBackup(), Volumes: mixed[:2]},
		"backup-completed-detail": {Backup: completedBackup(), Volumes: mixed[:2], Details: true},
		"backup-partially-failed": {Backup: completedBackup(partiallyFailed), Volumes: append(mixed[:2:2], mixed[4])},
		"backup-in-progress":      {Backup: completedBackup(inProgress), Volumes: mixed, Details: true},
		"backup-rejected":         {Backup: completedBackup(rejected)},
		"backup-every-field":      {Backup: completedBackup(everyField), Volumes: mixed[:1]},
		"backup-new":              {Backup: completedBackup(func(b *velerov1.Backup) { b.Status = velerov1.BackupStatus{} })},
	}
}

func restoreInputs() map[string]RestoreInput {
	volumes := []velerov1.PodVolumeRestore{volumeRestore("web-0", "data", lostAttributes), volumeRestore("web-0", "cache"), volumeRestore("db-0", "data", canceled)}
	return map[string]RestoreInput{
		"restore-completed":        {Restore: completedRestore(), Volumes: volumes[:2]},
		"restore-partially-failed": {Restore: completedRestore(func(r *velerov1.Restore) { r.Status.Phase = velerov1.RestorePhasePartiallyFailed }), Volumes: volumes, Details: true},
		"restore-failed": {Restore: completedRestore(func(r *velerov1.Restore) {
			r.Status = velerov1.RestoreStatus{Phase: velerov1.RestorePhaseFailed, FailureReason: "the webhook does not answer"}
		})},
	}
}

func TestBackupPage(t *testing.T) {
	t.Parallel()
	for name, in := range backupInputs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, name+".txt", Backup(in))
		})
	}
}

func TestBackupResult(t *testing.T) {
	t.Parallel()
	for name, in := range backupInputs() {
		if !in.Backup.IsFinished() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, name+".result.txt", BackupResult(in, "podkeep -n backups"))
		})
	}
}

func TestRestorePage(t *testing.T) {
	t.Parallel()
	for name, in := range restoreInputs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, name+".txt", Restore(in))
		})
	}
}

func TestRestoreResult(t *testing.T) {
	t.Parallel()
	for name, in := range restoreInputs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, name+".result.txt", RestoreResult(in, "podkeep"))
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	documents := map[string]map[string]any{
		"backup-completed.json":         BackupValues(backupInputs()["backup-completed"]),
		"backup-in-progress.json":       BackupValues(backupInputs()["backup-in-progress"]),
		"backup-every-field.json":       BackupValues(backupInputs()["backup-every-field"]),
		"restore-partially-failed.json": RestoreValues(restoreInputs()["restore-partially-failed"]),
	}
	for file, values := range documents {
		t.Run(file, func(t *testing.T) {
			t.Parallel()

			data, err := json.MarshalIndent(values, "", "    ")

			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			expectGolden(t, file, string(data)+"\n")
		})
	}
}
