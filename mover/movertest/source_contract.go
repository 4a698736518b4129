package movertest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	kopiafs "github.com/kopia/kopia/fs"
	"golang.org/x/sys/unix"

	"github.com/podkeep/podkeep/mover"
)

// SourceContract checks every promise of mover.Source. open returns the source
// of a directory.
func SourceContract(t *testing.T, open func(dir string) (mover.Source, error)) {
	t.Helper()
	t.Run("a missing volume is ErrNotExist", func(t *testing.T) {
		t.Parallel()
		source, err := open(filepath.Join(t.TempDir(), "missing"))
		if err == nil {
			_, err = source.Root(t.Context())
			_ = source.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("source of a missing volume: got %v, want fs.ErrNotExist", err)
		}
	})
	t.Run("the tree is that of the volume", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		BuildTree(t, dir)
		must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
		source, err := open(dir)
		must(t, err)
		defer func() { must(t, source.Close()) }()
		for range 2 { // a tree can be walked more than once
			root, err := source.Root(t.Context())
			must(t, err)
			checkTree(t, dir, root)
		}
	})
}

// checkTree compares types, sizes and attributes. The names of UnusualNames that
// are not UTF-8 have no common form, so entries are compared by count there.
func checkTree(t *testing.T, dir string, root kopiafs.Directory) {
	t.Helper()
	want := map[string]Entry{}
	for _, e := range ReadTree(t, dir) {
		want[e.Path] = e
	}
	var seen int
	walk(t, root, ".", func(path string, entry kopiafs.Entry) {
		seen++
		if w, ok := want[path]; ok {
			checkEntry(t, w, entry)
		}
	})
	if seen != len(want) {
		t.Errorf("source has %d entries, want %d", seen, len(want))
	}
}

func checkEntry(t *testing.T, want Entry, got kopiafs.Entry) {
	t.Helper()
	if e, ok := got.(kopiafs.ErrorEntry); ok {
		if !errors.Is(e.ErrorInfo(), kopiafs.ErrUnknown) || want.Mode.Type() != fs.ModeNamedPipe {
			t.Errorf("%s: got error %v", want.Path, e.ErrorInfo())
		}
		return
	}
	if got.Mode() != want.Mode || got.ModTime().UnixNano() != want.MTime ||
		got.Owner() != (kopiafs.OwnerInfo{UserID: want.UID, GroupID: want.GID}) {
		t.Errorf("%s: got %v %v %v, want %+v", want.Path, got.Mode(), got.ModTime(), got.Owner(), want)
	}
	switch e := got.(type) {
	case kopiafs.File:
		checkFile(t, want, e)
	case kopiafs.Symlink:
		target, err := e.Readlink(t.Context())
		if err != nil || target != want.Target {
			t.Errorf("%s: got link %q, %v, want %q", want.Path, target, err, want.Target)
		}
	}
}

func checkFile(t *testing.T, want Entry, file kopiafs.File) {
	t.Helper()
	reader, err := file.Open(t.Context())
	must(t, err)
	defer func() { must(t, reader.Close()) }()
	n, err := io.Copy(io.Discard, reader)
	if err != nil || n != want.Size || file.Size() != want.Size {
		t.Errorf("%s: read %d bytes of %d, %v, want %d", want.Path, n, file.Size(), err, want.Size)
	}
	if offset, err := reader.Seek(0, io.SeekStart); offset != 0 || err != nil {
		t.Errorf("%s: seeking: got %d, %v", want.Path, offset, err)
	}
}

func walk(t *testing.T, dir kopiafs.Directory, path string, visit func(string, kopiafs.Entry)) {
	t.Helper()
	visit(path, dir)
	err := kopiafs.IterateEntries(t.Context(), dir, func(_ context.Context, entry kopiafs.Entry) error {
		name := filepath.Join(path, entry.Name())
		if d, ok := entry.(kopiafs.Directory); ok {
			walk(t, d, name, visit)
			return nil
		}
		visit(name, entry)
		return nil
	})
	must(t, err)
}
