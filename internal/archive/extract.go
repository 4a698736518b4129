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
	return l
}

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
	x := &extraction{root: root, limits: limits, folders: map[string]bool{}, resources: map[schema.GroupResource]bool{}}
	if err := x.run(r); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Extracted{root: root, directory: scratch, resources: x.sortedResources()}, nil
}

// extraction is one run of Extract.
type extraction struct {
	root    *os.Root
	limits  Limits
	items   int
	bytes   int64
	version string

	// folders are those made so far, one per resource and namespace.
	folders   map[string]bool
	resources map[schema.GroupResource]bool
}

func (x *extraction) sortedResources() []schema.GroupResource {
	return slices.SortedFunc(maps.Keys(x.resources), func(a, b schema.GroupResource) int {
		return cmp.Compare(a.String(), b.String())
	})
}

func (x *extraction) run(r io.Reader) error {
	zr, err := gzip.NewReader(r)
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
		return fmt.Errorf("%w: %q leads out of the archive", ErrUnsafe, header.Name)
	case header.Typeflag == tar.TypeDir:
		return nil
	case header.Typeflag != tar.TypeReg:
		return fmt.Errorf("%w: %q is not a plain file (type %q)", ErrUnsafe, header.Name, header.Typeflag)
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
	return x.write(p, content)
}

// count keeps the limits.
func (x *extraction) count(header *tar.Header) error {
	x.items++
	x.bytes += header.Size
	switch {
	case x.items > x.limits.MaxItems:
		return fmt.Errorf("%w: more than %d entries", ErrTooLarge, x.limits.MaxItems)
	case header.Size > x.limits.MaxItemBytes:
		return fmt.Errorf("%w: %q has %d bytes, more than %d", ErrTooLarge, header.Name, header.Size, x.limits.MaxItemBytes)
	case x.bytes > x.limits.MaxTotalBytes:
		return fmt.Errorf("%w: more than %d bytes in all", ErrTooLarge, x.limits.MaxTotalBytes)
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
	if !x.folders[folder] {
		if err := x.root.MkdirAll(folder, directoryMode); err != nil {
			return fmt.Errorf("extracting %s: %w", folder, err)
		}
		x.folders[folder] = true
		x.resources[p.resource] = true
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
