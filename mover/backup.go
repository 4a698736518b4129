package mover

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/policy"
	"github.com/kopia/kopia/snapshot/upload"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
)

const (
	// parallelUploadAboveSizeBytes splits larger files into parts that are read
	// at the same time; it is Velero's value. Parts of 256 MiB were not faster on
	// two cores: one stream already hashes and splits on one core each.
	parallelUploadAboveSizeBytes = 2 << 30

	// cancelGrace is what a canceled backup has to keep its checkpoint. It ends
	// before the kubelet's default grace period of 30 s.
	cancelGrace = 10 * time.Second
)

// backup is one snapshot in the making.
type backup struct {
	task     *wire.Backup
	source   Source
	reporter *reporter
	opened   *repository.Repository
	parents  parents

	progress uploadProgress
	skipped  finding
	uploaded atomic.Int64 // bytes written to the storage
}

// backUp takes a snapshot of the source.
func backUp(ctx context.Context, t wire.Task, source Source, r *reporter) (result wire.Result, err error) {
	if err := checkBackup(t.Backup); err != nil {
		return result, err
	}
	if t.Repository.Location.ReadOnly {
		return result, fmt.Errorf("%w: location %s", repository.ErrReadOnly, t.Repository.Location.Name)
	}
	root, err := source.Root(ctx)
	if err != nil {
		return result, err
	}
	opened, err := repository.Open(ctx, t.Repository, repository.ForWriting)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, opened.Close(context.WithoutCancel(ctx))) }()

	b := &backup{task: t.Backup, source: source, reporter: r, opened: opened}
	if err := b.prepare(ctx, t.SlotFile); err != nil {
		return result, err
	}
	return b.run(ctx, root)
}

func checkBackup(b *wire.Backup) error {
	if b.SourcePath == "" {
		return fmt.Errorf("%w: backup.sourcePath is empty", wire.ErrBadTask)
	}
	if _, ok := compression.ByName[compression.Name(b.Compression)]; !ok && b.Compression != "" && b.Compression != "none" {
		return fmt.Errorf("%w: backup.compression: Unsupported value: %q: must be the name of a kopia compressor", wire.ErrBadTask, b.Compression)
	}
	return nil
}

// prepare does all that can be done before data may move.
func (b *backup) prepare(ctx context.Context, slotFile string) error {
	var err error
	if b.parents, err = findParents(ctx, b.opened, b.task); err != nil {
		return err
	}
	waited, err := waitForSlot(ctx, slotFile, b.reporter)
	if err != nil || waited < staleAfter {
		return err
	}
	if err := b.opened.Refresh(ctx); err != nil {
		return fmt.Errorf("refreshing repository: %w", repository.Classify(err))
	}
	b.parents, err = findParents(ctx, b.opened, b.task)
	return err
}

// run uploads and saves the snapshot.
func (b *backup) run(ctx context.Context, root kopiafs.Directory) (wire.Result, error) {
	stopProgress := b.follow(ctx, root)
	defer stopProgress()

	var saved *snapshot.Manifest
	options := repo.WriteSessionOptions{
		Purpose:  "podkeep backup",
		OnUpload: func(n int64) { b.uploaded.Add(n) },
	}
	work, stop := b.workContext(ctx)
	defer stop()
	err := repo.WriteSession(work, b.opened.Repository, options, func(work context.Context, w repo.RepositoryWriter) error {
		var err error
		saved, err = b.upload(ctx, work, w, root)
		return err
	})
	if failure := b.opened.Failure(); failure != nil {
		err = failure // the cause of whatever kopia reports
	}
	if err != nil {
		return b.result(nil), fmt.Errorf("taking snapshot: %w", repository.Classify(err))
	}
	if saved.IncompleteReason != "" {
		return b.result(nil), fmt.Errorf("%w: a checkpoint is kept", ErrCanceled)
	}
	return b.result(saved), nil
}

// follow prints progress. The size of the parent is a good estimate; without
// one the volume is walked.
func (b *backup) follow(ctx context.Context, root kopiafs.Directory) (stop func()) {
	stopReporter := b.reporter.follow(ctx, b.progress.progress)
	if p := b.parents.complete(); p != nil {
		b.progress.estimated.Store(sizeOfSnapshot(p))
		return stopReporter
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { estimate(ctx, b.reporter.out.Clock, root, b.progress.estimated.Store) })
	return func() {
		cancel()
		done.Wait()
		stopReporter()
	}
}

