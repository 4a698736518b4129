package mover_test

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

// newRepository returns a repository that exists.
func newRepository(t *testing.T) wire.Repository {
	t.Helper()
	r := movertest.NewRepository(t)
	NewWithT(t).Expect(repository.Ensure(t.Context(), r)).To(Succeed())
	return r
}

// snapshotOf backs dir up and returns the snapshot's ID.
func snapshotOf(t *testing.T, r wire.Repository, dir string) string {
	t.Helper()
	report := movertest.Run(t, movertest.BackupTask(r, dir))
	NewWithT(t).Expect(report.Result.Error).To(BeEmpty())
	return report.Result.SnapshotID
}

// withoutMarker removes the marker as the gate does, and keeps the time of the
// volume's directory.
func withoutMarker(t *testing.T, dir string) {
	t.Helper()
	g := NewWithT(t)
	info, err := os.Stat(dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(movertest.Marker(dir)).To(BeARegularFile())
	g.Expect(os.RemoveAll(filepath.Dir(movertest.Marker(dir)))).To(Succeed())
	g.Expect(os.Chtimes(dir, info.ModTime(), info.ModTime())).To(Succeed())
}

func TestRestoreEqualsBackup(t *testing.T) {
	t.Parallel()
	for name, sparse := range map[string]bool{"plain files": false, "sparse files": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := newRepository(t)
			source, target := t.TempDir(), t.TempDir()
			movertest.BuildTree(t, source)
			want := movertest.ReadTree(t, source)

			task := movertest.RestoreTask(r, snapshotOf(t, r, source), target)
			task.Restore.SparseFiles = sparse
			report := movertest.Run(t, task)

			g.Expect(report.Result.Error).To(BeEmpty())
			g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
			g.Expect(report.Result.LostAttributes).To(BeZero())
			withoutMarker(t, target)
			g.Expect(movertest.ReadTree(t, target)).To(Equal(want))
		})
	}
}
