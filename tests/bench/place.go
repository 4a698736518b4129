package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

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

// bucketPlace is a prefix in the bucket of the test cluster.
func (s settings) bucketPlace(prefix string) (place, error) {
	u, err := url.Parse(s.s3URL)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return place{}, fmt.Errorf("-s3: Invalid value: %q: must be http://host[:port]", s.s3URL)
	}
	return place{
		Endpoint: u.Host, Bucket: suite.S3Bucket, AccessKey: suite.S3AccessKey, SecretKey: suite.S3SecretKey, Region: region,
		Prefix: prefix,
	}, nil
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

// remove removes all that lies at the place.
func (p place) remove(ctx context.Context) error {
	if p.Folder != "" {
		return os.RemoveAll(filepath.Join(p.Folder, p.Prefix))
	}
	return p.removeObjects(ctx, p.Prefix+"/")
}

// removeObjects removes the objects below a prefix of the bucket.
func (p place) removeObjects(ctx context.Context, prefix string) error {
	c, err := minio.New(p.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(p.AccessKey, p.SecretKey, ""), Region: p.Region})
	if err != nil {
		return err
	}
	objects := c.ListObjects(ctx, p.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true})
	for failed := range c.RemoveObjects(ctx, p.Bucket, objects, minio.RemoveObjectsOptions{}) {
		return fmt.Errorf("removing %s: %w", failed.ObjectName, failed.Err)
	}
	return nil
}
