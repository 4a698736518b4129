package suite

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// SkippedByPopulate is how many of Populate's entries a file system backup
// cannot carry.
const SkippedByPopulate = 1

// Populate fills a volume with what is easily lost: owners, modes, times to the
// nanosecond, links, holes, empty folders and names that are not text.
func Populate(t *testing.T, dir string) {
	t.Helper()
	g := NewWithT(t)
	at := time.Date(2021, 3, 4, 5, 6, 7, 123456789, time.UTC)

	files := map[string]struct {
		content  []byte
		mode     uint32
		uid, gid int
	}{
		"sentinel":                     {[]byte("the data is here\n"), 0o644, 0, 0},
		"secret.key":                   {[]byte("k"), 0o400, 1234, 5678},
		"bin/tool":                     {[]byte("#!/bin/sh\n"), 0o4755, 0, 0},
		"empty":                        {nil, 0o600, 1, 1},
		"a b\tc\n'\"\\$`*":             {[]byte("odd"), 0o666, 0, 0},
		"ümläut-\xff\xfe-\u65e5\u672c": {[]byte("not text"), 0o644, 0, 0},
		"deep/er/and/er/file":          {Random(3, 70_000), 0o640, 7, 7},
		"blob":                         {Random(1, 5<<20), 0o644, 0, 0},
		longName():                     {[]byte("long"), 0o644, 0, 0},
	}
	for _, d := range []string{"bin", "deep/er/and/er", "empty-dir", "sticky", "closed"} {
		g.Expect(os.MkdirAll(filepath.Join(dir, d), 0o755)).To(Succeed())
	}
	for name, f := range files {
		file := filepath.Join(dir, name)
		g.Expect(os.WriteFile(file, f.content, 0o600)).To(Succeed())
		g.Expect(os.Chown(file, f.uid, f.gid)).To(Succeed())
		g.Expect(syscall.Chmod(file, f.mode)).To(Succeed())
		g.Expect(os.Chtimes(file, at, at)).To(Succeed())
	}
	writeSparse(g, filepath.Join(dir, "sparse"), at)
	g.Expect(os.Symlink("sentinel", filepath.Join(dir, "link"))).To(Succeed())
	g.Expect(os.Symlink("/no/where", filepath.Join(dir, "dangling"))).To(Succeed())
	g.Expect(os.Lchown(filepath.Join(dir, "dangling"), 42, 43)).To(Succeed())
	g.Expect(os.Link(filepath.Join(dir, "blob"), filepath.Join(dir, "blob-hardlink"))).To(Succeed())
	g.Expect(syscall.Mkfifo(filepath.Join(dir, "queue.fifo"), 0o644)).To(Succeed())
	g.Expect(syscall.Chmod(filepath.Join(dir, "sticky"), 0o1777)).To(Succeed())
	g.Expect(syscall.Chmod(filepath.Join(dir, "closed"), 0o700)).To(Succeed())
	for _, d := range []string{"bin", "deep/er/and/er", "deep/er/and", "deep/er", "deep", "empty-dir", "sticky", "closed"} {
		g.Expect(os.Chtimes(filepath.Join(dir, d), at, at)).To(Succeed())
	}
	for _, link := range []string{"link", "dangling"} {
		ts := unix.NsecToTimespec(at.UnixNano())
		g.Expect(unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, link), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)).To(Succeed())
	}
}

func writeSparse(g *WithT, file string, at time.Time) {
	f, err := os.Create(file)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = f.WriteAt([]byte("end"), 8<<20)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(f.Close()).To(Succeed())
	g.Expect(os.Chtimes(file, at, at)).To(Succeed())
}

// longName is as long as a file name may be.
func longName() string {
	b := make([]byte, 255)
	for i := range b {
		b[i] = 'n'
	}
	return string(b)
}

// Random returns n bytes that do not compress and are the same for each seed.
func Random(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}
