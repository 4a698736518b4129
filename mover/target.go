package mover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/snapshot"
	kopiarestore "github.com/kopia/kopia/snapshot/restore"
	"golang.org/x/sys/unix"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
)

const (
	// Modes until the right ones are set, after the content is there.
	newFileMode = 0o600
	newDirMode  = 0o700

	copyBufferBytes = 256 << 10
)

// target writes entries into a volume. It replaces kopia's own output, which
// follows links in existing volumes, drops attributes without a trace, keeps
// times of links to the microsecond and removes files whose name ends in
// ".kopia-entry".
type target struct {
	volume  *volumeRoot
	sparse  bool
	escaped bool // names of the snapshot are escaped
	buffers sync.Pool

	written atomic.Int64 // bytes
	files   atomic.Int64
	lost    finding
}

func newTarget(volume *volumeRoot, sparse, escaped bool) *target {
	return &target{
		volume: volume, sparse: sparse, escaped: escaped,
		buffers: sync.Pool{New: func() any { b := make([]byte, copyBufferBytes); return &b }},
	}
}

func (t *target) result() wire.Result {
	r := wire.Result{TotalBytes: t.written.Load(), Files: t.files.Load()}
	r.LostAttributes, r.Lost = t.lost.get()
	return r
}

// name is the path in the volume of a path in the snapshot.
func (t *target) name(stored string) string {
	if t.escaped {
		return unescapeName(stored)
	}
	return stored
}

// Parallelizable implements kopiarestore.Output.
func (t *target) Parallelizable() bool { return true }

// BeginDirectory implements kopiarestore.Output.
func (t *target) BeginDirectory(_ context.Context, stored string, _ kopiafs.Directory) error {
	if stored == "" {
		return nil
	}
	rel := t.name(stored)
	err := t.volume.inParent(rel, func(dir int, name string) error {
		return t.makeDirectory(rel, dir, name)
	})
	return t.failed("creating directory", err)
}

// FinishDirectory implements kopiarestore.Output.
func (t *target) FinishDirectory(_ context.Context, stored string, d kopiafs.Directory) error {
	rel := t.name(stored)
	fd, err := t.volume.open(rel, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return t.failed("setting attributes", err)
	}
	return t.failed("setting attributes", errors.Join(t.setAttributes(fd, rel, d), unix.Close(fd)))
}

// WriteFile implements kopiarestore.Output.
func (t *target) WriteFile(ctx context.Context, stored string, f kopiafs.File, _ kopiarestore.FileWriteProgress) error {
	rel := t.name(stored)
	reader, err := f.Open(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", printable(rel), err)
	}
	defer func() { _ = reader.Close() }()

	fd, err := t.createFile(rel)
	if err != nil {
		return t.failed("creating file", err)
	}
	err = t.copy(ctx, &fileWriter{fd: fd, sparse: t.sparse}, reader, f)
	if err == nil {
		err = t.failed("setting attributes", t.setAttributes(fd, rel, f))
	}
	if closeErr := unix.Close(fd); err == nil && closeErr != nil {
		err = t.failed("closing", t.volume.failed("close", rel, closeErr))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", printable(rel), err)
	}
	t.files.Add(1)
	return nil
}

// copy moves the content. It tells errors of the repository from those of the
// volume.
func (t *target) copy(ctx context.Context, w *fileWriter, r io.Reader, f kopiafs.File) error {
	buffer := t.buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool has nothing else
	defer t.buffers.Put(buffer)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(*buffer)
		if n > 0 {
			if err := w.write((*buffer)[:n]); err != nil {
				return t.failed("writing", err)
			}
			t.written.Add(int64(n))
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF):
			return fmt.Errorf("reading: %w", err)
		case w.offset != f.Size():
			return fmt.Errorf("%w: file has %d bytes instead of %d", repository.ErrCorrupt, w.offset, f.Size())
		}
		return t.failed("writing", w.finish())
	}
}

// CreateSymlink implements kopiarestore.Output.
func (t *target) CreateSymlink(ctx context.Context, stored string, l kopiafs.Symlink) error {
	rel := t.name(stored)
	to, err := l.Readlink(ctx)
	if err != nil {
		return fmt.Errorf("reading link %s: %w", printable(rel), err)
	}
	err = t.volume.inParent(rel, func(dir int, name string) error {
		if err := t.makeLink(rel, dir, name, to); err != nil {
			return err
		}
		return t.setLinkAttributes(dir, name, rel, l)
	})
	return t.failed("creating link", err)
}

// FileExists implements kopiarestore.Output; only incremental restores ask.
func (t *target) FileExists(context.Context, string, kopiafs.File) bool { return false }

// SymlinkExists implements kopiarestore.Output; only incremental restores ask.
func (t *target) SymlinkExists(context.Context, string, kopiafs.Symlink) bool { return false }

// WriteDirEntry implements kopiarestore.Output; only shallow restores call it.
func (t *target) WriteDirEntry(context.Context, string, *snapshot.DirEntry, kopiafs.Directory) error {
	return nil
}

// Close implements kopiarestore.Output.
func (t *target) Close(context.Context) error { return nil }

// sync makes all that was written durable.
func (t *target) sync() error {
	if err := unix.Syncfs(t.volume.fd); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("flushing: %w", t.volume.failed("syncfs", "", err))
	}
	return nil
}

// setTime sets the time of the volume's directory.
func (t *target) setTime(mtime time.Time) error {
	err := t.keepLoss("", timeText, futimes(t.volume.fd, mtime))
	return t.failed("setting attributes", err)
}

// createFile makes a new file. What has its name is removed, not written
// through: it may be a link, a device or a file with other hard links.
func (t *target) createFile(rel string) (int, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL
	fd, err := t.volume.open(rel, flags, newFileMode)
	if !errors.Is(err, fs.ErrExist) {
		return fd, err
	}
	err = t.volume.inParent(rel, func(dir int, name string) error { return t.remove(rel, dir, name) })
	if err != nil {
		return -1, err
	}
	return t.volume.open(rel, flags, newFileMode)
}

// makeDirectory keeps an existing directory and replaces anything else.
func (t *target) makeDirectory(rel string, dir int, name string) error {
	err := unix.Mkdirat(dir, name, newDirMode)
	if !errors.Is(err, unix.EEXIST) {
		return t.pathError("mkdir", rel, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return t.pathError("stat", rel, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	if err := t.remove(rel, dir, name); err != nil {
		return err
	}
	return t.pathError("mkdir", rel, unix.Mkdirat(dir, name, newDirMode))
}

// makeLink replaces what is there, but no directory with content.
func (t *target) makeLink(rel string, dir int, name, to string) error {
	err := unix.Symlinkat(to, dir, name)
	if !errors.Is(err, unix.EEXIST) {
		return t.pathError("symlink", rel, err)
	}
	if err := t.remove(rel, dir, name); err != nil {
		return err
	}
	return t.pathError("symlink", rel, unix.Symlinkat(to, dir, name))
}

func (t *target) remove(rel string, dir int, name string) error {
	err := unix.Unlinkat(dir, name, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	}
	return t.pathError("replace", rel, err)
}

func (t *target) pathError(op, rel string, err error) error {
	if err == nil {
		return nil
	}
	return t.volume.failed(op, rel, err)
}

// failed marks an error as one of the volume.
func (t *target) failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	return &volumeError{dir: t.volume.path, err: fmt.Errorf("%s: %w", doing, err)}
}

func isMissingBlob(err error) bool { return errors.Is(err, blob.ErrBlobNotFound) }

var _ kopiarestore.Output = (*target)(nil)
