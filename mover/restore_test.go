package mover_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kopia/kopia/repo/blob/filesystem"
	"github.com/kopia/kopia/snapshot"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover"
	"github.com/podkeep/podkeep/mover/movertest"
)

// plainClient is a plain kopia client of a mover's repository.
func plainClient(t *testing.T, r wire.Repository) movertest.PlainKopia {
	t.Helper()
	g := NewWithT(t)
	storage, err := filesystem.New(t.Context(), &filesystem.Options{Path: movertest.RepositoryDir(r)}, false)
	g.Expect(err).NotTo(HaveOccurred())
	plain := movertest.PlainKopia{Storage: storage, Directory: t.TempDir(), Password: movertest.Password}
	g.Expect(plain.Connect(t.Context())).To(Succeed())
	return plain
}

func plainSnapshots(t *testing.T, r wire.Repository) []*snapshot.Manifest {
	t.Helper()
	snapshots, err := plainClient(t, r).Snapshots(t.Context())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return snapshots
}

func TestPlainKopiaReadsOurSnapshots(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	movertest.WriteFile(t, source, "dir/file", "content")
	movertest.WriteLargeFile(t, source, "large", 5<<20)
	id := snapshotOf(t, r, source)

	snapshots := plainSnapshots(t, r)
	g.Expect(plainClient(t, r).Restore(t.Context(), id, target)).To(Succeed())

	g.Expect(snapshots).To(HaveLen(1))
	got := snapshots[0]
	g.Expect(string(got.ID)).To(Equal(id))
	g.Expect(got.Source).To(Equal(snapshot.SourceInfo{Host: "default", UserName: "default", Path: "snapshot-pod-volume/kopia/shop/db-0/data"}))
	g.Expect(got.Tags).To(Equal(map[string]string{
		"snapshot-requester":         "snapshot-pod-volume",
		"snapshot-uploader":          "kopia",
		"podkeep.io/volume-identity": "claim/data",
	}))
	g.Expect(got.Pins).To(Equal([]string{"velero-pin"}))
	g.Expect(got.Description).To(Equal("Kopia Uploader"))
	g.Expect(got.IncompleteReason).To(BeEmpty())
	g.Expect(got.Stats.TotalFileSize).To(BeEquivalentTo(5<<20 + 7))
	g.Expect(contents(t, target)).To(Equal(contents(t, source)))
}

// contents maps paths to checksums; plain kopia restores other times of
// directories.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, e := range movertest.ReadTree(t, dir) {
		sums[e.Path] = e.SHA256
	}
	return sums
}

func TestWeReadSnapshotsOfPlainKopia(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), t.TempDir()
	movertest.WriteFile(t, source, "dir/\U0010F7FF is no escape here", "content")
	want := contents(t, source)
	made, err := plainClient(t, r).Backup(t.Context(), source)
	g.Expect(err).NotTo(HaveOccurred())

	report := movertest.Run(t, movertest.RestoreTask(r, string(made.ID), target))

	g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
	withoutMarker(t, target)
	g.Expect(contents(t, target)).To(Equal(want))
}

func TestRestoreReplacesWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target, outside := t.TempDir(), t.TempDir(), t.TempDir()
	movertest.WriteFile(t, source, "dir/file", "restored")
	movertest.WriteFile(t, source, "file", "restored")
	movertest.WriteFile(t, source, "kept/new", "restored")
	g.Expect(os.Symlink("file", filepath.Join(source, "link"))).To(Succeed())
	g.Expect(os.Symlink(outside, filepath.Join(target, "dir"))).To(Succeed())
	movertest.WriteFile(t, outside, "victim", "untouched")
	g.Expect(os.Symlink(filepath.Join(outside, "victim"), filepath.Join(target, "file"))).To(Succeed())
	movertest.WriteFile(t, target, "link", "was a file")
	movertest.WriteFile(t, target, "kept/old", "stays")
	id := snapshotOf(t, r, source)

	report := movertest.Run(t, movertest.RestoreTask(r, id, target))

	g.Expect(report.Result.Error).To(BeEmpty())
	g.Expect(contents(t, outside)).To(HaveLen(2), "nothing was written through links")
	g.Expect(os.ReadFile(filepath.Join(outside, "victim"))).To(BeEquivalentTo("untouched"))
	g.Expect(os.ReadFile(filepath.Join(target, "dir", "file"))).To(BeEquivalentTo("restored"))
	g.Expect(os.ReadFile(filepath.Join(target, "link"))).To(BeEquivalentTo("restored"))
	g.Expect(os.ReadFile(filepath.Join(target, "kept", "old"))).To(BeEquivalentTo("stays"))
	g.Expect(os.ReadFile(filepath.Join(target, "kept", "new"))).To(BeEquivalentTo("restored"))
}

