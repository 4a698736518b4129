package mover_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kopiafs "github.com/kopia/kopia/fs"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover"
	"github.com/podkeep/podkeep/mover/movertest"
	"github.com/podkeep/podkeep/mover/repository"
)

func TestBackupReportsOnlyTheChange(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source := t.TempDir()
	movertest.WriteLargeFile(t, source, "large", 5<<20)
	movertest.WriteFile(t, source, "notes", "one")

	first := movertest.Run(t, movertest.BackupTask(r, source)).Result
	movertest.WriteFile(t, source, "notes", "another")
	second := movertest.Run(t, movertest.BackupTask(r, source)).Result
	third := movertest.Run(t, movertest.BackupTask(r, source)).Result

	g.Expect(first.TotalBytes).To(BeEquivalentTo(5<<20 + 3))
	g.Expect(first.Files).To(BeEquivalentTo(2))
	g.Expect(first.IncrementalBytes).To(Equal(first.TotalBytes))
	g.Expect(first.UploadedBytes).To(BeNumerically(">=", 5<<20))
	g.Expect(second.TotalBytes).To(BeEquivalentTo(5<<20 + 7))
	g.Expect(second.Files).To(BeEquivalentTo(2))
	g.Expect(second.IncrementalBytes).To(BeEquivalentTo(7))
	g.Expect(second.UploadedBytes).To(BeNumerically("<", 64<<10))
	g.Expect(third.IncrementalBytes).To(BeZero())
}

func TestParentIsFound(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, tc := range map[string]struct {
		change          func(*wire.Backup)
		wantIncremental int64
	}{
		"by identity, though the pod has another name": {
			func(b *wire.Backup) { b.SourcePath = "snapshot-pod-volume/kopia/shop/web-77/data" }, 0,
		},
		"by source path, though the identity is new": {
			func(b *wire.Backup) { b.Identity = "claim/other" }, 0,
		},
		"by source path without an identity": {
			func(b *wire.Backup) { b.Identity = "" }, 0,
		},
		"not when both differ": {
			func(b *wire.Backup) { b.SourcePath, b.Identity = "snapshot-pod-volume/kopia/shop/x/data", "claim/x" }, size,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := newRepository(t)
			source := t.TempDir()
			movertest.WriteLargeFile(t, source, "large", size)
			g.Expect(snapshotOf(t, r, source)).NotTo(BeEmpty())
			task := movertest.BackupTask(r, source)
			tc.change(task.Backup)

			report := movertest.Run(t, task)

			g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
			g.Expect(report.Result.IncrementalBytes).To(Equal(tc.wantIncremental))
		})
	}
}

func TestSpecialFilesAreNamed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), t.TempDir()
	movertest.WriteFile(t, source, "dir/file", "x")
	g.Expect(unix.Mkfifo(filepath.Join(source, "dir", "queue\n"), 0o600)).To(Succeed())
	g.Expect(unix.Mknod(filepath.Join(source, "socket"), unix.S_IFSOCK|0o600, 0)).To(Succeed())

	report := movertest.Run(t, movertest.BackupTask(r, source))

	g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
	g.Expect(report.Result.SkippedFiles).To(BeEquivalentTo(2))
	g.Expect(report.Result.Skipped).To(ConsistOf(`"dir/queue\n"`, "socket"))
	g.Expect(report.Result.FailedFiles).To(BeZero())
	g.Expect(movertest.Run(t, movertest.RestoreTask(r, report.Result.SnapshotID, target)).ExitCode).To(Equal(wire.ExitOK))
	g.Expect(filepath.Join(target, "dir", "file")).To(BeARegularFile())
}

func TestEmptyVolume(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)

	report := movertest.Run(t, movertest.BackupTask(r, t.TempDir()))

	g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
	g.Expect(report.Result.SnapshotID).NotTo(BeEmpty())
	g.Expect(report.Result.TotalBytes).To(BeZero())
}

func TestMarkerDirectoryIsNotBackedUp(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), t.TempDir()
	movertest.WriteFile(t, source, ".velero/stale", "")
	movertest.WriteFile(t, source, "dir/.velero/kept", "")

	id := snapshotOf(t, r, source)
	g.Expect(movertest.Run(t, movertest.RestoreTask(r, id, target)).ExitCode).To(Equal(wire.ExitOK))

	g.Expect(filepath.Join(target, ".velero", "stale")).NotTo(BeAnExistingFile())
	g.Expect(filepath.Join(target, "dir", ".velero", "kept")).To(BeARegularFile())

	// A restore hides markers as well, so that only another client shows that they
	// are not in the snapshot.
	plain := filepath.Join(t.TempDir(), "plain")
	g.Expect(plainClient(t, r).Restore(t.Context(), id, plain)).To(Succeed())
	g.Expect(filepath.Join(plain, ".velero")).NotTo(BeADirectory())
	g.Expect(filepath.Join(plain, "dir", ".velero", "kept")).To(BeARegularFile())
}

