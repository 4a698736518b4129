package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"

	"github.com/podkeep/podkeep/internal/wire"
)

// User, Host and Owner are the identity of every client of a repository
// (velero-facts §4.3).
const (
	User  = "default"
	Host  = "default"
	Owner = User + "@" + Host
)

// storageType is the name under which kopia finds our storage when it reads its
// configuration file.
const storageType = "podkeep"

const (
	configFileName = "kopia.config"
	cacheDirName   = "cache"

	// defaultCacheLimitMB and metadataPercent are Velero's (velero-facts §4.7).
	defaultCacheLimitMB = 5000
	metadataPercent     = 20
	softPercent         = 80
)

// Purpose says what a repository is opened for.
type Purpose int

// Purposes. ForReading never writes a blob.
const (
	ForReading Purpose = iota
	ForWriting
)

// storageConfig is what kopia keeps in its configuration file about the storage.
// It names the credentials file but holds no secret.
type storageConfig struct {
	Repository wire.Repository `json:"repository"`
	Create     bool            `json:"create,omitempty"`
	Session    string          `json:"session"`
}

// sessions hands a connected storage to kopia, which insists on making storages
// itself from its configuration file, through a registry of types. That
// registry is global and so must this be; a key lives for one opening.
var sessions sync.Map // key: string, value: blob.Storage

func init() { //nolint:gochecknoinits // kopia finds storage types in a global registry
	blob.AddSupportedStorage(storageType, storageConfig{}, func(ctx context.Context, c *storageConfig, _ bool) (blob.Storage, error) {
		if s, ok := sessions.LoadAndDelete(c.Session); ok {
			return s.(blob.Storage), nil //nolint:forcetypeassert // only open stores here
		}
		return newStorage(ctx, c.Repository, false)
	})
}

// Repository is an open repository. Close must be called.
type Repository struct {
	repo.Repository

	place   string
	storage *boundedStorage
	scratch string
}

// Open opens a repository. It costs one key derivation (scrypt, about 0.2 s of
// one CPU), which nothing but kopia's own format allows to avoid.
//
// Its errors match the sentinels of this package.
func Open(ctx context.Context, r wire.Repository, purpose Purpose) (*Repository, error) {
	storage, err := newStorage(ctx, r, false)
	if err != nil {
		return nil, err
	}
	opened, err := open(ctx, opening{storage: storage, repository: r, purpose: purpose})
	if err != nil {
		return nil, errors.Join(err, storage.Close(ctx))
	}
	return opened, nil
}

// opening is what a repository is opened by.
type opening struct {
	storage    *boundedStorage
	repository wire.Repository
	purpose    Purpose

	now func() time.Time // nil means the real time
}

func open(ctx context.Context, o opening) (*Repository, error) {
	storage, r, purpose := o.storage, o.repository, o.purpose
	password, err := readPassword(r.PasswordFile)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.CacheDir, directoryMode); err != nil {
		return nil, fmt.Errorf("%w: making cache directory: %w", ErrInvalidConfig, err)
	}
	scratch, err := os.MkdirTemp(r.CacheDir, "repository-")
	if err != nil {
		return nil, fmt.Errorf("%w: making cache directory: %w", ErrInvalidConfig, err)
	}
	configFile := filepath.Join(scratch, configFileName)
	sessions.Store(configFile, forPurpose(storage, purpose))
	defer sessions.Delete(configFile)

	err = writeConfig(configFile, r, purpose)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(scratch))
	}
	rep, err := repo.Open(ctx, configFile, password, &repo.Options{
		DisableRepositoryLog: true, // no _log blobs: the mover's own log says what happened
		DoNotWaitForUpgrade:  true,
		TimeNowFunc:          o.now,
		OnFatalError: func(err error) {
			storage.broken.CompareAndSwap(nil, &brokenError{err: fmt.Errorf("%w: %w", ErrCorrupt, err)})
		},
	})
	if err != nil {
		err = fmt.Errorf("opening %s: %w", place(r), explainOpen(ctx, storage, err))
		return nil, errors.Join(err, os.RemoveAll(scratch))
	}
	return &Repository{Repository: rep, place: place(r), storage: storage, scratch: scratch}, nil
}

