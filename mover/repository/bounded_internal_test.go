package repository

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/minio/minio-go/v7"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
)

// fakeStorage runs a function for each operation.
type fakeStorage struct {
	blob.Storage
	operations int
	answer     func(ctx context.Context) error
}

func (s *fakeStorage) GetBlob(ctx context.Context, _ blob.ID, _, _ int64, _ blob.OutputBuffer) error {
	s.operations++
	return s.answer(ctx)
}

func (s *fakeStorage) PutBlob(ctx context.Context, _ blob.ID, _ blob.Bytes, _ blob.PutOptions) error {
	s.operations++
	return s.answer(ctx)
}

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestOperationsEndInBoundedTime(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		timeoutSeconds int64
		size           int
		want           time.Duration
	}{
		"the default is two minutes":      {0, 0, 2 * time.Minute},
		"the setting counts":              {10, 0, 10 * time.Second},
		"a pack of 20 MiB gets 80 s more": {10, 20 << 20, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				s := newBoundedStorage(&fakeStorage{answer: hang}, timeout(wire.Repository{StorageTimeoutSeconds: tc.timeoutSeconds}))
				start := time.Now()

				err := s.PutBlob(t.Context(), "p1", bytesOf(make([]byte, tc.size)), blob.PutOptions{})

				g.Expect(time.Since(start)).To(Equal(tc.want))
				g.Expect(err).To(MatchError(ErrUnavailable))
				g.Expect(Reason(err)).To(Equal(velerov1.ReasonStorageUnavailable))
			})
		})
	}
}

func TestBrokenStorageFailsAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err        error
		wantBroken error // nil: the storage goes on
	}{
		"a missing blob is an answer":         {blob.ErrBlobNotFound, nil},
		"a wrong range is an answer":          {blob.ErrInvalidRange, nil},
		"a refused connection is unavailable": {unix.ECONNREFUSED, ErrUnavailable},
		"an unknown error is unavailable":     {errors.New("boom"), ErrUnavailable},
		"refused credentials":                 {minio.ErrorResponse{Code: minio.AccessDenied, StatusCode: 403}, ErrAccessDenied},
		"an expired token":                    {blob.ErrInvalidCredentials, ErrAccessDenied},
		"a missing bucket":                    {minio.ErrorResponse{Code: minio.NoSuchBucket, StatusCode: 404}, ErrBucketNotFound},
		"a server error":                      {minio.ErrorResponse{Code: "InternalError", StatusCode: 500}, ErrUnavailable},
		"slow down":                           {minio.ErrorResponse{Code: "SlowDown", StatusCode: 503}, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			fake := &fakeStorage{answer: func(context.Context) error { return tc.err }}
			s := newBoundedStorage(fake, time.Minute)

			first := s.GetBlob(t.Context(), "p1", 0, 1, &buffer{})
			second := s.GetBlob(t.Context(), "p2", 0, 1, &buffer{})

			if tc.wantBroken == nil {
				g.Expect(first).To(Equal(tc.err))
				g.Expect(s.failure()).NotTo(HaveOccurred())
				g.Expect(fake.operations).To(Equal(2))
				return
			}
			g.Expect(first).To(MatchError(tc.wantBroken))
			g.Expect(second).To(MatchError(tc.wantBroken))
			g.Expect(s.failure()).To(MatchError(tc.wantBroken))
			g.Expect(fake.operations).To(Equal(1))
		})
	}
}

func TestCanceledOperationDoesNotBreakTheStorage(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := newBoundedStorage(&fakeStorage{answer: hang}, time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	g.Expect(s.GetBlob(ctx, "p1", 0, 1, &buffer{})).To(MatchError(context.Canceled))
	g.Expect(s.failure()).NotTo(HaveOccurred())
}

func TestDecideState(t *testing.T) {
	t.Parallel()
	const format = `{"uniqueID":"AAEC"}`
	for name, tc := range map[string]struct {
		format, marker []byte
		want           phase
	}{
		"both agree":                 {[]byte(format), []byte(`{"uniqueID":"AAEC"}`), created},
		"no marker":                  {[]byte(format), nil, notInitialized},
		"markers of another one":     {[]byte(format), []byte(`{"uniqueID":"AAED"}`), corrupted},
		"a marker without ID":        {[]byte(format), []byte(`{}`), corrupted},
		"an empty marker":            {[]byte(format), []byte{}, corrupted},
		"a format without ID":        {[]byte(`{}`), nil, corrupted},
		"a format that is no object": {[]byte(`null`), nil, corrupted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(decideState(tc.format, tc.marker).phase).To(Equal(tc.want))
		})
	}
}
