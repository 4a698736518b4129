package archive

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	directoryMode = 0o700
	fileMode      = 0o600

	// scratchPattern names the directories that Extract makes, so that a server
	// that was killed finds what it left.
	scratchPattern = "archive-*"

	maxVersionBytes = 64
)

// Limits bound what Extract takes. A zero field means the default.
type Limits struct {
	// MaxItems is the number of entries. The default is 4 000 000: with both copies
	// of each, two million objects.
	MaxItems int

	// MaxItemBytes is the size of one entry. The default is 32 MiB; etcd keeps no
	// object of more than 1.5 MiB, but extension API servers may.
	MaxItemBytes int64

	// MaxTotalBytes is the size of all entries, not compressed. The default is
	// 32 GiB.
	MaxTotalBytes int64

	// MaxRatio is how many times its compressed size an archive may be, beyond
	// the first GiB. The default is 200: items compress to a twentieth, many that
	// are alike to a hundredth, and a bomb to a thousandth.
	MaxRatio int64

	// MaxResources is the number of kinds. The default is 20 000; a cluster with all
	// there is has some thousands.
	MaxResources int

	// MaxNameBytes is the size of the names in one folder, and of the namespaces of
	// one resource, which are in memory when they are listed. The default is 64 MiB,
	// about a million names.
	MaxNameBytes int64
}

func (l Limits) withDefaults() Limits {
	if l.MaxItems == 0 {
		l.MaxItems = 4_000_000
	}
	if l.MaxItemBytes == 0 {
		l.MaxItemBytes = 32 << 20
	}
	if l.MaxTotalBytes == 0 {
		l.MaxTotalBytes = 32 << 30
	}
	if l.MaxRatio == 0 {
		l.MaxRatio = 200
	}
	if l.MaxResources == 0 {
		l.MaxResources = 20_000
	}
	if l.MaxNameBytes == 0 {
		l.MaxNameBytes = 64 << 20
	}
	return l
}

// freeBytes is how large an archive may become whatever its ratio.
const freeBytes = 1 << 30

// Extract reads an archive into a new directory under dir, which must exist, and
// which the caller removes with Close. It touches nothing else, and leaves
// nothing behind when it fails. It returns ErrCorrupt, ErrUnsafe, ErrVersion or
// ErrTooLarge; errors of r and of the file system are passed on.
//
// Objects are taken from the unversioned layout; copies by version are skipped.
// When an object occurs twice, the last one counts.
func Extract(r io.Reader, dir string, limits Limits) (*Extracted, error) {
	scratch, err := os.MkdirTemp(dir, scratchPattern)
	if err != nil {
		return nil, fmt.Errorf("making a directory for the archive: %w", err)
	}
	e, err := extractInto(r, scratch, limits.withDefaults())
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(scratch))
	}
	return e, nil
}

func extractInto(r io.Reader, scratch string, limits Limits) (*Extracted, error) {
	root, err := os.OpenRoot(scratch)
	if err != nil {
		return nil, err
	}
	x := &extraction{root: root, limits: limits, input: &countingReader{reader: r}, resources: map[schema.GroupResource]bool{}}
	if err := x.run(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Extracted{root: root, directory: scratch, resources: x.sortedResources(), maxNameBytes: limits.MaxNameBytes}, nil
}

// extraction is one run of Extract.
type extraction struct {
	root    *os.Root
	limits  Limits
	input   *countingReader // compressed
	items   int
	bytes   int64
	version string

	folder    string // the last one made
	resources map[schema.GroupResource]bool
}

// countingReader counts what has been read.
type countingReader struct {
	reader io.Reader
	bytes  int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	r.bytes += int64(n)
	return n, err
}

func (x *extraction) sortedResources() []schema.GroupResource {
	return slices.SortedFunc(maps.Keys(x.resources), func(a, b schema.GroupResource) int {
		return cmp.Compare(a.String(), b.String())
	})
}

func (x *extraction) run() error {
	zr, err := gzip.NewReader(x.input)
	if err != nil {
		return damaged(err)
	}
	tr := tar.NewReader(zr)
	for {
		header, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return damaged(err)
		}
		if err := x.entry(header, tr); err != nil {
			return err
		}
	}
	// The tar file ends before the compressed stream does, whose checksum counts.
	if _, err := io.Copy(io.Discard, io.LimitReader(zr, x.limits.MaxItemBytes)); err != nil {
		return damaged(err)
	}
	return x.checkVersion()
}

