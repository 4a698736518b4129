package objectstore

import (
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/podkeep/podkeep/internal/location"
)

// s3Credentials returns the keys of the location's credentials file or, without
// one, what the environment offers: variables, web identity, instance role.
// Those are fetched when the first request needs them, and again when they
// expire.
func s3Credentials(l location.Location, transport *http.Transport) (*credentials.Credentials, error) {
	if l.CredentialsFile == "" {
		return credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{},
			&credentials.FileAWSCredentials{Profile: l.Config[location.ConfigProfile]},
			&credentials.IAM{Client: &http.Client{Transport: http.DefaultTransport, Timeout: s3DialTimeout}},
		}), nil
	}
	creds := credentials.NewFileAWSCredentials(l.CredentialsFile, l.Config[location.ConfigProfile])
	value, err := creds.GetWithContext(&credentials.CredContext{Client: &http.Client{Transport: transport, Timeout: s3RequestTimeout}})
	if err != nil {
		return nil, fmt.Errorf("%w: reading credentials file %s: %w", ErrAccessDenied, l.CredentialsFile, err)
	}
	if value.AccessKeyID == "" || value.SecretAccessKey == "" {
		return nil, fmt.Errorf("%w: credentials file %s: profile %q has no aws_access_key_id and aws_secret_access_key",
			ErrAccessDenied, l.CredentialsFile, profileName(l))
	}
	return creds, nil
}

func profileName(l location.Location) string {
	if p := l.Config[location.ConfigProfile]; p != "" {
		return p
	}
	return "default"
}
