package objectstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/podkeep/podkeep/internal/location"
)

const (
	// directoryMode and fileMode are those of kopia's filesystem repositories,
	// which lie in the same directory.
	directoryMode = 0o700
	fileMode      = 0o600

	// partialPrefix marks files that are being written. They are no objects.
	partialPrefix = ".podkeep-partial-"

	// lostAndFound is what mkfs leaves in the root of a volume.
	lostAndFound = "lost+found"
)

// filesystem is a directory. Paths are resolved by os.Root, so that neither a
// key nor a symbolic link leads out of it.
type filesystem struct {
	directory string // spec.config[fspath]; must exist, a missing mount is not made up for
	root      string // "" or with a trailing slash
}

func newFilesystem(l location.Location) (*filesystem, error) {
	directory := l.Config[location.ConfigFilesystemPath]
	if !path.IsAbs(directory) {
		return nil, fmt.Errorf("%w: spec.config[%s]: Invalid value: %q: must be an absolute path",
			ErrInvalidConfig, location.ConfigFilesystemPath, directory)
	}
	if l.Prefix != "" && (l.Prefix == "." || !fs.ValidPath(l.Prefix)) {
		return nil, fmt.Errorf("%w: spec.objectStorage.prefix: Invalid value: %q: must be a path without empty, \".\" or \"..\" elements",
			ErrInvalidConfig, l.Prefix)
	}
	return &filesystem{directory: directory, root: l.Root()}, nil
}

// open opens the directory for one call.
func (f *filesystem) open(ctx context.Context) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(f.directory)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("%w: %w", ErrBucketNotFound, err)
	}
	return root, err
}

func (f *filesystem) failed(doing, key string, err error) error {
	return fmt.Errorf("%s %s: %w", doing, path.Join(f.directory, f.root, key), classifyFile(err))
}

// classifyFile adds the sentinel that tells the remedy.
func classifyFile(err error) error {
	var class error
	switch {
	case errors.Is(err, ErrBucketNotFound):
		return err
	case errors.Is(err, fs.ErrNotExist):
		class = ErrNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		class = ErrAccessDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EIO),
		errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.ETIMEDOUT):
		class = ErrUnavailable
	default:
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}

// Put implements Store: it writes a file beside the final one and renames it.
func (f *filesystem) Put(ctx context.Context, key string, body io.Reader) error {
	if err := checkKey(key); err != nil {
		return err
	}
	root, err := f.open(ctx)
	if err != nil {
		return f.failed("writing", key, err)
	}
	defer func() { _ = root.Close() }()

	name := f.root + key
	partial := path.Join(path.Dir(name), partialPrefix+rand.Text())
	file, err := createWithParents(root, partial)
	if err != nil {
		return f.failed("writing", key, err)
	}
	err = writeAll(file, contextReader{ctx: ctx, reader: body})
	if err == nil {
		err = root.Rename(partial, name)
	}
	if err != nil {
		_ = root.Remove(partial)
		return f.failed("writing", key, err)
	}
	return nil
}

// createWithParents repeats when a concurrent Delete has removed the directory
// in between.
func createWithParents(root *os.Root, name string) (*os.File, error) {
	const tries = 3
	for try := 1; ; try++ {
		if err := root.MkdirAll(path.Dir(name), directoryMode); err != nil {
			return nil, err
		}
		file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
		if err == nil || try == tries || !errors.Is(err, fs.ErrNotExist) {
			return file, err
		}
	}
}

// writeAll fills and closes the file; its bytes are on disk afterwards.
func writeAll(file *os.File, body io.Reader) error {
	_, err := io.Copy(file, body)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// contextReader ends a copy when the context ends.
type contextReader struct {
	ctx    context.Context // lives for one copy
	reader io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.reader.Read(p)
}

// Get implements Store.
func (f *filesystem) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	root, err := f.open(ctx)
	if err != nil {
		return nil, f.failed("reading", key, err)
	}
	defer func() { _ = root.Close() }()

	file, err := openRegular(root, f.root+key)
	if err != nil {
		return nil, f.failed("reading", key, err)
	}
	return file, nil
}

