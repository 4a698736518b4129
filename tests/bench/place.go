package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/tests/suite"
)

// region of the test cluster's S3 gateway.
const region = "us-east-1"

// repositoryNamespace is the namespace that the measured repositories are of.
const repositoryNamespace = "bench"

// place is where a repository lies: a folder, or a prefix of a bucket.
type place struct {
	Folder string `json:"folder,omitempty"`

	Endpoint  string `json:"endpoint,omitempty"` // host:port
	Bucket    string `json:"bucket,omitempty"`
	AccessKey string `json:"accessKey,omitempty"`
	SecretKey string `json:"secretKey,omitempty"`
	Region    string `json:"region,omitempty"`

	Prefix string `json:"prefix"` // of this repository alone, without slashes around it
}

// gateway is the test cluster's S3 gateway, with the bucket of its default
// location.
func (s settings) gateway() (place, error) {
	u, err := url.Parse(s.s3URL)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return place{}, fmt.Errorf("-s3: Invalid value: %q: must be http://host[:port]", s.s3URL)
	}
	return place{Endpoint: u.Host, Bucket: suite.S3Bucket, AccessKey: suite.S3AccessKey, SecretKey: suite.S3SecretKey, Region: region}, nil
}

// newPlace makes a place for repositories of one measurement: below dir, or in
// a new bucket, because a folder that is not of a backup makes a location
// invalid.
func (c comparison) newPlace(ctx context.Context, dir string) (place, error) {
	if !c.onS3 {
		return place{Folder: dir, Prefix: "repository"}, nil
	}
	p, err := c.gateway()
	if err != nil {
		return place{}, err
	}
	p.Bucket, p.Prefix = "podkeep-bench-"+rand.String(8), "repository"
	client, err := p.client()
	if err != nil {
		return place{}, err
	}
	if err := client.MakeBucket(ctx, p.Bucket, minio.MakeBucketOptions{Region: p.Region}); err != nil {
		return place{}, fmt.Errorf("making bucket %s on %s: %w", p.Bucket, p.Endpoint, err)
	}
	return p, nil
}

// location is the place as a mover's task names it.
func (p place) location(credentialsFile string) location.Location {
	l := location.Location{Name: "bench", Prefix: p.Prefix}
	if p.Folder != "" {
		l.Provider = location.ProviderFilesystem
		l.Config = map[string]string{location.ConfigFilesystemPath: p.Folder}
		return l
	}
	l.Provider, l.Bucket, l.CredentialsFile = location.ProviderAWS, p.Bucket, credentialsFile
	l.Config = map[string]string{
		location.ConfigRegion: p.Region, location.ConfigS3URL: "http://" + p.Endpoint, location.ConfigS3ForcePathStyle: "true",
	}
	return l
}

// key is the prefix of the repository in the bucket, and path its folder; both
// sides use the same form.
func (p place) key() string  { return p.location("").RepositoryPrefix(repositoryNamespace) }
func (p place) path() string { return filepath.Join(p.Folder, p.key()) }

// remove removes what newPlace made, and all that lies there.
func (p place) remove(ctx context.Context) error {
	if p.Folder != "" {
		repositories, err := filepath.Glob(filepath.Join(p.Folder, p.Prefix+"*"))
		for _, r := range repositories {
			err = errors.Join(err, os.RemoveAll(r))
		}
		return err
	}
	client, err := p.client()
	if err != nil {
		return err
	}
	return errors.Join(p.removeObjects(ctx, ""), client.RemoveBucket(ctx, p.Bucket))
}

// removeObjects removes the objects below a prefix of the bucket.
func (p place) removeObjects(ctx context.Context, prefix string) error {
	client, err := p.client()
	if err != nil {
		return err
	}
	objects := client.ListObjects(ctx, p.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true})
	var failed []error
	for f := range client.RemoveObjects(ctx, p.Bucket, objects, minio.RemoveObjectsOptions{}) {
		failed = append(failed, fmt.Errorf("removing %s: %w", f.ObjectName, f.Err))
	}
	return errors.Join(failed...)
}

func (p place) client() (*minio.Client, error) {
	return minio.New(p.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(p.AccessKey, p.SecretKey, ""), Region: p.Region})
}
