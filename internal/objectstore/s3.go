package objectstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/podkeep/podkeep/internal/location"
)

// Bounds of one request. An endpoint that nobody listens on is given up after
// s3Tries connections, that is in about 3 × 4 s plus pauses of at most 1 s.
const (
	s3Tries          = 3
	s3DialTimeout    = 4 * time.Second
	s3RequestTimeout = 15 * time.Second // requests without a body, per page of a list
	s3ReadIdle       = time.Minute      // between two reads of an object
	s3WriteIdle      = 5 * time.Minute  // for one part: 16 MiB at half a megabit per second
)

const (
	// s3PartBytes is the size of the parts of a large object, and so the memory
	// that a Put takes. S3 allows 10 000 parts: objects of up to 156 GiB.
	s3PartBytes = 16 << 20

	// s3SmallBytes is the size up to which an object is sent in one request, which
	// can be repeated as a whole.
	s3SmallBytes = 1 << 20
)

// s3 is a bucket.
type s3 struct {
	core   minio.Core
	bucket string
	root   string // "" or with a trailing slash
	host   string // for errors

	// put is how objects are written.
	put minio.PutObjectOptions

	// region is what spec.config says, or "" for "ask the storage".
	region string

	// public is what signs URLs for people who reach the storage at another
	// address; nil when they do not. It never connects.
	public *publicEndpoint
}

func newS3(l location.Location) (*s3, error) {
	endpoint, err := l.S3Endpoint()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	lookup, err := bucketLookup(l)
	if err != nil {
		return nil, err
	}
	transport, err := s3Transport(l)
	if err != nil {
		return nil, err
	}
	creds, err := s3Credentials(l, transport)
	if err != nil {
		return nil, err
	}
	options := minio.Options{
		Creds:           creds,
		Secure:          endpoint.UseTLS,
		Transport:       transport,
		Region:          strings.Trim(l.Config[location.ConfigRegion], "/"),
		BucketLookup:    lookup,
		MaxRetries:      s3Tries,
		TrailingHeaders: l.ChecksumAlgorithm() != "",
	}
	client, err := minio.New(endpoint.Host, &options)
	if err != nil {
		return nil, fmt.Errorf("%w: endpoint %s: %w", ErrInvalidConfig, endpoint.Host, err)
	}
	s := &s3{core: minio.Core{Client: client}, bucket: l.Bucket, root: l.Root(), host: endpoint.Host, region: options.Region}
	if s.put, err = putOptions(l); err != nil {
		return nil, err
	}
	s.public, err = newPublicEndpoint(l, options)
	return s, err
}

// bucketLookup chooses between host/bucket and bucket.host. Without a demand the
// client takes the first for every endpoint but those of clouds that refuse it.
func bucketLookup(l location.Location) (minio.BucketLookupType, error) {
	raw := l.Config[location.ConfigS3ForcePathStyle]
	if raw == "" {
		return minio.BucketLookupAuto, nil
	}
	force, err := strconv.ParseBool(raw)
	if err != nil {
		return 0, fmt.Errorf("%w: spec.config[%s]: Invalid value: %q: must be true or false",
			ErrInvalidConfig, location.ConfigS3ForcePathStyle, raw)
	}
	if force {
		return minio.BucketLookupPath, nil
	}
	return minio.BucketLookupAuto, nil
}

func s3Transport(l location.Location) (*http.Transport, error) {
	insecure, err := l.InsecureSkipTLSVerify()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	roots, err := certificateAuthorities(l.CACert)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: s3DialTimeout, KeepAlive: s3RequestTimeout}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   s3DialTimeout,
		ResponseHeaderTimeout: s3ReadIdle,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       s3ReadIdle,
		MaxIdleConnsPerHost:   4,
		DisableCompression:    true, // objects are gzip files; they must arrive as they are
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			InsecureSkipVerify: insecure, // asked for by spec.config
		},
	}, nil
}

// certificateAuthorities returns the system's authorities and those of the
// location, or nil, which means the system's, when it has none.
func certificateAuthorities(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: spec.objectStorage.caCert: Invalid value: must be PEM certificates", ErrInvalidConfig)
	}
	return pool, nil
}

// failed wraps an error with what was done and to which place.
func (s *s3) failed(doing, key string, err error) error {
	return fmt.Errorf("%s s3://%s/%s%s at %s: %w", doing, s.bucket, s.root, key, s.host, classifyS3(err))
}

