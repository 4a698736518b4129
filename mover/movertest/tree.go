package movertest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Entry is all that a backup must carry of a file, directory or symbolic link.
type Entry struct {
	Path   string
	Mode   fs.FileMode
	UID    uint32
	GID    uint32
	MTime  int64  // nanoseconds since 1970
	Size   int64  // of files
	SHA256 string // of files
	Target string // of symbolic links
}

// ReadTree lists what is below dir, dir itself as ".", sorted by path.
func ReadTree(tb testing.TB, dir string) []Entry {
	tb.Helper()
	var entries []Entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		e, err := readEntry(dir, path, d)
		entries = append(entries, e)
		return err
	})
	if err != nil {
		tb.Fatalf("reading tree %s: %v", dir, err)
	}
	return entries
}

func readEntry(dir, path string, d fs.DirEntry) (Entry, error) {
	info, err := d.Info()
	if err != nil {
		return Entry{}, err
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return Entry{}, err
	}
	stat := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // Linux
	e := Entry{Path: rel, Mode: info.Mode(), UID: stat.Uid, GID: stat.Gid, MTime: info.ModTime().UnixNano()}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		e.Target, err = os.Readlink(path)
	case 0:
		var content []byte
		content, err = os.ReadFile(path)
		sum := sha256.Sum256(content)
		e.Size, e.SHA256 = info.Size(), hex.EncodeToString(sum[:])
	}
	return e, err
}

// UnusualNames are file names that backups have lost.
func UnusualNames() []string {
	return []string{
		"space and 'quotes' \"too\"", "line\nbreak", "tab\tand\x01control", "back\\slash", "-dash", "~", "*",
		"invalid\xff\xfeutf8", "invalid\xfe\xffutf8", "\xf4\x8f\x9f\xbfescape range", "ümläut", "e\u0301", "\u00e9", "雪",
		"x.kopia-entry", ".kopiaignore", "CACHEDIR.TAG", ".hidden",
		strings.Repeat("n", 255), strings.Repeat("\xff", 255),
	}
}

// BuildTree fills dir with all that a backup carries. It needs to run as root to
// set owners.
func BuildTree(tb testing.TB, dir string) {
	tb.Helper()
	write(tb, dir, "file", RandomBytes(1, 3<<20), 0o640)
	write(tb, dir, "empty", nil, 0o600)
	write(tb, dir, "setuid", []byte("#!"), 0o4755)
	write(tb, dir, "unreadable-by-others", []byte("secret"), 0o000)
	write(tb, dir, "sub/dir/deep", []byte("deep"), 0o644)
	write(tb, dir, "x", []byte("beside x.kopia-entry"), 0o644)
	for i, name := range UnusualNames() {
		write(tb, dir, "names/"+name, []byte(fmt.Sprint(i, "*\n")), 0o644)
	}
	must(tb, os.Mkdir(filepath.Join(dir, "empty-dir"), 0o750))
	must(tb, os.Mkdir(filepath.Join(dir, "sticky"), 0o700))
	must(tb, os.Chmod(filepath.Join(dir, "sticky"), 0o777|fs.ModeSticky|fs.ModeSetgid))
	must(tb, os.Symlink("file", filepath.Join(dir, "link")))
	must(tb, os.Symlink("/nonexistent/\xfftarget", filepath.Join(dir, "dangling")))
	must(tb, os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "hardlink")))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	must(tb, err)
	_, err = sparse.WriteAt([]byte("end"), 8<<20)
	must(tb, err)
	must(tb, sparse.Truncate(12<<20))
	must(tb, sparse.Close())
	if os.Geteuid() == 0 {
		must(tb, os.Lchown(filepath.Join(dir, "link"), 1001, 1002))
		must(tb, os.Chown(filepath.Join(dir, "sub", "dir", "deep"), 1000, 2000))
		must(tb, os.Chown(filepath.Join(dir, "sub"), 65534, 65534))
		must(tb, os.Chmod(filepath.Join(dir, "sub"), 0o500))
	}
	setTimes(tb, dir)
}

// setTimes gives everything a time with nanoseconds, directories after what is
// in them.
func setTimes(tb testing.TB, dir string) {
	tb.Helper()
	var paths []string
	must(tb, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	}))
	for i := len(paths) - 1; i >= 0; i-- {
		ts := unix.NsecToTimespec(time.Unix(1_600_000_000+int64(i)*1000, 123456789+int64(i)).UnixNano())
		must(tb, unix.UtimesNanoAt(unix.AT_FDCWD, paths[i], []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// RandomBytes returns n bytes that do not compress and are the same each time.
func RandomBytes(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}

// WriteFile writes one file below dir and makes its directories.
func WriteFile(tb testing.TB, dir, name, content string) {
	tb.Helper()
	write(tb, dir, name, []byte(content), 0o644)
}

// WriteSmallFiles writes n files of size bytes in directories of 1000.
func WriteSmallFiles(tb testing.TB, dir string, n, size int) {
	tb.Helper()
	content := RandomBytes(2, n+size)
	for i := range n {
		write(tb, dir, fmt.Sprintf("d%04d/f%06d", i/1000, i), content[i:i+size], 0o644)
	}
}

// WriteLargeFile writes one file of size bytes that do not compress.
func WriteLargeFile(tb testing.TB, dir, name string, size int64) {
	tb.Helper()
	const part = 16 << 20
	file, err := os.Create(filepath.Join(dir, name))
	must(tb, err)
	for i := int64(0); i*part < size; i++ {
		n := min(part, size-i*part)
		_, err := bytes.NewReader(RandomBytes(uint64(i), part)[:n]).WriteTo(file) //nolint:gosec // i is small
		must(tb, err)
	}
	must(tb, file.Close())
}

func write(tb testing.TB, dir, name string, content []byte, mode uint32) {
	tb.Helper()
	path := filepath.Join(dir, name)
	must(tb, os.MkdirAll(filepath.Dir(path), 0o755))
	must(tb, os.WriteFile(path, content, 0o600))
	must(tb, unix.Chmod(path, mode))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
