package movertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kopia/kopia/fs/localfs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/policy"
	"github.com/kopia/kopia/snapshot/restore"
	"github.com/kopia/kopia/snapshot/snapshotfs"
	"github.com/kopia/kopia/snapshot/upload"
)

// kopia's command line connects with these cache sizes
// (cli/command_repository_connect.go).
const (
	plainContentCacheBytes  = 5000 << 20
	plainMetadataCacheBytes = 5000 << 20
)

// PlainKopia backs up and restores by kopia's Go API as its command line does,
// with its defaults. It is the yardstick of benchmarks and shows that other
// clients can read what movers write.
type PlainKopia struct {
	// Storage is an open kopia storage, for example by filesystem.New or s3.New.
	Storage blob.Storage

	// Directory keeps the configuration file and the caches.
	Directory string

	Password string
}

func (k PlainKopia) configFile() string { return filepath.Join(k.Directory, "plain.config") }

// Create makes a repository with kopia's defaults.
func (k PlainKopia) Create(ctx context.Context) error {
	if err := repo.Initialize(ctx, k.Storage, nil, k.Password); err != nil {
		return fmt.Errorf("creating plain repository: %w", err)
	}
	return nil
}

// Connect writes the configuration file. It needs a repository, made by Create
// or by a mover.
func (k PlainKopia) Connect(ctx context.Context) error {
	err := repo.Connect(ctx, k.configFile(), k.Storage, k.Password, &repo.ConnectOptions{
		ClientOptions: repo.ClientOptions{Hostname: "plain", Username: "plain"},
		CachingOptions: content.CachingOptions{
			CacheDirectory:         filepath.Join(k.Directory, "plain-cache"),
			ContentCacheSizeBytes:  plainContentCacheBytes,
			MetadataCacheSizeBytes: plainMetadataCacheBytes,
		},
	})
	if err != nil {
		return fmt.Errorf("connecting plain client: %w", err)
	}
	return nil
}

// Backup takes a snapshot of dir, comparing with the previous ones of it.
func (k PlainKopia) Backup(ctx context.Context, dir string) (*snapshot.Manifest, error) {
	rep, err := repo.Open(ctx, k.configFile(), k.Password, nil)
	if err != nil {
		return nil, fmt.Errorf("opening plain repository: %w", err)
	}
	defer func() { _ = rep.Close(ctx) }()

	var saved *snapshot.Manifest
	err = repo.WriteSession(ctx, rep, repo.WriteSessionOptions{Purpose: "plain"}, func(ctx context.Context, w repo.RepositoryWriter) error {
		saved, err = plainSnapshot(ctx, w, dir)
		return err
	})
	return saved, err
}

func plainSnapshot(ctx context.Context, w repo.RepositoryWriter, dir string) (*snapshot.Manifest, error) {
	source := snapshot.SourceInfo{Host: "plain", UserName: "plain", Path: dir}
	previous, err := snapshot.FindPreviousManifests(ctx, w, source, nil)
	if err != nil {
		return nil, err
	}
	tree, err := policy.TreeForSource(ctx, w, source)
	if err != nil {
		return nil, err
	}
	entry, err := localfs.NewEntry(dir)
	if err != nil {
		return nil, err
	}
	m, err := upload.NewUploader(w).Upload(ctx, entry, tree, source, previous...)
	if err != nil {
		return nil, err
	}
	_, err = snapshot.SaveSnapshot(ctx, w, m)
	return m, err
}

// Snapshots lists all snapshots in the repository.
func (k PlainKopia) Snapshots(ctx context.Context) ([]*snapshot.Manifest, error) {
	rep, err := repo.Open(ctx, k.configFile(), k.Password, nil)
	if err != nil {
		return nil, fmt.Errorf("opening plain repository: %w", err)
	}
	defer func() { _ = rep.Close(ctx) }()

	ids, err := snapshot.ListSnapshotManifests(ctx, rep, nil, nil)
	if err != nil {
		return nil, err
	}
	return snapshot.LoadSnapshots(ctx, rep, ids)
}

// Restore writes a snapshot into dir.
func (k PlainKopia) Restore(ctx context.Context, id, dir string) error {
	rep, err := repo.Open(ctx, k.configFile(), k.Password, nil)
	if err != nil {
		return fmt.Errorf("opening plain repository: %w", err)
	}
	defer func() { _ = rep.Close(ctx) }()

	m, err := snapshot.LoadSnapshot(ctx, rep, manifest.ID(id))
	if err != nil {
		return err
	}
	root, err := snapshotfs.SnapshotRoot(rep, m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	output := &restore.FilesystemOutput{TargetPath: dir, OverwriteDirectories: true, OverwriteFiles: true, OverwriteSymlinks: true}
	if err := output.Init(ctx); err != nil {
		return err
	}
	_, err = restore.Entry(ctx, rep, output, root, restore.Options{RestoreDirEntryAtDepth: 1<<31 - 1})
	return err
}
