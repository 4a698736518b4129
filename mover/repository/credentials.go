package repository

import (
	"fmt"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/podkeep/podkeep/internal/location"
)

// s3Keys reads the keys of a location's credentials file. Without a file the
// keys are empty, and kopia uses the environment, a web identity or the role of
// the instance, which it also renews.
func s3Keys(l location.Location) (credentials.Value, error) {
	if l.CredentialsFile == "" {
		return credentials.Value{}, nil
	}
	file := &credentials.FileAWSCredentials{
		Filename: l.CredentialsFile,
		Profile:  profile(l),
	}
	keys, err := file.RetrieveWithCredContext(nil)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("%w: reading profile %q of credentials file: %w", ErrInvalidConfig, profile(l), err)
	}
	if keys.AccessKeyID == "" || keys.SecretAccessKey == "" {
		return credentials.Value{}, fmt.Errorf("%w: profile %q of credentials file has no aws_access_key_id or no aws_secret_access_key",
			ErrInvalidConfig, profile(l))
	}
	return keys, nil
}

func profile(l location.Location) string {
	if p := l.Config[location.ConfigProfile]; p != "" {
		return p
	}
	return "default"
}
