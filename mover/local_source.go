package mover

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	"golang.org/x/sys/unix"
)

// namesPerRead is how many names of a directory are read at once; it bounds the
// memory that a huge flat directory takes.
const namesPerRead = 1024

// localSource is a mounted directory.
type localSource struct {
	root *volumeRoot
}

// Root implements Source.
func (s *localSource) Root(context.Context) (kopiafs.Directory, error) {
	var st unix.Stat_t
	if err := unix.Fstat(s.root.fd, &st); err != nil {
		return nil, &volumeError{dir: s.root.path, err: s.root.failed("stat", "", err)}
	}
	return &localDirectory{newLocalEntry(s.root, "", "", &st)}, nil
}

// Close implements Source.
func (s *localSource) Close() error { return s.root.close() }

// localEntry is what all entries have in common. Its name is escaped, its path
// is not.
type localEntry struct {
	root  *volumeRoot
	name  string
	path  string // below the root
	mode  fs.FileMode
	size  int64
	mtime int64 // nanoseconds
	owner kopiafs.OwnerInfo
	dev   kopiafs.DeviceInfo
}

func newLocalEntry(root *volumeRoot, dir, name string, st *unix.Stat_t) localEntry {
	return localEntry{
		root:  root,
		name:  escapeName(name),
		path:  join(dir, name),
		mode:  modeOf(st.Mode),
		size:  st.Size,
		mtime: st.Mtim.Nano(),
		owner: kopiafs.OwnerInfo{UserID: st.Uid, GroupID: st.Gid},
		dev:   kopiafs.DeviceInfo{Dev: uint64(st.Dev), Rdev: uint64(st.Rdev)}, //nolint:unconvert // differs by architecture
	}
}

// join is path.Join for two clean parts.
func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// Name implements fs.FileInfo.
func (e *localEntry) Name() string { return e.name }

// Size implements fs.FileInfo.
func (e *localEntry) Size() int64 { return e.size }

// Mode implements fs.FileInfo.
func (e *localEntry) Mode() fs.FileMode { return e.mode }

// ModTime implements fs.FileInfo.
func (e *localEntry) ModTime() time.Time { return time.Unix(0, e.mtime) }

// IsDir implements fs.FileInfo.
func (e *localEntry) IsDir() bool { return e.mode.IsDir() }

// Sys implements fs.FileInfo.
func (e *localEntry) Sys() any { return nil }

// Owner implements kopiafs.Entry.
func (e *localEntry) Owner() kopiafs.OwnerInfo { return e.owner }

// Device implements kopiafs.Entry.
func (e *localEntry) Device() kopiafs.DeviceInfo { return e.dev }

// LocalFilesystemPath implements kopiafs.Entry. Without a path kopia runs no
// actions and opens nothing by itself.
func (e *localEntry) LocalFilesystemPath() string { return "" }

// Close implements kopiafs.Entry.
func (e *localEntry) Close() {}

// localDirectory is a directory of the volume.
type localDirectory struct{ localEntry }

// Size of a directory is 0, so that it does not depend on the file system.
func (d *localDirectory) Size() int64 { return 0 }

// SupportsMultipleIterations implements kopiafs.Directory.
func (d *localDirectory) SupportsMultipleIterations() bool { return true }

// Child implements kopiafs.Directory.
func (d *localDirectory) Child(ctx context.Context, name string) (kopiafs.Entry, error) {
	return kopiafs.IterateEntriesAndFindChild(ctx, d, name)
}

// Iterate implements kopiafs.Directory.
func (d *localDirectory) Iterate(context.Context) (kopiafs.DirectoryIterator, error) {
	fd, err := d.root.open(d.path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &localIterator{dir: d, fd: fd, file: os.NewFile(uintptr(fd), d.root.at(d.path))}, nil
}

// localIterator lists a directory in the order of the file system.
type localIterator struct {
	dir   *localDirectory
	fd    int // of file, which owns it
	file  *os.File
	names []string
	done  bool
}

// Next implements kopiafs.DirectoryIterator. A directory that cannot be listed
// to its end keeps the entries before, and ends in an ErrorEntry.
func (it *localIterator) Next(ctx context.Context) (kopiafs.Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(it.names) == 0 {
			if it.done {
				return nil, nil //nolint:nilnil // kopia's sign for the end
			}
			if failed := it.fill(); failed != nil {
				it.done = true
				return failed, nil
			}
			continue
		}
		name := it.names[0]
		it.names = it.names[1:]
		if entry := it.entry(name); entry != nil {
			return entry, nil
		}
	}
}