func TestSparseFilesGetHoles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sparse bool
		want   func(blocks int64) bool
	}{
		"with the setting":    {true, func(blocks int64) bool { return blocks*512 < 1<<20 }},
		"without the setting": {false, func(blocks int64) bool { return blocks*512 >= 16<<20 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := newRepository(t)
			source, target := t.TempDir(), t.TempDir()
			movertest.WriteFile(t, source, "sparse", "begin")
			g.Expect(os.Truncate(filepath.Join(source, "sparse"), 16<<20)).To(Succeed())
			task := movertest.RestoreTask(r, snapshotOf(t, r, source), target)
			task.Restore.SparseFiles = tc.sparse

			g.Expect(movertest.Run(t, task).ExitCode).To(Equal(wire.ExitOK))

			var st unix.Stat_t
			g.Expect(unix.Stat(filepath.Join(target, "sparse"), &st)).To(Succeed())
			g.Expect(tc.want(st.Blocks)).To(BeTrue(), "%d blocks", st.Blocks)
			withoutMarker(t, target)
			g.Expect(contents(t, target)).To(Equal(contents(t, source)))
		})
	}
}

func TestFullTarget(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), t.TempDir()
	movertest.WriteLargeFile(t, source, "large", 4<<20)
	if err := unix.Mount("tmpfs", target, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })

	report := movertest.Run(t, movertest.RestoreTask(r, snapshotOf(t, r, source), target))

	g.Expect(report.ExitCode).To(Equal(wire.ExitFailed))
	g.Expect(report.Result.Reason).To(Equal(velerov1.ReasonTargetFull))
	g.Expect(report.Result.Error).To(ContainSubstring(target))
	g.Expect(movertest.Marker(target)).NotTo(BeAnExistingFile())
}

func TestFailedRestoreWritesNoMarker(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		damage     func(t *testing.T, pack string)
		wantReason string
	}{
		"a pack is missing": {
			func(t *testing.T, pack string) { t.Helper(); NewWithT(t).Expect(os.Remove(pack)).To(Succeed()) },
			velerov1.ReasonRepositoryCorrupt,
		},
		"a pack is damaged": {
			func(t *testing.T, pack string) {
				t.Helper()
				g := NewWithT(t)
				data, err := os.ReadFile(pack)
				g.Expect(err).NotTo(HaveOccurred())
				for i := len(data) / 4; i < len(data)/2; i++ {
					data[i] ^= 0xff
				}
				g.Expect(os.WriteFile(pack, data, 0o600)).To(Succeed())
			},
			velerov1.ReasonRepositoryCorrupt,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := newRepository(t)
			source, target := t.TempDir(), t.TempDir()
			movertest.WriteLargeFile(t, source, "large", 4<<20)
			movertest.WriteFile(t, target, ".velero/"+movertest.RestoreUID, "")
			id := snapshotOf(t, r, source)
			tc.damage(t, dataPack(t, r))

			report := movertest.Run(t, movertest.RestoreTask(r, id, target))

			g.Expect(report.ExitCode).To(Equal(wire.ExitTerminal))
			g.Expect(report.Result.Reason).To(Equal(tc.wantReason), report.Result.Error)
			g.Expect(movertest.Marker(target)).NotTo(BeAnExistingFile(), "not even that of an earlier try")
		})
	}
}

// dataPack finds the only pack of volume data.
func dataPack(t *testing.T, r wire.Repository) string {
	t.Helper()
	dir := movertest.RepositoryDir(r)
	for _, e := range movertest.ReadTree(t, dir) {
		path := strings.ReplaceAll(e.Path, "/", "")
		if strings.HasPrefix(path, "p") && e.Size > 1<<20 {
			return filepath.Join(dir, e.Path)
		}
	}
	t.Fatal("repository has no data pack")
	return ""
}

func TestRestoreOfUnknownSnapshot(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	report := movertest.Run(t, movertest.RestoreTask(newRepository(t), "0123456789abcdef0123456789abcdef", t.TempDir()))

	g.Expect(report.ExitCode).To(Equal(wire.ExitTerminal))
	g.Expect(report.Result.Error).To(ContainSubstring("0123456789abcdef0123456789abcdef"))
}

