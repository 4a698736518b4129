package mover_test

import (
	"path/filepath"
	"testing"

	kopiafs "github.com/kopia/kopia/fs"
	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

func TestRestoreEqualsBackupOverS3(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	server := movertest.NewS3Server(t)
	r := movertest.NewS3Repository(t, server)
	g.Expect(repository.Ensure(t.Context(), r)).To(Succeed())
	source, target := t.TempDir(), t.TempDir()
	movertest.BuildTree(t, source)
	want := movertest.ReadTree(t, source)

	id := snapshotOf(t, r, source)
	snapshotOf(t, r, source)
	report := movertest.Run(t, movertest.RestoreTask(r, id, target))

	g.Expect(report.Result.Error).To(BeEmpty())
	withoutMarker(t, target)
	g.Expect(movertest.ReadTree(t, target)).To(Equal(want))
}

func TestRestoreOfManyFilesTakesFewRequests(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	server := movertest.NewS3Server(t)
	r := movertest.NewS3Repository(t, server)
	g.Expect(repository.Ensure(t.Context(), r)).To(Succeed())
	source := t.TempDir()
	movertest.WriteSmallFiles(t, source, 2000, 100)
	id := snapshotOf(t, r, source)
	server.TakeRequests()

	report := movertest.Run(t, movertest.RestoreTask(r, id, t.TempDir()))

	g.Expect(report.Result.Files).To(BeEquivalentTo(2000))
	g.Expect(len(server.TakeRequests())).To(BeNumerically("<", 40), "not one per file")
}

func TestS3Failures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change     func(*movertest.S3Server, *wire.Repository)
		wantErr    error
		wantReason string
	}{
		"the key is wrong": {
			func(s *movertest.S3Server, _ *wire.Repository) { s.Deny = true },
			repository.ErrAccessDenied, velerov1.ReasonAccessDenied,
		},
		"the bucket is missing": {
			func(_ *movertest.S3Server, r *wire.Repository) { r.Location.Bucket = "missing" },
			repository.ErrBucketNotFound, velerov1.ReasonBucketNotFound,
		},
		"the server is down": {
			func(s *movertest.S3Server, _ *wire.Repository) { s.Close() },
			repository.ErrUnavailable, velerov1.ReasonStorageUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			server := movertest.NewS3Server(t)
			r := movertest.NewS3Repository(t, server)
			r.StorageTimeoutSeconds = 2
			tc.change(server, &r)

			err := repository.Ensure(t.Context(), r)
			report := movertest.Run(t, movertest.BackupTask(r, t.TempDir()))

			g.Expect(err).To(MatchError(tc.wantErr))
			g.Expect(repository.Reason(err)).To(Equal(tc.wantReason))
			g.Expect(report.Result.Reason).To(Equal(tc.wantReason), report.Result.Error)
		})
	}
}

func TestS3ServerStopsHalfWay(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	server := movertest.NewS3Server(t)
	r := movertest.NewS3Repository(t, server)
	g.Expect(repository.Ensure(t.Context(), r)).To(Succeed())
	r.StorageTimeoutSeconds = 1
	source := t.TempDir()
	movertest.WriteSmallFiles(t, source, 3000, 10)
	movertest.WriteLargeFile(t, source, "trigger", 2<<20)

	result, code := runFrom(t.Context(), t, movertest.BackupTask(r, source), map[string]func() (kopiafs.Reader, error){
		"trigger": func() (kopiafs.Reader, error) {
			server.Close()
			return openFile(t, filepath.Join(source, "trigger"))
		},
	})

	g.Expect(code).To(Equal(wire.ExitFailed))
	g.Expect(result.Reason).To(Equal(velerov1.ReasonStorageUnavailable), result.Error)
	g.Expect(result.FailedFiles).To(BeZero(), "the files are not to blame")
}