// workContext outlives ctx by cancelGrace, so that a canceled backup can still
// write its checkpoint.
func (b *backup) workContext(ctx context.Context) (context.Context, func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopWatching := context.AfterFunc(ctx, func() {
		select {
		case <-b.reporter.out.Clock.After(cancelGrace):
			cancel()
		case <-work.Done():
		}
	})
	return work, func() {
		stopWatching()
		cancel()
	}
}

// upload walks the source and saves the manifest. ctx asks it to stop, work is
// what it may still do then.
func (b *backup) upload(ctx, work context.Context, w repo.RepositoryWriter, root kopiafs.Directory) (*snapshot.Manifest, error) {
	u := upload.NewUploader(w)
	u.Progress = &b.progress
	u.ParallelUploads = b.parallel()
	u.DisableIgnoreRules = true // a .kopiaignore in the volume must not thin out its backup
	u.EnableActions = false
	u.CheckpointLabels = tagsOf(b.task)
	b.progress.onError = func(err error) bool {
		if b.opened.Failure() != nil {
			u.Cancel() // every other file would fail the same way
			return false
		}
		return !isGone(err)
	}
	stopWatching := context.AfterFunc(ctx, u.Cancel)
	defer stopWatching()

	names := &nameWatch{}
	watched := &watchedDirectory{Directory: root, skipped: &b.skipped, names: names}
	manifest, err := u.Upload(work, watched, b.policy(), sourceInfo(b.task), b.parents.manifests...)
	if err != nil {
		return nil, err
	}
	if failure := b.opened.Failure(); failure != nil {
		return nil, failure
	}
	return manifest, b.save(work, w, manifest, names.escaped.Load())
}

// save writes the manifest and removes the interrupted ones that it replaces.
func (b *backup) save(ctx context.Context, w repo.RepositoryWriter, m *snapshot.Manifest, escaped bool) error {
	m.Tags = tagsOf(b.task)
	m.Description = description
	if escaped {
		m.Tags[tagNames] = namesEscape
	}
	if m.IncompleteReason == "" {
		m.UpdatePins([]string{pin}, nil)
	}
	if _, err := snapshot.SaveSnapshot(ctx, w, m); err != nil {
		return fmt.Errorf("saving snapshot: %w", err)
	}
	if m.IncompleteReason != "" {
		return nil
	}
	for _, id := range b.parents.interrupted() {
		if err := w.DeleteManifest(ctx, id); err != nil {
			return fmt.Errorf("removing interrupted snapshot %s: %w", id, err)
		}
	}
	return nil
}

func (b *backup) parallel() int {
	if b.task.ParallelFiles > 0 {
		return b.task.ParallelFiles
	}
	return runtime.GOMAXPROCS(0)
}

// policy is kopia's default with our settings. It is not written to the
// repository: policies are looked up by source path, which changes with the pod.
func (b *backup) policy() *policy.Tree {
	p := *policy.DefaultPolicy
	above := policy.OptionalInt64(parallelUploadAboveSizeBytes)
	p.UploadPolicy.ParallelUploadAboveSize = &above
	p.FilesPolicy = policy.FilesPolicy{}
	p.LoggingPolicy = policy.LoggingPolicy{}
	if b.task.Compression != "" {
		p.CompressionPolicy.CompressorName = compression.Name(b.task.Compression)
	}
	return policy.BuildTree(nil, &p)
}

func (b *backup) result(m *snapshot.Manifest) wire.Result {
	var r wire.Result
	r.UploadedBytes = b.uploaded.Load()
	r.SkippedFiles, r.Skipped = b.skipped.get()
	r.FailedFiles, r.Failed = b.progress.failed.get()
	if m == nil {
		return r
	}
	r.SnapshotID = string(m.ID)
	r.TotalBytes = sizeOfSnapshot(m)
	// Not the total less what kopia calls cached: that includes symlinks, whose
	// targets are not in the total.
	r.IncrementalBytes = min(r.TotalBytes, b.progress.hashed.Load())
	if s := m.RootEntry.DirSummary; s != nil {
		r.Files = s.TotalFileCount
	}
	return r
}

// sizeOfSnapshot is the logical size of all files.
func sizeOfSnapshot(m *snapshot.Manifest) int64 {
	if m.RootEntry != nil && m.RootEntry.DirSummary != nil {
		return m.RootEntry.DirSummary.TotalFileSize
	}
	return m.Stats.TotalFileSize
}