func TestBackupCompresses(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), t.TempDir()
	movertest.WriteFile(t, source, "text", strings.Repeat("the same line again\n", 100_000))
	want := movertest.ReadTree(t, source)
	task := movertest.BackupTask(r, source)
	task.Backup.Compression = "s2-default"

	report := movertest.Run(t, task)
	g.Expect(movertest.Run(t, movertest.RestoreTask(r, report.Result.SnapshotID, target)).ExitCode).To(Equal(wire.ExitOK))

	g.Expect(report.Result.UploadedBytes).To(BeNumerically("<", report.Result.TotalBytes/4))
	withoutMarker(t, target)
	g.Expect(movertest.ReadTree(t, target)).To(Equal(want))
}

func TestBackupFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change     func(*testing.T, *wire.Task)
		wantCode   int
		wantReason string
		wantText   string
	}{
		"the volume is gone": {
			func(_ *testing.T, task *wire.Task) { task.VolumePath += "/gone" },
			wire.ExitFailed, velerov1.ReasonVolumeNotFound, "/gone",
		},
		"the password is wrong": {
			func(t *testing.T, task *wire.Task) {
				t.Helper()
				task.Repository.PasswordFile = movertest.WritePassword(t, "wrong")
			},
			wire.ExitTerminal, velerov1.ReasonRepositoryPasswordWrong, "repository shop of location default",
		},
		"there is no repository": {
			func(_ *testing.T, task *wire.Task) { task.Repository.Namespace = "other" },
			wire.ExitTerminal, velerov1.ReasonRepositoryNotReady, "repository other of location default",
		},
		"the location's directory is gone": {
			func(t *testing.T, task *wire.Task) {
				t.Helper()
				r := movertest.NewRepository(t)
				r.PasswordFile = task.Repository.PasswordFile
				NewWithT(t).Expect(os.RemoveAll(filepath.Dir(filepath.Dir(filepath.Dir(movertest.RepositoryDir(r)))))).To(Succeed())
				task.Repository = r
			},
			wire.ExitTerminal, velerov1.ReasonBucketNotFound, "no directory",
		},
		"the compressor does not exist": {
			func(_ *testing.T, task *wire.Task) { task.Backup.Compression = "zipzap" },
			wire.ExitTerminal, velerov1.ReasonMoverFailed, `"zipzap"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			source := t.TempDir()
			movertest.WriteFile(t, source, "file", "x")
			task := movertest.BackupTask(newRepository(t), source)
			tc.change(t, &task)

			report := movertest.Run(t, task)

			g.Expect(report.ExitCode).To(Equal(tc.wantCode))
			g.Expect(report.Result.Reason).To(Equal(tc.wantReason))
			g.Expect(report.Result.Error).To(ContainSubstring(tc.wantText))
			g.Expect(report.Result.SnapshotID).To(BeEmpty())
		})
	}
}

// faultySource replaces how some files of a tree open.
type faultySource struct {
	dir  kopiafs.Directory
	open map[string]func() (kopiafs.Reader, error)
}

func (s *faultySource) Root(context.Context) (kopiafs.Directory, error) {
	return &faultyDirectory{Directory: s.dir, source: s}, nil
}

func (s *faultySource) Close() error { return nil }

type faultyDirectory struct {
	kopiafs.Directory
	source *faultySource
}

func (d *faultyDirectory) Iterate(ctx context.Context) (kopiafs.DirectoryIterator, error) {
	entries, err := kopiafs.GetAllEntries(ctx, d.Directory)
	for i, e := range entries {
		if f, ok := e.(kopiafs.File); ok && d.source.open[e.Name()] != nil {
			entries[i] = &faultyFile{File: f, open: d.source.open[e.Name()]}
		}
	}
	return kopiafs.StaticIterator(entries, err), nil
}

type faultyFile struct {
	kopiafs.File
	open func() (kopiafs.Reader, error)
}

func (f *faultyFile) Open(context.Context) (kopiafs.Reader, error) { return f.open() }

func runFrom(ctx context.Context, t *testing.T, task wire.Task, open map[string]func() (kopiafs.Reader, error)) (wire.Result, int) {
	t.Helper()
	g := NewWithT(t)
	source, err := mover.OpenDirectory(task.VolumePath)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(source.Close()).To(Succeed()) }()
	root, err := source.Root(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	return mover.RunFrom(ctx, task, &faultySource{dir: root, open: open},
		mover.Output{Messages: &bytes.Buffer{}, Clock: clock.RealClock{}})
}

func TestOneUnreadableFileDoesNotLoseTheOthers(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), t.TempDir()
	for _, name := range []string{"a", "bad", "gone", "z"} {
		movertest.WriteFile(t, source, name, name)
	}

	result, code := runFrom(t.Context(), t, movertest.BackupTask(r, source), map[string]func() (kopiafs.Reader, error){
		"bad":  func() (kopiafs.Reader, error) { return nil, &os.PathError{Op: "read", Path: "bad", Err: unix.EIO} },
		"gone": func() (kopiafs.Reader, error) { return nil, &os.PathError{Op: "open", Path: "gone", Err: unix.ENOENT} },
	})

	g.Expect(code).To(Equal(wire.ExitIncomplete))
	g.Expect(result.Error).To(BeEmpty())
	g.Expect(result.Reason).To(Equal(velerov1.ReasonPartiallyFailed))
	g.Expect(result.FailedFiles).To(BeEquivalentTo(1))
	g.Expect(result.Failed).To(HaveExactElements(HavePrefix("bad: ")))
	g.Expect(movertest.Run(t, movertest.RestoreTask(r, result.SnapshotID, target)).ExitCode).To(Equal(wire.ExitOK))
	g.Expect(filepath.Join(target, "a")).To(BeARegularFile())
	g.Expect(filepath.Join(target, "z")).To(BeARegularFile())
	g.Expect(filepath.Join(target, "bad")).NotTo(BeAnExistingFile())
}

func TestCanceledBackupKeepsACheckpoint(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source := t.TempDir()
	movertest.WriteLargeFile(t, source, "a-done", 1<<20)
	movertest.WriteFile(t, source, "z-canceled", "x")
	task := movertest.BackupTask(r, source)
	task.Backup.ParallelFiles = 1
	ctx, cancel := context.WithCancel(t.Context())

	result, code := runFrom(ctx, t, task, map[string]func() (kopiafs.Reader, error){
		"z-canceled": func() (kopiafs.Reader, error) { return &endlessReader{onRead: cancel}, nil },
	})

	g.Expect(code).To(Equal(wire.ExitCanceled))
	g.Expect(result.Canceled).To(BeTrue())
	g.Expect(result.Reason).To(Equal(velerov1.ReasonCanceled))
	g.Expect(result.SnapshotID).To(BeEmpty())

	next := movertest.Run(t, movertest.BackupTask(r, source))
	g.Expect(next.ExitCode).To(Equal(wire.ExitOK))
	g.Expect(next.Result.IncrementalBytes).To(BeNumerically("<=", 1<<20), "")
	g.Expect(next.Result.UploadedBytes).To(BeNumerically("<", 64<<10), "the checkpoint has the large file")
	g.Expect(plainSnapshots(t, r)).To(HaveLen(1), "the interrupted snapshot is gone")
}

// endlessReader is a file that ends only when its backup is canceled.
type endlessReader struct {
	kopiafs.Reader
	onRead func()
}

func (r *endlessReader) Read(p []byte) (int, error) { r.onRead(); return len(p), nil }
func (r *endlessReader) Close() error               { return nil }

func TestBrokenStorageEndsTheBackup(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source := t.TempDir()
	movertest.WriteSmallFiles(t, source, 2000, 10)
	movertest.WriteLargeFile(t, source, "trigger", 64<<20)
	dir := movertest.RepositoryDir(r)
	task := movertest.BackupTask(r, source)

	result, code := runFrom(t.Context(), t, task, map[string]func() (kopiafs.Reader, error){
		"trigger": func() (kopiafs.Reader, error) {
			// The directory becomes a file: no blob can be written any more.
			g.Expect(os.Rename(dir, dir+".away")).To(Succeed())
			g.Expect(os.WriteFile(dir, nil, 0o600)).To(Succeed())
			return openFile(t, filepath.Join(source, "trigger"))
		},
	})

	g.Expect(code).To(Equal(wire.ExitFailed))
	g.Expect(result.Reason).To(Equal(velerov1.ReasonStorageUnavailable), result.Error)
	g.Expect(result.SnapshotID).To(BeEmpty())
	g.Expect(result.FailedFiles).To(BeZero())

	g.Expect(os.Remove(dir)).To(Succeed())
	g.Expect(os.Rename(dir+".away", dir)).To(Succeed())
	g.Expect(movertest.Run(t, task).ExitCode).To(Equal(wire.ExitOK), "the next try succeeds")
}

// openFile opens a file through a source of its own.
func openFile(t *testing.T, path string) (kopiafs.Reader, error) {
	t.Helper()
	source, err := mover.OpenDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = source.Close() })
	root, err := source.Root(t.Context())
	if err != nil {
		return nil, err
	}
	entry, err := root.Child(t.Context(), filepath.Base(path))
	if err != nil {
		return nil, err
	}
	return entry.(kopiafs.File).Open(t.Context()) //nolint:forcetypeassert // it is one
}

func TestReadOnlyLocationIsNotBackedUpTo(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	r.Location.ReadOnly = true

	report := movertest.Run(t, movertest.BackupTask(r, t.TempDir()))

	g.Expect(report.ExitCode).To(Equal(wire.ExitTerminal))
	g.Expect(report.Result.Reason).To(Equal(velerov1.ReasonLocationReadOnly))
	g.Expect(repository.Ensure(t.Context(), r)).To(Succeed())
}
