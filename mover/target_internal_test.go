package mover

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestAttributesThatAreRefusedAreCounted(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to act as another user for a moment")
	}
	g := NewWithT(t)
	volume, err := openVolume(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = volume.close() }()
	fd, err := volume.open("file", unix.O_CREAT|unix.O_WRONLY, 0o600)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = unix.Close(fd) }()
	to := newTarget(volume, false, false)
	entry := &localFile{localEntry{mode: 0o640, mtime: 1_600_000_000_123456789, owner: kopiafs.OwnerInfo{UserID: 7, GroupID: 8}}}

	asNobody(t, func() { err = to.setAttributes(fd, "file", entry) })

	g.Expect(err).NotTo(HaveOccurred())
	count, names := to.lost.get()
	g.Expect(count).To(BeEquivalentTo(3))
	g.Expect(names).To(ConsistOf(
		"file: owner 7:8: operation not permitted",
		"file: mode 0640: operation not permitted",
		"file: time: operation not permitted",
	))
	g.Expect(to.result().LostAttributes).To(BeEquivalentTo(3))
}

// asNobody runs do on a thread without the rights of root over files. The
// thread ends with the test's goroutine.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread is not used again
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		do()
	}()
	<-done
}

func TestSetAttributesKeepsSetUserID(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := t.TempDir()
	volume, err := openVolume(dir)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = volume.close() }()
	fd, err := volume.open("file", unix.O_CREAT|unix.O_WRONLY, 0o600)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = unix.Close(fd) }()
	mtime := time.Unix(1_600_000_000, 123456789)
	owner := kopiafs.OwnerInfo{UserID: uint32(os.Getuid()), GroupID: uint32(os.Getgid())} //nolint:gosec // they fit
	entry := &localFile{localEntry{mode: 0o755 | fs.ModeSetuid, mtime: mtime.UnixNano(), owner: owner}}

	g.Expect(newTarget(volume, false, false).setAttributes(fd, "file", entry)).To(Succeed())

	info, err := os.Stat(filepath.Join(dir, "file"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode()).To(Equal(0o755 | fs.ModeSetuid))
	g.Expect(info.ModTime()).To(BeTemporally("==", mtime))
}

func TestOpenStepwiseEqualsOpen(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := t.TempDir()
	g.Expect(os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "a", "b", "c"), nil, 0o600)).To(Succeed())
	g.Expect(os.Symlink("a", filepath.Join(dir, "link"))).To(Succeed())
	volume, err := openVolume(dir)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = volume.close() }()

	for path, want := range map[string]error{"a/b/c": nil, "link/b/c": unix.ENOTDIR, "a/missing/c": unix.ENOENT} {
		fd, err := volume.openStepwise(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if want != nil {
			g.Expect(err).To(MatchError(want), path)
			continue
		}
		g.Expect(err).NotTo(HaveOccurred(), path)
		g.Expect(unix.Close(fd)).To(Succeed())
	}
	_, err = volume.open("link/b/c", unix.O_RDONLY, 0)
	g.Expect(err).To(MatchError(unix.ELOOP))
}

func TestVolumeReason(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"no space":    {unix.ENOSPC, velerov1.ReasonTargetFull},
		"quota":       {unix.EDQUOT, velerov1.ReasonTargetFull},
		"no volume":   {unix.ENOENT, velerov1.ReasonVolumeNotFound},
		"other error": {unix.EIO, velerov1.ReasonMoverFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := &volumeError{dir: "/volume", err: &os.PathError{Op: "write", Path: "/volume/x", Err: tc.err}}
			NewWithT(t).Expect(reasonOf(err)).To(Equal(tc.want))
		})
	}
}