// fill reads more names. It returns what stands for the rest of the directory
// when that cannot be read.
func (it *localIterator) fill() kopiafs.Entry {
	names, err := it.file.Readdirnames(namesPerRead)
	it.names = names
	switch {
	case errors.Is(err, io.EOF):
		it.done = true
		return nil
	case err != nil:
		return &localError{localEntry: localEntry{root: it.dir.root, name: ".", mode: fs.ModeDir}, err: err}
	}
	return nil
}

// entry looks one name up; nil means that it is gone.
func (it *localIterator) entry(name string) kopiafs.Entry {
	var st unix.Stat_t
	err := unix.Fstatat(it.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		e := localEntry{root: it.dir.root, name: escapeName(name), path: join(it.dir.path, name)}
		return &localError{localEntry: e, err: it.dir.root.failed("stat", e.path, err)}
	}
	e := newLocalEntry(it.dir.root, it.dir.path, name, &st)
	switch e.mode.Type() {
	case fs.ModeDir:
		return &localDirectory{e}
	case fs.ModeSymlink:
		return &localSymlink{e}
	case 0:
		return &localFile{e}
	default:
		return &localError{localEntry: e, err: kopiafs.ErrUnknown}
	}
}

// Close implements kopiafs.DirectoryIterator.
func (it *localIterator) Close() { _ = it.file.Close() }

// localError stands for an entry that cannot be backed up.
type localError struct {
	localEntry

	err error
}

// ErrorInfo implements kopiafs.ErrorEntry.
func (e *localError) ErrorInfo() error { return e.err }

// localSymlink is a symbolic link of the volume.
type localSymlink struct{ localEntry }

// Readlink implements kopiafs.Symlink.
func (l *localSymlink) Readlink(context.Context) (string, error) {
	var target string
	err := l.root.inParent(l.path, func(dir int, name string) error {
		buffer := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(dir, name, buffer)
		if err != nil {
			return l.root.failed("readlink", l.path, err)
		}
		target = string(buffer[:n])
		return nil
	})
	return target, err
}

// Resolve implements kopiafs.Symlink. Nothing follows links in a backup.
func (l *localSymlink) Resolve(context.Context) (kopiafs.Entry, error) {
	return nil, kopiafs.ErrEntryNotFound
}

// localFile is a regular file of the volume.
type localFile struct{ localEntry }

// Open implements kopiafs.File. O_NONBLOCK keeps it from waiting forever on a
// fifo that took the file's place.
func (f *localFile) Open(context.Context) (kopiafs.Reader, error) {
	fd, err := f.root.open(f.path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return &localReader{file: f, fd: fd}, nil
}

// localReader reads a file by system calls: an os.File would first try to add
// each one to the poller.
type localReader struct {
	file *localFile
	fd   int
}

// Read implements io.Reader.
func (r *localReader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(r.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, r.file.root.failed("read", r.file.path, err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Seek implements io.Seeker.
func (r *localReader) Seek(offset int64, whence int) (int64, error) {
	n, err := unix.Seek(r.fd, offset, whence)
	if err != nil {
		return n, r.file.root.failed("seek", r.file.path, err)
	}
	return n, nil
}

// Close implements io.Closer.
func (r *localReader) Close() error { return unix.Close(r.fd) }

// Entry implements kopiafs.Reader: the file as it is now.
func (r *localReader) Entry() (kopiafs.Entry, error) {
	var st unix.Stat_t
	if err := unix.Fstat(r.fd, &st); err != nil {
		return nil, r.file.root.failed("stat", r.file.path, err)
	}
	dir, name := path.Split(r.file.path)
	return &localFile{newLocalEntry(r.file.root, path.Clean(dir), name, &st)}, nil
}

// modeOf translates a mode of the kernel.
func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	if m&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	switch m & unix.S_IFMT {
	case unix.S_IFREG:
		return mode
	case unix.S_IFDIR:
		return mode | fs.ModeDir
	case unix.S_IFLNK:
		return mode | fs.ModeSymlink
	default:
		return mode | fs.ModeIrregular
	}
}
