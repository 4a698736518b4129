package movertest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover"
)

// Password of repositories made by NewRepository.
const Password = "a password for tests"

// Namespace of repositories made by NewRepository.
const Namespace = "shop"

// NewRepository names a repository in a new directory. Nothing is created in it.
func NewRepository(tb testing.TB) wire.Repository {
	tb.Helper()
	dir := tb.TempDir()
	return wire.Repository{
		Location: location.Location{
			Name:     "default",
			Provider: location.ProviderFilesystem,
			Prefix:   "prefix",
			Config:   map[string]string{location.ConfigFilesystemPath: dir},
		},
		Namespace:    Namespace,
		PasswordFile: WritePassword(tb, Password),
		CacheDir:     tb.TempDir(),
	}
}

// RepositoryDir is the directory of a repository made by NewRepository.
func RepositoryDir(r wire.Repository) string {
	return filepath.Join(r.Location.Config[location.ConfigFilesystemPath], r.Location.RepositoryPrefix(r.Namespace))
}

// WritePassword writes a password file with a line break at its end, as people
// do, and returns its path.
func WritePassword(tb testing.TB, password string) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "repository-password")
	must(tb, os.WriteFile(path, []byte(password+"\n"), 0o600))
	return path
}

// BackupTask is a task to back up dir.
func BackupTask(r wire.Repository, dir string) wire.Task {
	return wire.Task{
		Kind: wire.KindBackup, Name: "backup-1", UID: "b-1", VolumePath: dir, Repository: r,
		Backup: &wire.Backup{SourcePath: "snapshot-pod-volume/kopia/shop/db-0/data", Identity: "claim/data"},
	}
}

// RestoreTask is a task to restore a snapshot into dir.
func RestoreTask(r wire.Repository, snapshotID, dir string) wire.Task {
	return wire.Task{
		Kind: wire.KindRestore, Name: "restore-1", UID: "r-1", VolumePath: dir, Repository: r,
		Restore: &wire.Restore{SnapshotID: snapshotID, RestoreUID: RestoreUID},
	}
}

// RestoreUID names the marker of restores.
const RestoreUID = "6a2f6f0e-6f0b-4bd9-8d0b-0c7e3f3c9f10"

// Marker is the path of the marker in a restored volume.
func Marker(dir string) string { return filepath.Join(dir, ".velero", RestoreUID) }

// Report is all that a mover said.
type Report struct {
	Result      wire.Result
	ExitCode    int
	Termination []byte
	Messages    []wire.Message
}

// Run runs a task with the real clock.
func Run(tb testing.TB, task wire.Task) Report {
	tb.Helper()
	var lines bytes.Buffer
	var report Report
	report.Result, report.ExitCode = mover.Run(tb.Context(), task, mover.Output{
		Messages:           &lines,
		TerminationMessage: func(b []byte) error { report.Termination = b; return nil },
		Clock:              clock.RealClock{},
	})
	report.Messages = ParseMessages(tb, lines.Bytes())
	return report
}

// ParseMessages reads the lines of a mover.
func ParseMessages(tb testing.TB, lines []byte) []wire.Message {
	tb.Helper()
	var messages []wire.Message
	for line := range bytes.Lines(lines) {
		var m wire.Message
		if err := json.Unmarshal(line, &m); err != nil {
			tb.Fatalf("mover printed %q: %v", line, err)
		}
		messages = append(messages, m)
	}
	return messages
}
