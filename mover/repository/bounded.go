package repository

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"github.com/podkeep/podkeep/internal/wire"
)

const (
	// defaultStorageTimeout lets a restarting storage server come back, and is
	// what a mover at most waits for one that does not.
	defaultStorageTimeout = 2 * time.Minute

	// slowestBytesPerSecond is the transfer rate below which storage counts as
	// unavailable: 20 MiB, kopia's pack size, then take 80 s more.
	slowestBytesPerSecond = 256 << 10

	// unknownBytes stands for a blob that is read to its end: one pack.
	unknownBytes = 20 << 20
)

// boundedStorage ends each operation in bounded time. kopia and its S3 client
// each retry ten times, so that a server that swallows packets would hold an
// operation for most of an hour. After the first operation that failed for good
// all others fail at once: without that, a backup would wait for the storage
// once per file.
type boundedStorage struct {
	blob.Storage

	timeout time.Duration
	broken  atomic.Pointer[brokenError]
}

// brokenError is why the storage cannot be used any more.
type brokenError struct{ err error }

func newBoundedStorage(s blob.Storage, timeout time.Duration) *boundedStorage {
	return &boundedStorage{Storage: s, timeout: timeout}
}

// timeout is how long one operation may take, but for the bytes it moves.
func timeout(r wire.Repository) time.Duration {
	if r.StorageTimeoutSeconds <= 0 {
		return defaultStorageTimeout
	}
	return time.Duration(r.StorageTimeoutSeconds) * time.Second
}

// failure returns why the storage broke, or nil.
func (s *boundedStorage) failure() error {
	if b := s.broken.Load(); b != nil {
		return b.err
	}
	return nil
}

// do runs one operation that moves about n bytes.
func (s *boundedStorage) do(ctx context.Context, doing string, n int64, operation func(context.Context) error) error {
	if err := s.failure(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s.timeout+time.Duration(n/slowestBytesPerSecond)*time.Second)
	defer cancel()

	err := operation(limited)
	if err == nil || isAnswer(err) || ctx.Err() != nil {
		return err
	}
	switch err = Classify(err); {
	case limited.Err() != nil:
		err = fmt.Errorf("%w: no success within %s: %w", ErrUnavailable, s.timeout, err)
	case Reason(err) == "":
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err = fmt.Errorf("%s: %w", doing, err)
	s.broken.CompareAndSwap(nil, &brokenError{err: err})
	return err
}

// isAnswer reports whether the storage did its work and said no.
func isAnswer(err error) bool {
	for _, answer := range []error{
		blob.ErrBlobNotFound, blob.ErrInvalidRange, blob.ErrSetTimeUnsupported,
		blob.ErrBlobAlreadyExists, blob.ErrUnsupportedPutBlobOption, blob.ErrUnsupportedObjectLock, blob.ErrNotAVolume,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// GetBlob implements blob.Storage.
func (s *boundedStorage) GetBlob(ctx context.Context, id blob.ID, offset, length int64, output blob.OutputBuffer) error {
	n := length
	if n < 0 {
		n = unknownBytes
	}
	return s.do(ctx, "reading blob "+string(id), n, func(ctx context.Context) error {
		return s.Storage.GetBlob(ctx, id, offset, length, output)
	})
}

// GetMetadata implements blob.Storage.
func (s *boundedStorage) GetMetadata(ctx context.Context, id blob.ID) (blob.Metadata, error) {
	var metadata blob.Metadata
	err := s.do(ctx, "looking up blob "+string(id), 0, func(ctx context.Context) (err error) {
		metadata, err = s.Storage.GetMetadata(ctx, id)
		return err
	})
	return metadata, err
}

// ListBlobs implements blob.Storage. The time that callback takes counts.
func (s *boundedStorage) ListBlobs(ctx context.Context, prefix blob.ID, callback func(blob.Metadata) error) error {
	var stopped error
	err := s.do(ctx, "listing blobs "+string(prefix), 0, func(ctx context.Context) error {
		if err := s.Storage.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			stopped = callback(m)
			return stopped
		}); stopped == nil { // the caller's own error is no failure of the storage
			return err
		}
		return nil
	})
	if stopped != nil {
		return stopped
	}
	return err
}

// PutBlob implements blob.Storage.
func (s *boundedStorage) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	return s.do(ctx, "writing blob "+string(id), int64(data.Length()), func(ctx context.Context) error {
		return s.Storage.PutBlob(ctx, id, data, opts)
	})
}

// DeleteBlob implements blob.Storage.
func (s *boundedStorage) DeleteBlob(ctx context.Context, id blob.ID) error {
	return s.do(ctx, "deleting blob "+string(id), 0, func(ctx context.Context) error {
		return s.Storage.DeleteBlob(ctx, id)
	})
}
