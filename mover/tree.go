package mover

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"github.com/podkeep/podkeep/mover/repository"
)

// snapshotDirectory is a directory of a snapshot. kopia's own type gives
// directories the time of their newest content instead of their own
// (snapshot/snapshotfs, loadLocked), which would be restored.
type snapshotDirectory struct {
	kopiafs.Entry // mode, owner and the like

	rep   repo.Repository
	entry *snapshot.DirEntry
	root  bool
}

func newSnapshotDirectory(rep repo.Repository, e *snapshot.DirEntry, root bool) *snapshotDirectory {
	return &snapshotDirectory{Entry: snapshotfs.EntryFromDirEntry(rep, e), rep: rep, entry: e, root: root}
}

// ModTime is the directory's own time.
func (d *snapshotDirectory) ModTime() time.Time { return d.entry.ModTime.ToTime() }

// SupportsMultipleIterations implements kopiafs.Directory.
func (d *snapshotDirectory) SupportsMultipleIterations() bool { return true }

// Child implements kopiafs.Directory.
func (d *snapshotDirectory) Child(ctx context.Context, name string) (kopiafs.Entry, error) {
	return kopiafs.IterateEntriesAndFindChild(ctx, d, name)
}

// Iterate implements kopiafs.Directory. The marker directory of an earlier
// restore, which Velero backs up, is left out of the root.
func (d *snapshotDirectory) Iterate(ctx context.Context) (kopiafs.DirectoryIterator, error) {
	manifest, err := d.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading directory %q of snapshot: %w", d.entry.Name, err)
	}
	entries := make([]kopiafs.Entry, 0, len(manifest.Entries))
	for _, e := range manifest.Entries {
		switch {
		case !isFileName(e.Name):
			return nil, fmt.Errorf("%w: directory %q has an entry named %q", repository.ErrCorrupt, d.entry.Name, e.Name)
		case d.root && e.Name == markerDir:
			continue
		case e.Type == snapshot.EntryTypeDirectory:
			entries = append(entries, newSnapshotDirectory(d.rep, e, false))
		default:
			entries = append(entries, snapshotfs.EntryFromDirEntry(d.rep, e))
		}
	}
	return kopiafs.StaticIterator(entries, nil), nil
}

func (d *snapshotDirectory) load(ctx context.Context) (*snapshot.DirManifest, error) {
	reader, err := d.rep.OpenObject(ctx, d.entry.ObjectID)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }()

	manifest := &snapshot.DirManifest{}
	if err := json.NewDecoder(reader).Decode(manifest); err != nil {
		return nil, err
	}
	return manifest, nil
}

// isFileName rejects names that would lead out of their directory.
func isFileName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.Contains(name, "/") && !strings.Contains(name, "\x00")
}