// damaged keeps the cause, which may be a connection that broke.
func damaged(err error) error { return fmt.Errorf("%w: %w", ErrCorrupt, err) }

// entry takes one entry of the tar file.
func (x *extraction) entry(header *tar.Header, content io.Reader) error {
	name := strings.TrimPrefix(header.Name, "./")
	if header.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
		if name == "" {
			return nil
		}
	}
	switch {
	case !fs.ValidPath(name) || name == ".":
		return fmt.Errorf("%w: %q leads out of the archive", ErrUnsafe, shorten(header.Name))
	case !isLegible(name):
		return fmt.Errorf("%w: %q has control characters", ErrUnsafe, shorten(header.Name))
	case header.Typeflag == tar.TypeDir:
		return nil
	case header.Typeflag != tar.TypeReg:
		return fmt.Errorf("%w: %q is not a plain file (type %q)", ErrUnsafe, shorten(header.Name), header.Typeflag)
	}
	if err := x.count(header); err != nil {
		return err
	}
	if name == versionEntry {
		return x.readVersion(content)
	}
	p, ok := parsePath(name)
	if !ok {
		return nil
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrUnsafe, shorten(header.Name), err)
	}
	return x.write(p, content)
}

// shorten keeps a name from filling a message: it may have a megabyte.
func shorten(name string) string {
	const most = 300
	if len(name) <= most {
		return name
	}
	return name[:most] + "…"
}

// count keeps the limits.
func (x *extraction) count(header *tar.Header) error {
	x.items++
	x.bytes += header.Size
	switch {
	case x.items > x.limits.MaxItems:
		return fmt.Errorf("%w: more than %d entries", ErrTooLarge, x.limits.MaxItems)
	case header.Size > x.limits.MaxItemBytes:
		return fmt.Errorf("%w: %q has %d bytes, more than %d", ErrTooLarge, shorten(header.Name), header.Size, x.limits.MaxItemBytes)
	case x.bytes > x.limits.MaxTotalBytes:
		return fmt.Errorf("%w: more than %d bytes in all", ErrTooLarge, x.limits.MaxTotalBytes)
	case x.bytes > freeBytes && x.bytes/x.limits.MaxRatio > x.input.bytes:
		return fmt.Errorf("%w: more than %d times its compressed size", ErrTooLarge, x.limits.MaxRatio)
	}
	return nil
}

func (x *extraction) readVersion(content io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(content, maxVersionBytes))
	if err != nil {
		return damaged(err)
	}
	x.version = strings.TrimSpace(string(b))
	return nil
}

// checkVersion accepts every minor version: within a major version the layout
// only grows.
func (x *extraction) checkVersion() error {
	if x.version == "" {
		return fmt.Errorf("%w: entry %s is missing", ErrVersion, versionEntry)
	}
	major, _, _ := strings.Cut(x.version, ".")
	if n, err := strconv.Atoi(major); err != nil || n != MajorVersion {
		return fmt.Errorf("%w: %q: supported versions: %d.x", ErrVersion, x.version, MajorVersion)
	}
	return nil
}

// write puts an item into the scratch directory. Its file is called like the
// object, without ".json": names of objects have up to 253 bytes, those of files
// up to 255.
func (x *extraction) write(p itemPath, content io.Reader) error {
	folder := path.Join(p.resource.String(), folderOf(p.namespace))
	if folder != x.folder {
		if err := x.makeFolder(p.resource, folder); err != nil {
			return err
		}
	}
	name := path.Join(folder, p.name)
	file, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return fmt.Errorf("extracting %s: %w", name, err)
	}
	source := &readErrors{reader: content}
	_, err = io.Copy(file, source)
	err = errors.Join(err, file.Close())
	switch {
	case source.err != nil:
		return damaged(source.err)
	case err != nil:
		return fmt.Errorf("extracting %s: %w", name, err)
	}
	return nil
}

// makeFolder makes the folder of a resource and namespace, unless it is there:
// usually the items of a folder follow each other.
func (x *extraction) makeFolder(resource schema.GroupResource, folder string) error {
	if err := x.root.MkdirAll(folder, directoryMode); err != nil {
		return fmt.Errorf("extracting %s: %w", folder, err)
	}
	x.folder = folder
	x.resources[resource] = true
	if len(x.resources) > x.limits.MaxResources {
		return fmt.Errorf("%w: more than %d kinds", ErrTooLarge, x.limits.MaxResources)
	}
	return nil
}

// readErrors tells errors of reading from errors of writing.
type readErrors struct {
	reader io.Reader
	err    error
}

func (r *readErrors) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