func TestCanceledRestoreWritesNoMarker(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source, target := t.TempDir(), t.TempDir()
	movertest.WriteSmallFiles(t, source, 3000, 100)
	task := movertest.RestoreTask(r, snapshotOf(t, r, source), target)
	ctx, cancel := context.WithCancel(t.Context())
	started := writerFunc(func(line []byte) {
		if bytes.Contains(line, []byte(wire.MessageStarted)) {
			cancel()
		}
	})

	result, code := mover.Run(ctx, task, mover.Output{Messages: started, Clock: clock.RealClock{}})

	g.Expect(code).To(Equal(wire.ExitCanceled))
	g.Expect(result.Canceled).To(BeTrue())
	g.Expect(movertest.Marker(target)).NotTo(BeAnExistingFile())
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestMoverWaitsForItsSlot(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := newRepository(t)
	source := t.TempDir()
	task := movertest.BackupTask(r, source)
	task.SlotFile = filepath.Join(t.TempDir(), "slot")
	var said []wire.MessageType
	messages := writerFunc(func(line []byte) {
		m := movertest.ParseMessages(t, line)[0]
		said = append(said, m.Type)
		if m.Type == wire.MessagePrepared {
			movertest.WriteFile(t, source, "late", "written while the mover waits")
			g.Expect(os.WriteFile(task.SlotFile, []byte(" granted\n"), 0o600)).To(Succeed())
		}
	})

	result, code := mover.Run(t.Context(), task, mover.Output{Messages: messages, Clock: clock.RealClock{}})

	g.Expect(code).To(Equal(wire.ExitOK))
	g.Expect(result.Files).To(BeEquivalentTo(1))
	// A slow machine prints more progress.
	g.Expect(slices.Compact(said)).To(HaveExactElements(wire.MessagePrepared, wire.MessageStarted, wire.MessageProgress, wire.MessageResult))
}

func TestCanceledWhileWaitingForItsSlot(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	task := movertest.BackupTask(newRepository(t), t.TempDir())
	task.SlotFile = filepath.Join(t.TempDir(), "slot")
	ctx, cancel := context.WithCancel(t.Context())

	_, code := mover.Run(ctx, task, mover.Output{Messages: writerFunc(func([]byte) { cancel() }), Clock: clock.RealClock{}})

	g.Expect(code).To(Equal(wire.ExitCanceled))
}

func TestResultIsKeptBeforeItIsPrinted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var order []string
	out := mover.Output{
		Messages:           writerFunc(func([]byte) { order = append(order, "printed") }),
		TerminationMessage: func([]byte) error { order = append(order, "kept"); return errors.New("no such file") },
		Clock:              clock.RealClock{},
	}

	code := mover.RunArgument(t.Context(), `{"kind":"dance"}`, out)

	g.Expect(code).To(Equal(wire.ExitTerminal))
	g.Expect(order).To(Equal([]string{"kept", "printed"}))
}

func TestLastLineEqualsTerminationMessage(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	report := movertest.Run(t, movertest.BackupTask(newRepository(t), t.TempDir()))

	last := report.Messages[len(report.Messages)-1]
	kept, err := wire.ParseResult(string(report.Termination))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(last.Type).To(Equal(wire.MessageResult))
	g.Expect(*last.Result).To(Equal(kept))
	g.Expect(kept).To(Equal(report.Result))
}

// TestMarkerCanBeRemovedByWhoWritesInTheVolume is about gates that are not root.
func TestMarkerCanBeRemovedByWhoWritesInTheVolume(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root gives folders away")
	}
	tests := map[string]struct {
		mode os.FileMode
		want os.FileMode
	}{
		"a volume of a group":    {mode: 0o770 | os.ModeSetgid, want: 0o775},
		"a volume of its owner":  {mode: 0o700, want: 0o755},
		"a volume of all people": {mode: 0o777, want: 0o777},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := newRepository(t)
			source, target := t.TempDir(), t.TempDir()
			movertest.WriteFile(t, source, "file", "content")
			g.Expect(os.Chown(source, 4242, 4343)).To(Succeed())
			g.Expect(os.Chmod(source, tc.mode)).To(Succeed())
			made := movertest.Run(t, movertest.BackupTask(r, source))
			g.Expect(made.ExitCode).To(Equal(wire.ExitOK))

			report := movertest.Run(t, movertest.RestoreTask(r, made.Result.SnapshotID, target))

			g.Expect(report.ExitCode).To(Equal(wire.ExitOK))
			info, err := os.Stat(filepath.Dir(movertest.Marker(target)))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(info.Mode().Perm()).To(Equal(tc.want))
			owner, ok := info.Sys().(*syscall.Stat_t)
			g.Expect(ok).To(BeTrue())
			g.Expect(owner.Uid).To(BeEquivalentTo(4242))
			g.Expect(owner.Gid).To(BeEquivalentTo(4343))
		})
	}
}
