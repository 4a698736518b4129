// Package location describes where backups are stored: one bucket or folder,
// reduced from a BackupStorageLocation to what a storage client needs.
//
// It is pure. The server (internal/objectstore) and the movers (mover) build
// their clients from the same Location, so both always talk to the same place.
// Keys and defaults are those of Velero's locations (velero-facts §1.1, §4.8).
package location

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Providers that podkeep can store in. A provider without a slash is taken as
// "velero.io/<name>", as in Velero.
const (
	ProviderAWS        = "velero.io/aws"
	ProviderFilesystem = "velero.io/fs"

	// providerFilesystemLong is accepted because people write it out.
	providerFilesystemLong = "velero.io/filesystem"
)

// Keys of spec.config that podkeep reads.
const (
	ConfigRegion                = "region"
	ConfigS3URL                 = "s3Url"
	ConfigS3ForcePathStyle      = "s3ForcePathStyle"
	ConfigInsecureSkipTLSVerify = "insecureSkipTLSVerify"
	ConfigProfile               = "profile"

	// ConfigFilesystemPath is the absolute path of a filesystem location, the
	// same in the server and in every mover.
	ConfigFilesystemPath = "fspath"

	// ConfigFilesystemClaim names the PersistentVolumeClaim, in the install
	// namespace, that is mounted at ConfigFilesystemPath.
	ConfigFilesystemClaim = "claim"

	// ConfigFilesystemHostPath is the directory of the node that is mounted at
	// ConfigFilesystemPath; for one-node clusters and node-mounted shares.
	ConfigFilesystemHostPath = "hostPath"
)

// Location is a storage location. The zero value is not usable; New checks it.
type Location struct {
	Name     string            `json:"name"`
	Provider string            `json:"provider"` // ProviderAWS or ProviderFilesystem
	Bucket   string            `json:"bucket,omitempty"`
	Prefix   string            `json:"prefix,omitempty"` // no leading or trailing slash
	Config   map[string]string `json:"config,omitempty"`
	CACert   []byte            `json:"caCert,omitempty"` // PEM; nil means the system's authorities

	// CredentialsFile is an AWS shared credentials file; "" means the default
	// chain (environment, web identity, instance role).
	CredentialsFile string `json:"credentialsFile,omitempty"`

	ReadOnly bool `json:"readOnly,omitempty"`
}

// ErrNotSupported is in errors of New about what podkeep cannot do and real Velero
// can: the providers of its plugins, and keys of the user's own.
var ErrNotSupported = errors.New("not supported by podkeep")

// unsupported is an error that is ErrNotSupported, with a text of its own.
type unsupported struct{ error }

// Is makes errors.Is find ErrNotSupported.
func (unsupported) Is(target error) bool { return target == ErrNotSupported }

// New reduces a BackupStorageLocation to a Location, or says which field is
// wrong and what is allowed. CACert and CredentialsFile are the caller's to
// fill: they come from Secrets.
func New(bsl *velerov1.BackupStorageLocation) (Location, error) {
	l := Location{
		Name:     bsl.Name,
		Provider: canonicalProvider(bsl.Spec.Provider),
		Config:   maps.Clone(bsl.Spec.Config),
		ReadOnly: bsl.Spec.AccessMode == velerov1.BackupStorageLocationAccessModeReadOnly,
	}
	if s := bsl.Spec.ObjectStorage; s != nil {
		l.Bucket = strings.Trim(s.Bucket, "/")
		l.Prefix = strings.Trim(s.Prefix, "/")
		l.CACert = s.CACert
		if s.CACertRef != nil && len(s.CACert) > 0 {
			return l, errors.New("spec.objectStorage.caCertRef: Forbidden: caCert is set, too; only one of them may be")
		}
	}
	return l, l.validate()
}

func canonicalProvider(p string) string {
	if p != "" && !strings.Contains(p, "/") {
		p = "velero.io/" + p
	}
	if p == providerFilesystemLong {
		return ProviderFilesystem
	}
	return p
}