func forPurpose(storage blob.Storage, purpose Purpose) blob.Storage {
	if purpose == ForReading {
		return newReadAhead(storage)
	}
	return storage
}

// explainOpen finds out what an error of opening amounts to. kopia cannot tell
// a missing bucket from a missing repository, nor a damaged format from a wrong
// password; a second look at the storage can.
func explainOpen(ctx context.Context, storage *boundedStorage, err error) error {
	switch {
	case storage.failure() != nil:
		return storage.failure()
	case errors.Is(err, repo.ErrInvalidPassword):
		if state, stateErr := inspect(ctx, storage); stateErr == nil && state.phase == corrupted {
			return fmt.Errorf("%w: %s", ErrCorrupt, state.detail)
		}
		return Classify(err)
	case errors.Is(err, blob.ErrBlobNotFound):
		state, stateErr := inspect(ctx, storage)
		switch {
		case stateErr != nil:
			return stateErr
		case state.phase == notCreated:
			return ErrNotInitialized
		}
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return Classify(err)
}

// writeConfig writes the file that kopia opens a repository by.
func writeConfig(configFile string, r wire.Repository, purpose Purpose) error {
	config := repo.LocalConfig{
		Storage: &blob.ConnectionInfo{
			Type:   storageType,
			Config: &storageConfig{Repository: r, Session: configFile},
		},
		Caching: caching(filepath.Join(filepath.Dir(configFile), cacheDirName), r.CacheLimitMB, purpose),
		ClientOptions: repo.ClientOptions{
			Username:    User,
			Hostname:    Host,
			ReadOnly:    purpose == ForReading || r.Location.ReadOnly,
			Description: "podkeep",
		},
	}
	data, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encoding repository configuration: %w", err)
	}
	if err := os.WriteFile(configFile, data, fileMode); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	return nil
}

// caching decides what is kept on the node's disk.
//
// A backup keeps metadata (directories and manifests of earlier snapshots,
// indexes); it reads no volume data. The content cache is on with the least size
// only because kopia 0.23 crashes without one beside a metadata cache
// (internal/cache, reportMissBytes on nil).
//
// A restore keeps nothing: it reads each piece once, so kopia's caches only cost
// an HMAC-SHA256 and a write to the node's disk for each. Restores were measured
// 2.2 times faster without them (users-and-peers §5.4).
func caching(directory string, limitMB int64, purpose Purpose) *content.CachingOptions {
	if purpose == ForReading {
		return &content.CachingOptions{}
	}
	if limitMB <= 0 {
		limitMB = defaultCacheLimitMB
	}
	limit := (limitMB << 20) * metadataPercent / 100
	return &content.CachingOptions{
		CacheDirectory:              directory,
		ContentCacheSizeBytes:       1,
		MetadataCacheSizeBytes:      limit * softPercent / 100,
		MetadataCacheSizeLimitBytes: limit,
	}
}

func readPassword(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w: reading repository password: %w", ErrInvalidConfig, err)
	}
	password := strings.TrimSpace(string(data))
	if password == "" {
		return "", fmt.Errorf("%w: repository password is empty", ErrInvalidConfig)
	}
	return password, nil
}

// Failure returns why the storage broke while the repository was open, or nil.
// kopia reports some of these errors as errors of single files.
func (r *Repository) Failure() error {
	if err := r.storage.failure(); err != nil {
		return fmt.Errorf("%s: %w", r.place, err)
	}
	return nil
}

// Close releases the repository and removes its caches.
func (r *Repository) Close(ctx context.Context) error {
	return errors.Join(r.Repository.Close(ctx), os.RemoveAll(r.scratch))
}
