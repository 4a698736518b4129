package describe

import (
	"encoding/json"
	"errors"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

var (
	brief   = Look{Command: "podkeep"}
	verbose = Look{Command: "podkeep -n backups", Details: true}
)

func backupInputs() map[string]BackupInput {
	mixed := []velerov1.PodVolumeBackup{
		volumeBackup("web-0", "logs", skipped(2)), volumeBackup("web-0", "data", incremental(10<<20)),
		volumeBackup("web-1", "data", moving), volumeBackup("web-2", "data", waiting),
		volumeBackup("db-0", "data", failed("repository password is wrong")),
	}
	deletions := []velerov1.DeleteBackupRequest{deletion(9, "storage is read-only"), deletion(5)}
	return map[string]BackupInput{
		"backup-without-volumes":  {Look: brief, Backup: completedBackup()},
		"backup-completed":        {Look: brief, Backup: completedBackup(), Volumes: mixed[:2]},
		"backup-completed-detail": {Look: verbose, Backup: completedBackup(), Volumes: mixed[:2], Files: backupFiles()},
		"backup-partially-failed": {Look: brief, Backup: completedBackup(partiallyFailed), Volumes: append(mixed[:2:2], mixed[4]), Files: backupFiles()},
		"backup-in-progress":      {Look: verbose, Backup: completedBackup(inProgress), Volumes: mixed, Files: noBackupFiles(ErrNoFile)},
		"backup-rejected":         {Look: brief, Backup: completedBackup(rejected), Files: noBackupFiles(ErrNoFile)},
		"backup-every-field":      {Look: brief, Backup: completedBackup(everyField), Volumes: mixed[:1], Deletions: deletions},
		"backup-new":              {Look: brief, Backup: completedBackup(func(b *velerov1.Backup) { b.Status = velerov1.BackupStatus{} }), Files: noBackupFiles(ErrNoFile)},
		"backup-color":            {Look: Look{Command: "podkeep", Color: true}, Backup: completedBackup(partiallyFailed)},
		"backup-no-server": {
			Look: verbose, Backup: completedBackup(partiallyFailed, withOperations), Volumes: mixed[:1],
			Files: noBackupFiles(errors.New("the server does not answer\n\x1b[2J")),
		},
		"backup-of-velero":        {Look: brief, Backup: completedBackup(withOperations), Files: veleroFiles()},
		"backup-of-velero-detail": {Look: verbose, Backup: completedBackup(withOperations), Files: veleroFiles()},
		"backup-of-old-velero": {Look: verbose, Backup: completedBackup(everyField), Files: BackupFiles{
			Volumes:   File[layout.VolumeInfoList]{Err: ErrNoFile},
			Snapshots: File[[]layout.NativeSnapshot]{Content: oldSnapshots()},
		}},
	}
}

func restoreInputs() map[string]RestoreInput {
	volumes := []velerov1.PodVolumeRestore{volumeRestore("web-0", "data", lostAttributes), volumeRestore("web-0", "cache"), volumeRestore("db-0", "data", canceled)}
	failed := completedRestore(func(r *velerov1.Restore) {
		r.Status = velerov1.RestoreStatus{Phase: velerov1.RestorePhaseFailed, FailureReason: "the webhook does not answer"}
	})
	return map[string]RestoreInput{
		"restore-completed":        {Look: brief, Restore: completedRestore(), Volumes: volumes[:2], Files: restoreFiles()},
		"restore-partially-failed": {Look: verbose, Restore: completedRestore(partialRestore), Volumes: volumes, Files: restoreFiles()},
		"restore-failed":           {Look: brief, Restore: failed, Files: RestoreFiles{Volumes: File[layout.RestoreVolumeInfoList]{Err: ErrNoFile}}},
		"restore-of-velero":        {Look: brief, Restore: completedRestore(everyRestoreField), Files: veleroRestoreFiles()},
		"restore-of-velero-detail": {Look: verbose, Restore: completedRestore(everyRestoreField), Files: veleroRestoreFiles()},
	}
}

func TestBackupPage(t *testing.T) {
	t.Parallel()
	for name, in := range backupInputs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, name+".txt", in.Page())
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

			expectGolden(t, name+".result.txt", Result(RunOf(in.Backup, volumesOf(in.Volumes)), "podkeep -n backups"))
		})
	}
}

func TestRestorePage(t *testing.T) {
	t.Parallel()
	for name, in := range restoreInputs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, name+".txt", in.Page())
		})
	}
}

func TestRestoreResult(t *testing.T) {
	t.Parallel()
	for name, in := range restoreInputs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, name+".result.txt", Result(RunOf(in.Restore, restoredVolumesOf(in.Volumes)), "podkeep"))
		})
	}
}

func TestSchedulePage(t *testing.T) {
	t.Parallel()
	invalid := schedule()
	invalid.Status = velerov1.ScheduleStatus{Phase: velerov1.SchedulePhaseFailedValidation, ValidationErrors: []string{"invalid schedule: x"}}
	pages := map[string]*velerov1.Schedule{"schedule.txt": schedule(), "schedule-invalid.txt": invalid}
	for file, s := range pages {
		t.Run(file, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, file, ScheduleInput{Look: brief, Schedule: s}.Page())
		})
	}
}

func TestNoPageHasControlCharactersOfABucket(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	evil := "a\x1b[2J\nb"
	in := backupInputs()["backup-partially-failed"]
	in.Files.Results.Content.Errors.Namespaces = map[string][]string{evil: {evil}}
	in.Files.Resources.Content = layout.ResourceList{evil: {evil}}
	in.Files.Volumes.Content = layout.VolumeInfoList{{
		BackupMethod: layout.BackupMethodCSISnapshot, PVCName: evil, PVCNamespace: evil, Result: evil, PreserveLocalSnapshot: true,
		CSISnapshotInfo: &layout.CSISnapshotInfo{Driver: evil, VSCName: evil, SnapshotHandle: evil, OperationID: evil},
	}}
	in.Details = true

	g.Expect(in.Page()).NotTo(ContainSubstring("\x1b"))
}

func TestVolumesAreNamedOnce(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	why := "volume data of pod shop/db-0: repository password is wrong"
	v := volumeBackup("db-0", "data", failed(why))

	got := Volumes([]any{&v})[0]

	g.Expect(got.Explanation()).To(Equal("repository password is wrong"))
	g.Expect(got.Why.Message).To(Equal("repository password is wrong"))
}

func TestValues(t *testing.T) {
	t.Parallel()
	documents := map[string]map[string]any{
		"backup-completed.json":         backupInputs()["backup-completed"].Values(),
		"backup-in-progress.json":       backupInputs()["backup-in-progress"].Values(),
		"backup-every-field.json":       backupInputs()["backup-every-field"].Values(),
		"backup-partially-failed.json":  backupInputs()["backup-partially-failed"].Values(),
		"backup-no-server.json":         backupInputs()["backup-no-server"].Values(),
		"backup-of-velero.json":         backupInputs()["backup-of-velero"].Values(),
		"backup-of-velero-detail.json":  backupInputs()["backup-of-velero-detail"].Values(),
		"backup-completed-detail.json":  backupInputs()["backup-completed-detail"].Values(),
		"schedule.json":                 ScheduleInput{Look: brief, Schedule: schedule()}.Values(),
		"restore-partially-failed.json": restoreInputs()["restore-partially-failed"].Values(),
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
