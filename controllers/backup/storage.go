package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
)

// storageError is a failure of object storage, or of getting there. It is
// retried for Options.StorageTimeout, then the backup fails.
type storageError struct{ err error }

func (e *storageError) Error() string { return e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// newStorageError marks err, unless it is nil or the server is stopping.
func newStorageError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &storageError{err: err}
}

// reasonOf is the condition reason of a storage error.
func reasonOf(err error) string {
	if reason := locationaccess.Reason(err); reason != "" {
		return reason
	}
	return velerov1.ReasonStorageUnavailable
}

// isPermanent reports whether only a change of the location can help.
func isPermanent(err error) bool {
	return errors.Is(err, objectstore.ErrAccessDenied) || errors.Is(err, objectstore.ErrBucketNotFound) ||
		errors.Is(err, objectstore.ErrInvalidConfig)
}

func (r *Reconciler) openStore(ctx context.Context, location string) (objectstore.Store, error) {
	store, _, err := r.Locations.Store(ctx, location)
	if err != nil {
		return nil, newStorageError(ctx, fmt.Errorf("opening backup storage location %s: %w", location, err))
	}
	return store, nil
}

// file is one object to upload. open is called once for each try.
type file struct {
	key  string
	open func() (io.ReadCloser, error)
}

// jsonFile is a compressed JSON document.
func jsonFile(key string, v any) (file, error) {
	var buf bytes.Buffer
	if err := layout.EncodeJSONGzip(&buf, v); err != nil {
		return file{}, err
	}
	return bytesFile(key, buf.Bytes()), nil
}

func bytesFile(key string, content []byte) file {
	return file{key: key, open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
}

// upload writes the files in order and stops at the first that fails.
func upload(ctx context.Context, store objectstore.Store, files []file) error {
	for _, f := range files {
		if err := uploadOne(ctx, store, f); err != nil {
			return err
		}
	}
	return nil
}

func uploadOne(ctx context.Context, store objectstore.Store, f file) error {
	body, err := f.open()
	if err != nil {
		return fmt.Errorf("reading what is to be %s: %w", f.key, err)
	}
	defer closeQuietly(ctx, body)

	return newStorageError(ctx, store.Put(ctx, f.key, body))
}

// download decodes a JSON document that an earlier step has stored.
func download(ctx context.Context, store objectstore.Store, key string, v any) error {
	body, err := store.Get(ctx, key)
	if err != nil {
		return newStorageError(ctx, err)
	}
	defer closeQuietly(ctx, body)

	if err := layout.DecodeJSONGzip(body, v); err != nil {
		return newStorageError(ctx, fmt.Errorf("reading %s: %w", key, err))
	}
	return nil
}

// Pauses between two tries to upload what has been collected.
const (
	firstUploadPause = time.Second
	maxUploadPause   = 30 * time.Second
)

// uploadCollected tries until Options.StorageTimeout is over. It waits here and
// not in the next reconcile, because what was collected would have to be
// collected again. Backups that wait for volumes are not held up by that.
func (r *Reconciler) uploadCollected(ctx context.Context, b *velerov1.Backup, files []file) error {
	deadline := r.Clock.Now().Add(r.Options.StorageTimeout)
	pause := wait.Backoff{Duration: firstUploadPause, Factor: 2, Jitter: 0.1, Cap: maxUploadPause, Steps: 100}
	for first := true; ; first = false {
		err := r.tryUpload(ctx, b.Spec.StorageLocation, files)
		if _, ok := errors.AsType[*storageError](err); !ok {
			return err
		}
		if !r.Clock.Now().Before(deadline) {
			return outcome.Terminalf(reasonOf(err), "object storage failed for %s: %w", r.Options.StorageTimeout, err)
		}
		ctrl.LoggerFrom(ctx).Error(err, "Uploading is tried again")
		if first {
			r.Recorder.Eventf(b, nil, corev1.EventTypeWarning, reasonOf(err), "Upload",
				"Upload failed and is tried again for %s: %s", r.Options.StorageTimeout, oneLine(err.Error()))
		}
		if err := sleep(ctx, pause.Step()); err != nil {
			return err
		}
	}
}

func (r *Reconciler) tryUpload(ctx context.Context, location string, files []file) error {
	store, err := r.openStore(ctx, location)
	if err != nil {
		return err
	}
	return upload(ctx, store, files)
}

// sleep returns early, with an error, when the server stops.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
