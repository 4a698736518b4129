package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/blob/filesystem"
	"github.com/kopia/kopia/repo/blob/s3"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
)

// Modes of repositories in a directory (velero-facts §4.8).
const (
	fileMode      = 0o600
	directoryMode = 0o700
)

// newStorage connects to the blobs of a repository. With create, a missing
// directory is made; that of the location itself must exist in any case, so that
// a missing mount is not made up for.
func newStorage(ctx context.Context, r wire.Repository, create bool) (*boundedStorage, error) {
	limited, cancel := context.WithTimeout(ctx, timeout(r)) // connecting already reads
	defer cancel()
	storage, err := newRawStorage(limited, r, create)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", place(r), Classify(err))
	}
	return newBoundedStorage(storage, timeout(r)), nil
}

func newRawStorage(ctx context.Context, r wire.Repository, create bool) (blob.Storage, error) {
	if !isPathElement(r.Namespace) {
		return nil, fmt.Errorf("%w: %q is no namespace", ErrInvalidConfig, r.Namespace)
	}
	switch r.Location.Provider {
	case location.ProviderAWS:
		return newS3(ctx, r)
	case location.ProviderFilesystem:
		return newFilesystem(ctx, r, create)
	default:
		return nil, fmt.Errorf("%w: provider %q has no repository storage", ErrInvalidConfig, r.Location.Provider)
	}
}

// isPathElement keeps repositories in their own folders. The namespace may come
// from a PodVolumeBackup that was synced from a bucket, which nobody has checked:
// "../../other" would be a folder of somebody else.
func isPathElement(namespace string) bool {
	return fs.ValidPath(namespace) && namespace != "." && !strings.Contains(namespace, "/")
}

func newS3(ctx context.Context, r wire.Repository) (blob.Storage, error) {
	l := r.Location
	endpoint, err := l.S3Endpoint()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	insecure, err := l.InsecureSkipTLSVerify()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	keys, err := s3Keys(l)
	if err != nil {
		return nil, err
	}
	return s3.New(ctx, &s3.Options{
		BucketName:      l.Bucket,
		Prefix:          l.RepositoryPrefix(r.Namespace),
		Endpoint:        endpoint.Host,
		DoNotUseTLS:     !endpoint.UseTLS,
		DoNotVerifyTLS:  insecure,
		RootCA:          l.CACert,
		AccessKeyID:     keys.AccessKeyID,
		SecretAccessKey: keys.SecretAccessKey,
		SessionToken:    keys.SessionToken,
		Region:          strings.Trim(l.Config[location.ConfigRegion], "/"),
	}, false)
}

func newFilesystem(ctx context.Context, r wire.Repository, create bool) (blob.Storage, error) {
	root := r.Location.Config[location.ConfigFilesystemPath]
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("%w: config[%s] %q is not an absolute path", ErrInvalidConfig, location.ConfigFilesystemPath, root)
	}
	if err := checkDirectory(root, ErrBucketNotFound); err != nil {
		return nil, err
	}
	path := filepath.Join(root, r.Location.RepositoryPrefix(r.Namespace))
	if !create {
		if err := checkDirectory(path, ErrNotInitialized); err != nil {
			return nil, err
		}
	}
	return filesystem.New(ctx, &filesystem.Options{
		Path:          path,
		FileMode:      fileMode,
		DirectoryMode: directoryMode,
	}, create)
}

// checkDirectory returns missing when there is no directory at path.
func checkDirectory(path string, missing error) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: no directory %s", missing, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrAccessDenied, err)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%w: %s is not a directory", missing, path)
	}
	return nil
}

// place names a repository for messages.
func place(r wire.Repository) string {
	where := r.Location.Bucket
	if r.Location.Provider == location.ProviderFilesystem {
		where = r.Location.Config[location.ConfigFilesystemPath]
	}
	return fmt.Sprintf("repository %s of location %s (%s/%s)", r.Namespace, r.Location.Name, where, r.Location.RepositoryPrefix(r.Namespace))
}
