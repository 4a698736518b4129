package repository_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

// backUp takes a snapshot of a directory with n files.
func backUp(t *testing.T, r wire.Repository, n int) string {
	t.Helper()
	dir := t.TempDir()
	movertest.WriteSmallFiles(t, dir, n, 100)
	report := movertest.Run(t, movertest.BackupTask(r, dir))
	NewWithT(t).Expect(report.Result.Error).To(BeEmpty())
	return report.Result.SnapshotID
}

// snapshots are the IDs of all snapshots, and of other manifests of a type.
func snapshots(t *testing.T, r wire.Repository, typ string) []string {
	t.Helper()
	g := NewWithT(t)
	opened, err := repository.Open(t.Context(), r, repository.ForReading)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(opened.Close(t.Context())).To(Succeed()) }()
	found, err := opened.FindManifests(t.Context(), map[string]string{manifest.TypeLabelKey: typ})
	g.Expect(err).NotTo(HaveOccurred())
	var ids []string
	for _, m := range found {
		ids = append(ids, string(m.ID))
	}
	return ids
}

func TestDeleteSnapshots(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	first, second, third := backUp(t, r, 1), backUp(t, r, 2), backUp(t, r, 3)

	g.Expect(repository.DeleteSnapshots(t.Context(), r, []string{first, second})).To(Succeed())
	g.Expect(snapshots(t, r, snapshot.ManifestType)).To(ConsistOf(third))

	t.Run("again, with others that are missing", func(t *testing.T) {
		g := NewWithT(t)
		g.Expect(repository.DeleteSnapshots(t.Context(), r, []string{first, "0123456789abcdef0123456789abcdef", "?"})).To(Succeed())
		g.Expect(snapshots(t, r, snapshot.ManifestType)).To(ConsistOf(third))
	})
	t.Run("what is left can be restored", func(t *testing.T) {
		report := movertest.Run(t, movertest.RestoreTask(r, third, t.TempDir()))
		NewWithT(t).Expect(report.Result.Error).To(BeEmpty())
	})
	t.Run("what was deleted cannot", func(t *testing.T) {
		report := movertest.Run(t, movertest.RestoreTask(r, first, t.TempDir()))
		NewWithT(t).Expect(report.ExitCode).To(Equal(wire.ExitTerminal))
	})
	t.Run("other manifests are not snapshots", func(t *testing.T) {
		g := NewWithT(t)
		parameters := snapshots(t, r, "maintenance")
		g.Expect(parameters).To(HaveLen(1))

		g.Expect(repository.DeleteSnapshots(t.Context(), r, parameters)).To(Succeed())

		g.Expect(snapshots(t, r, "maintenance")).To(Equal(parameters))
		opened, err := repository.Open(t.Context(), r, repository.ForReading)
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { g.Expect(opened.Close(t.Context())).To(Succeed()) }()
		g.Expect(maintenance.HasParams(t.Context(), opened)).To(BeTrue())
	})
}

func TestDeleteSnapshotsFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		arrange func(*testing.T, *wire.Repository)
		wantErr error // nil means success
	}{
		"no repository is there any more": {
			arrange: func(t *testing.T, r *wire.Repository) {
				t.Helper()
				NewWithT(t).Expect(os.RemoveAll(movertest.RepositoryDir(*r))).To(Succeed())
			},
		},
		"the location is read-only": {
			arrange: func(_ *testing.T, r *wire.Repository) { r.Location.ReadOnly = true },
			wantErr: repository.ErrReadOnly,
		},
		"the password is wrong": {
			arrange: func(t *testing.T, r *wire.Repository) {
				t.Helper()
				r.PasswordFile = movertest.WritePassword(t, "wrong")
			},
			wantErr: repository.ErrWrongPassword,
		},
		"the location is gone": {
			arrange: func(t *testing.T, r *wire.Repository) {
				t.Helper()
				r.Location.Config = map[string]string{"fspath": filepath.Join(t.TempDir(), "missing")}
			},
			wantErr: repository.ErrBucketNotFound,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := newRepository(t)
			id := backUp(t, r, 1)
			tc.arrange(t, &r)

			err := repository.DeleteSnapshots(t.Context(), r, []string{id})

			if tc.wantErr == nil {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(tc.wantErr))
		})
	}
}