func (l Location) validate() error {
	switch l.Provider {
	case ProviderAWS:
		return l.validateS3()
	case ProviderFilesystem:
		return l.validateFilesystem()
	default:
		err := fmt.Errorf("spec.provider: Unsupported value: %q: supported values: \"aws\" (any S3), \"filesystem\"", l.Provider)
		if isPluginOfVelero(l.Provider) {
			return unsupported{err}
		}
		return err
	}
}

// velerosPlugins are the providers of storage that Velero's documentation lists
// without a domain of their own.
var velerosPlugins = []string{"velero.io/azure", "velero.io/gcp", "velero.io/alibabacloud"}

// isPluginOfVelero says whether real Velero may have a plugin for a provider. Names
// of plugins have the domain of who makes them.
func isPluginOfVelero(provider string) bool {
	domain, _, found := strings.Cut(provider, "/")
	return slices.Contains(velerosPlugins, provider) || found && domain != "velero.io" && domain != ""
}

func (l Location) validateFilesystem() error {
	if p := l.Config[ConfigFilesystemPath]; !path.IsAbs(p) {
		return fmt.Errorf("spec.config[%s]: Invalid value: %q: must be an absolute path", ConfigFilesystemPath, p)
	}
	if _, err := l.PublicEndpoint(); err != nil {
		return err
	}
	return l.checkKeys(filesystemKeys)
}

func (l Location) validateS3() error {
	if l.Bucket == "" || strings.Contains(l.Bucket, "/") {
		return fmt.Errorf("spec.objectStorage.bucket: Invalid value: %q: must be a bucket name without slashes", l.Bucket)
	}
	if err := l.checkKeys(s3Keys); err != nil {
		return err
	}
	if _, err := l.S3Endpoint(); err != nil {
		return err
	}
	if _, err := l.PublicEndpoint(); err != nil {
		return err
	}
	if _, err := l.InsecureSkipTLSVerify(); err != nil {
		return err
	}
	return l.validateS3Config()
}

// S3Endpoint is where an S3 location is reached.
type S3Endpoint struct {
	Host   string // host or host:port
	UseTLS bool
}

// S3Endpoint returns the endpoint of spec.config[s3Url], or Amazon's for the
// region when there is none.
func (l Location) S3Endpoint() (S3Endpoint, error) {
	raw := l.Config[ConfigS3URL]
	if raw == "" {
		region := strings.Trim(l.Config[ConfigRegion], "/")
		if region == "" {
			return S3Endpoint{Host: "s3.amazonaws.com", UseTLS: true}, nil
		}
		return S3Endpoint{Host: "s3-" + region + ".amazonaws.com", UseTLS: true}, nil
	}
	return parseEndpoint(ConfigS3URL, raw)
}

// parseEndpoint does not repeat an address that has a password in it.
func parseEndpoint(key, raw string) (S3Endpoint, error) {
	u, err := url.Parse(raw)
	if err == nil && u.User != nil {
		return S3Endpoint{}, fmt.Errorf("spec.config[%s]: Forbidden: credentials belong into the Secret of spec.credential", key)
	}
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return S3Endpoint{}, fmt.Errorf("spec.config[%s]: Invalid value: %q: must be http(s)://host[:port] without a path", key, raw)
	}
	return S3Endpoint{Host: u.Host, UseTLS: u.Scheme == "https"}, nil
}

// InsecureSkipTLSVerify reports whether the server's certificate is not checked.
func (l Location) InsecureSkipTLSVerify() (bool, error) {
	return l.boolean(ConfigInsecureSkipTLSVerify)
}

// Root is the key prefix of everything that podkeep stores: "" or "<prefix>/".
func (l Location) Root() string {
	if l.Prefix == "" {
		return ""
	}
	return l.Prefix + "/"
}

// RepositoryPrefix is the key prefix of the kopia repository of a namespace,
// with a trailing slash (velero-facts §4.1).
func (l Location) RepositoryPrefix(volumeNamespace string) string {
	return path.Join(l.Prefix, "kopia", volumeNamespace) + "/"
}

// IsFilesystem reports whether a spec.provider names a folder instead of a
// bucket.
func IsFilesystem(provider string) bool { return canonicalProvider(provider) == ProviderFilesystem }