// Put implements Store. Small objects go in one request, which the client
// repeats when the server cannot take it; large ones in parts, which are not
// visible until the last has arrived.
func (s *s3) Put(ctx context.Context, key string, body io.Reader) error {
	if err := checkKey(key); err != nil {
		return err
	}
	g := newGuard(ctx, s3WriteIdle)
	defer g.stop()

	var head bytes.Buffer
	n, err := io.CopyN(&head, body, s3SmallBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the content of %s: %w", key, err)
	}
	if n < s3SmallBytes {
		_, err = s.core.Client.PutObject(g.ctx, s.bucket, s.root+key, bytes.NewReader(head.Bytes()), n, withChecksum(s.put, head.Bytes()))
	} else {
		rest := guardedReader{guard: g, reader: io.MultiReader(&head, body)}
		_, err = s.core.Client.PutObject(g.ctx, s.bucket, s.root+key, rest, -1, s.put)
	}
	if err = g.explain(err); err != nil {
		return s.failed("writing", key, err)
	}
	return nil
}

// Get implements Store.
func (s *s3) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	g := newGuard(ctx, s3ReadIdle)
	body, _, _, err := s.core.GetObject(g.ctx, s.bucket, s.root+key, minio.GetObjectOptions{})
	if err = g.explain(err); err != nil {
		g.stop()
		return nil, s.failed("reading", key, err)
	}
	return &s3Object{store: s, key: key, guard: g, body: body}, nil
}

// s3Object is an open object. It ends a read that stalls, and classifies a
// connection that breaks.
type s3Object struct {
	store *s3
	key   string
	guard *guard
	body  io.ReadCloser
}

// Read implements io.Reader.
func (o *s3Object) Read(p []byte) (int, error) {
	o.guard.progress()
	n, err := o.body.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, o.store.failed("reading", o.key, o.guard.explain(err))
}

// Close implements io.Closer.
func (o *s3Object) Close() error {
	o.guard.stop()
	return o.body.Close()
}

// Exists implements Store.
func (s *s3) Exists(ctx context.Context, key string) (bool, error) {
	info, err := s.stat(ctx, key)
	return info != nil, err
}

// Version implements Store.
func (s *s3) Version(ctx context.Context, key string) (string, error) {
	info, err := s.stat(ctx, key)
	if info == nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d", info.ETag, info.LastModified.UnixNano(), info.Size), nil
}

// stat returns nil for a missing object. The answer to a HEAD request does not tell
// a missing bucket from a missing object, so the bucket is looked at, too.
func (s *s3) stat(ctx context.Context, key string) (*minio.ObjectInfo, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	g := newGuard(ctx, s3RequestTimeout)
	defer g.stop()

	info, err := s.core.StatObject(g.ctx, s.bucket, s.root+key, minio.StatObjectOptions{})
	if err == nil {
		return &info, nil
	}
	err = g.explain(err)
	if !errors.Is(classifyS3(err), ErrNotFound) {
		return nil, s.failed("looking for", key, err)
	}
	g.progress()
	found, err := s.core.BucketExists(g.ctx, s.bucket)
	if err = g.explain(err); err != nil {
		return nil, s.failed("looking for", key, err)
	}
	if !found {
		return nil, s.failed("looking for", key, ErrBucketNotFound)
	}
	return nil, nil
}

// List implements Store.
func (s *s3) List(ctx context.Context, prefix string) ([]string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var found listing
	err := s.list(ctx, minio.ListObjectsOptions{Prefix: s.root + prefix, Recursive: true}, func(key string) error {
		if strings.HasSuffix(key, "/") { // a folder object of a web console
			return nil
		}
		return found.add(key)
	})
	if err != nil {
		return nil, s.failed("listing", prefix, err)
	}
	return found.sorted(), nil
}

// CommonPrefixes implements Store.
func (s *s3) CommonPrefixes(ctx context.Context, prefix string) ([]string, error) {
	if err := checkFolder(prefix); err != nil {
		return nil, err
	}
	var found listing
	err := s.list(ctx, minio.ListObjectsOptions{Prefix: s.root + prefix}, func(key string) error {
		if !strings.HasSuffix(key, "/") || key == prefix {
			return nil
		}
		return found.add(key)
	})
	if err != nil {
		return nil, s.failed("listing", prefix, err)
	}
	return slices.Compact(found.sorted()), nil
}

// list calls found with each key, relative to the root, until it fails.
func (s *s3) list(ctx context.Context, opts minio.ListObjectsOptions, found func(key string) error) error {
	g := newGuard(ctx, s3RequestTimeout)
	defer g.stop()
	for o := range s.core.ListObjectsIter(g.ctx, s.bucket, opts) {
		if o.Err != nil {
			return g.explain(o.Err)
		}
		g.progress()
		if err := found(strings.TrimPrefix(o.Key, s.root)); err != nil {
			return err
		}
	}
	// The client ends the iteration without an error when the context ends.
	return g.explain(context.Cause(g.ctx))
}

// Delete implements Store.
func (s *s3) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	g := newGuard(ctx, s3RequestTimeout)
	defer g.stop()

	err := s.core.RemoveObject(g.ctx, s.bucket, s.root+key, minio.RemoveObjectOptions{})
	err = g.explain(err)
	if err == nil || errors.Is(classifyS3(err), ErrNotFound) {
		return nil
	}
	return s.failed("deleting", key, err)
}
