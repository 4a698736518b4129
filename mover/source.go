package mover

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync/atomic"

	kopiafs "github.com/kopia/kopia/fs"
)

// Source is where the bytes of a backup come from: a mounted directory, or later
// the application's own pod.
//
// The tree it returns reports what it cannot read as a kopiafs.ErrorEntry in
// place of the entry, so that one bad entry does not hide its neighbours, and
// what a backup does not carry (fifos, sockets, devices) as one whose ErrorInfo
// is kopiafs.ErrUnknown. Names must be valid UTF-8. It may be walked more than
// once, also at the same time.
type Source interface {
	// Root returns the root directory of the volume. It matches fs.ErrNotExist
	// when the volume is gone.
	Root(ctx context.Context) (kopiafs.Directory, error)

	// Close releases the source. The tree must not be used after.
	Close() error
}

// OpenDirectory returns the source of a mounted directory.
func OpenDirectory(dir string) (Source, error) {
	root, err := openVolume(dir)
	if err != nil {
		return nil, &volumeError{dir: dir, err: err}
	}
	return &localSource{root: root}, nil
}

// isGone reports whether an entry vanished between listing and reading: the
// application deleted it, which is no failure of the backup.
func isGone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// watchedDirectory counts what the uploader would leave out in silence, and
// hides the marker directory of a restore: restored into another pod, it would
// start that pod before its data is there.
type watchedDirectory struct {
	kopiafs.Directory

	path    string // "" for the root
	skipped *finding
	names   *nameWatch
}

// nameWatch notes whether a tree has escaped names.
type nameWatch struct{ escaped atomic.Bool }

func (w *nameWatch) see(name string) {
	if isEscaped(name) && !w.escaped.Load() {
		w.escaped.Store(true)
	}
}

// Iterate implements kopiafs.Directory.
func (d *watchedDirectory) Iterate(ctx context.Context) (kopiafs.DirectoryIterator, error) {
	it, err := d.Directory.Iterate(ctx)
	if err != nil {
		return nil, err
	}
	return &watchedIterator{DirectoryIterator: it, dir: d}, nil
}

type watchedIterator struct {
	kopiafs.DirectoryIterator

	dir *watchedDirectory
}

// Next implements kopiafs.DirectoryIterator.
func (it *watchedIterator) Next(ctx context.Context) (kopiafs.Entry, error) {
	for {
		entry, err := it.DirectoryIterator.Next(ctx)
		if err != nil || entry == nil {
			return nil, err
		}
		it.dir.names.see(entry.Name())
		switch e := entry.(type) {
		case kopiafs.Directory:
			if it.dir.path == "" && e.Name() == markerDir {
				continue
			}
			child := *it.dir
			child.Directory, child.path = e, path.Join(it.dir.path, e.Name())
			return &child, nil
		case kopiafs.ErrorEntry:
			if errors.Is(e.ErrorInfo(), kopiafs.ErrUnknown) {
				it.dir.skipped.add(displayPath(path.Join(it.dir.path, e.Name())))
				continue
			}
		}
		return entry, nil
	}
}

// displayPath is a stored path for people.
func displayPath(stored string) string { return printable(unescapeName(stored)) }
