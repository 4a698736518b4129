package objectstore

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/podkeep/podkeep/internal/location"
)

// defaultRegion is what Amazon's API takes an empty region for.
const defaultRegion = "us-east-1"

// publicEndpoint is another address of the same storage.
type publicEndpoint struct {
	host    string
	options minio.Options
}

func newPublicEndpoint(l location.Location, options minio.Options) (*publicEndpoint, error) {
	public, err := l.PublicEndpoint()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	if public == nil {
		return nil, nil
	}
	options.Secure = public.UseTLS
	return &publicEndpoint{host: public.Host, options: options}, nil
}

// Presign implements Store. With a public endpoint that one signs, because the
// host is part of the signature.
func (s *s3) Presign(ctx context.Context, key string, ttl time.Duration) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	g := newGuard(ctx, s3RequestTimeout)
	defer g.stop()

	signer, err := s.signer(g.ctx)
	if err != nil {
		return "", s.failed("signing an address of", key, g.explain(err))
	}
	u, err := signer.PresignedGetObject(g.ctx, s.bucket, s.root+key, ttl, nil)
	if err = g.explain(err); err != nil {
		return "", s.failed("signing an address of", key, err)
	}
	return u.String(), nil
}

// signer tells the public client the region. A client that does not know it asks
// its endpoint, and the public one may be out of the server's reach.
func (s *s3) signer(ctx context.Context) (*minio.Client, error) {
	if s.public == nil {
		return s.core.Client, nil
	}
	region := s.region
	if region == "" {
		found, err := s.core.GetBucketLocation(ctx, s.bucket)
		if err != nil {
			return nil, err
		}
		region = cmp.Or(found, defaultRegion)
	}
	options := s.public.options
	options.Region = region
	return minio.New(s.public.host, &options)
}