// openRegular opens a file. A directory is no object, so it does not exist.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Stat(name)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return nil, fs.ErrNotExist
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fs.ErrNotExist
	}
	return root.Open(name)
}

// Exists implements Store.
func (f *filesystem) Exists(ctx context.Context, key string) (bool, error) {
	body, err := f.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, body.Close()
}

// Version implements Store. A file that is replaced is another one, with another
// inode, also when that happens within a tick of the clock.
func (f *filesystem) Version(ctx context.Context, key string) (string, error) {
	body, err := f.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	file, ok := body.(interface{ Stat() (fs.FileInfo, error) })
	if !ok {
		return "", f.failed("looking at", key, errors.ErrUnsupported)
	}
	info, err := file.Stat()
	if err != nil {
		return "", f.failed("looking at", key, err)
	}
	inode := uint64(0)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		inode = stat.Ino
	}
	return fmt.Sprintf("%d %d %d", inode, info.ModTime().UnixNano(), info.Size()), nil
}

// List implements Store.
func (f *filesystem) List(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var found listing
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	err := f.walk(ctx, folder, func(key string) error {
		if !strings.HasPrefix(key, prefix) {
			return nil
		}
		return found.add(key)
	})
	if err != nil {
		return nil, f.failed("listing", prefix, err)
	}
	return found.sorted(), nil // the walk sorts per directory, which differs where a name continues another
}

// CommonPrefixes implements Store.
func (f *filesystem) CommonPrefixes(ctx context.Context, prefix string) ([]string, error) {
	if err := checkFolder(prefix); err != nil {
		return nil, err
	}
	root, err := f.open(ctx)
	if err != nil {
		return nil, f.failed("listing", prefix, err)
	}
	entries, err := fs.ReadDir(root.FS(), path.Join(".", f.root, prefix))
	_ = root.Close()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, f.failed("listing", prefix, err)
	}

	var prefixes []string
	for _, e := range entries {
		if !e.IsDir() || e.Name() == lostAndFound {
			continue
		}
		folder := prefix + e.Name() + "/"
		switch err := f.walk(ctx, folder, func(string) error { return errFound }); {
		case errors.Is(err, errFound):
			prefixes = append(prefixes, folder)
		case err != nil:
			return nil, f.failed("listing", folder, err)
		}
	}
	slices.Sort(prefixes)
	return prefixes, nil
}

// errFound ends a walk that looks for any object.
var errFound = errors.New("found")

// walk calls found with each key under a folder. A folder that does not exist,
// or goes away meanwhile, has none.
func (f *filesystem) walk(ctx context.Context, folder string, found func(key string) error) error {
	root, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()

	start := path.Join(".", f.root, folder)
	return fs.WalkDir(root.FS(), start, func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && e.Name() == lostAndFound:
			return fs.SkipDir
		case !e.Type().IsRegular() || strings.HasPrefix(e.Name(), partialPrefix):
			return ctx.Err()
		default:
			return found(strings.TrimPrefix(name, f.root))
		}
	})
}

// Delete implements Store. Directories that become empty go with the object, as
// they would in a bucket.
func (f *filesystem) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	root, err := f.open(ctx)
	if err != nil {
		return f.failed("deleting", key, err)
	}
	defer func() { _ = root.Close() }()

	name := f.root + key
	info, err := root.Lstat(name)
	if err == nil && info.IsDir() {
		return nil // no object
	}
	if err == nil {
		err = root.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return f.failed("deleting", key, err)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if root.Remove(dir) != nil {
			break // not empty
		}
	}
	return nil
}

// Presign implements Store: files have no addresses of their own.
func (f *filesystem) Presign(_ context.Context, key string, _ time.Duration) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	return "", f.failed("making an address of", key, errors.ErrUnsupported)
}
