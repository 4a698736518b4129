package mover

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	kopiarestore "github.com/kopia/kopia/snapshot/restore"

	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
)

// wholeTree is a depth that no directory reaches: nothing becomes a placeholder.
const wholeTree = 1<<31 - 1

// restore writes a snapshot into a volume and, when all of it is there, the
// marker that lets the pod start.
func restore(ctx context.Context, t wire.Task, r *reporter) (result wire.Result, err error) {
	if !isFileName(t.Restore.RestoreUID) || t.Restore.SnapshotID == "" {
		return result, fmt.Errorf("%w: restore.restoreUID %q and restore.snapshotID %q must be set", wire.ErrBadTask, t.Restore.RestoreUID, t.Restore.SnapshotID)
	}
	volume, err := openVolume(t.VolumePath)
	if err != nil {
		return result, &volumeError{dir: t.VolumePath, err: err}
	}
	defer func() { err = errors.Join(err, volume.close()) }()
	if err := clearMarkers(volume); err != nil {
		return result, &volumeError{dir: t.VolumePath, err: err}
	}
	opened, err := repository.Open(ctx, t.Repository, repository.ForReading)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, opened.Close(context.WithoutCancel(ctx))) }()

	from, err := findSnapshot(ctx, opened, t.Restore.SnapshotID)
	if err != nil {
		return result, err
	}
	if _, err := waitForSlot(ctx, t.SlotFile, r); err != nil {
		return result, err
	}
	to := newTarget(volume, t.Restore.SparseFiles, from.Tags[tagNames] == namesEscape)
	stop := r.follow(ctx, func() wire.Progress {
		return wire.Progress{TotalBytes: sizeOfSnapshot(from), DoneBytes: to.written.Load()}
	})
	defer stop()
	if err := copyTree(ctx, opened, from, to, t.Restore); err != nil {
		return to.result(), err
	}
	return to.result(), finish(ctx, to, from, t.Restore.RestoreUID)
}

func findSnapshot(ctx context.Context, opened *repository.Repository, id string) (*snapshot.Manifest, error) {
	m, err := snapshot.LoadSnapshot(ctx, opened, manifest.ID(id))
	if err != nil {
		return nil, fmt.Errorf("reading snapshot %s: %w", id, repository.Classify(err))
	}
	if m.RootEntry == nil || m.RootEntry.Type != snapshot.EntryTypeDirectory {
		return nil, fmt.Errorf("%w: snapshot %s is not of a directory", repository.ErrCorrupt, id)
	}
	return m, nil
}

func copyTree(ctx context.Context, opened *repository.Repository, from *snapshot.Manifest, to *target, r *wire.Restore) error {
	parallel := r.ParallelFiles
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	stopped := make(chan struct{})
	stopWatching := context.AfterFunc(ctx, func() { close(stopped) })
	defer stopWatching()

	root := newSnapshotDirectory(opened, from.RootEntry, true)
	_, err := kopiarestore.Entry(ctx, opened, to, root, kopiarestore.Options{
		Parallel:               parallel,
		RestoreDirEntryAtDepth: wholeTree,
		Cancel:                 stopped,
	})
	switch {
	case ctx.Err() != nil: // kopia reports a canceled restore as a success
		return fmt.Errorf("restoring snapshot %s: %w", r.SnapshotID, ctx.Err())
	case opened.Failure() != nil:
		return fmt.Errorf("restoring snapshot %s: %w", r.SnapshotID, opened.Failure())
	case err != nil:
		return fmt.Errorf("restoring snapshot %s: %w", r.SnapshotID, classifyRestore(err))
	}
	return nil
}

// classifyRestore leaves errors of the volume alone: a full volume is not
// unavailable storage.
func classifyRestore(err error) error {
	if _, ok := errors.AsType[*volumeError](err); ok {
		return err
	}
	if isMissingBlob(err) {
		return fmt.Errorf("%w: %w", repository.ErrCorrupt, err)
	}
	return repository.Classify(err)
}

// finish makes the data durable and then writes the marker. The marker is last:
// the application starts as soon as it is there.
func finish(ctx context.Context, to *target, from *snapshot.Manifest, restoreUID string) error {
	if err := to.sync(); err != nil {
		return &volumeError{dir: to.volume.path, err: err}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := writeMarker(to.volume, restoreUID); err != nil {
		return &volumeError{dir: to.volume.path, err: err}
	}
	// The marker changed the time of the volume's directory.
	return to.setTime(from.RootEntry.ModTime.ToTime())
}
