package location

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Keys of spec.config that change how objects are written and downloaded. Names
// and meaning are those of Velero's plugin for AWS (its backupstoragelocation.md).
const (
	// ConfigPublicURL is the address of the storage in URLs for people, where
	// theirs is not the server's. For a filesystem location it is the address of
	// the server's downloads.
	ConfigPublicURL = "publicUrl"

	// ConfigServerSideEncryption is EncryptionAES256 or EncryptionKMS.
	ConfigServerSideEncryption = "serverSideEncryption"

	// ConfigKMSKeyID is the key of EncryptionKMS, which it implies.
	ConfigKMSKeyID = "kmsKeyId"

	// ConfigTagging is put on every object: "Key1=Value1&Key2=Value2".
	ConfigTagging = "tagging"

	// ConfigChecksumAlgorithm is one of checksumAlgorithms; "" sends none.
	ConfigChecksumAlgorithm = "checksumAlgorithm"
)

// Values of ConfigServerSideEncryption.
const (
	EncryptionAES256 = "AES256"
	EncryptionKMS    = "aws:kms"
)

// Keys that locations of Velero may have and that change nothing here.
const (
	configEnableSharedConfig = "enableSharedConfig" // profiles are read in any case
	configSignatureVersion   = "signatureVersion"   // 4 is the only one
	configResticRepoPrefix   = "resticRepoPrefix"   // restic repositories are not read
)

// Keys that only the provider named in knownKeys has.
var (
	s3Keys = []string{
		ConfigRegion, ConfigS3URL, ConfigS3ForcePathStyle, ConfigInsecureSkipTLSVerify, ConfigProfile, ConfigPublicURL,
		ConfigServerSideEncryption, ConfigKMSKeyID, ConfigTagging, ConfigChecksumAlgorithm,
		configEnableSharedConfig, configSignatureVersion, configResticRepoPrefix,
	}
	filesystemKeys = []string{ConfigFilesystemPath, ConfigFilesystemClaim, ConfigFilesystemHostPath, ConfigPublicURL}
)

// customerKeys are refused with a reason of their own: with them, objects that
// Velero wrote could not be read, and kopia does not know them at all.
var customerKeys = []string{"customerKeyEncryptionFile", "customerKeyEncryptionSecret"}

var checksumAlgorithms = []string{"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"}

// Limits of Amazon S3 for the tags of one object.
const (
	maxTags          = 10
	maxTagKeyBytes   = 128
	maxTagValueBytes = 256
)

// checkKeys refuses a key that nobody reads. A typing error in s3Url would send
// backups to Amazon.
func (l Location) checkKeys(known []string) error {
	for _, key := range slices.Sorted(maps.Keys(l.Config)) {
		switch {
		case slices.Contains(known, key):
		case l.Provider == ProviderAWS && slices.Contains(customerKeys, key):
			return unsupported{fmt.Errorf("spec.config[%s]: Forbidden: keys of your own are not supported; use %s or %s",
				key, ConfigServerSideEncryption, ConfigKMSKeyID)}
		default:
			return fmt.Errorf("spec.config[%s]: Unsupported value: no such key; supported keys: %s", key, strings.Join(slices.Sorted(slices.Values(known)), ", "))
		}
	}
	return nil
}

// validateS3Config checks the values of the keys of S3 that are not checked
// where they are used.
func (l Location) validateS3Config() error {
	for _, key := range []string{ConfigS3ForcePathStyle, configEnableSharedConfig} {
		if _, err := l.boolean(key); err != nil {
			return err
		}
	}
	if v := l.Config[configSignatureVersion]; v != "" && v != "4" {
		return fmt.Errorf("spec.config[%s]: Unsupported value: %q: supported values: \"4\"", configSignatureVersion, v)
	}
	if a := l.Config[ConfigChecksumAlgorithm]; a != "" && !slices.Contains(checksumAlgorithms, a) {
		return fmt.Errorf("spec.config[%s]: Unsupported value: %q: supported values: %s, or empty for none",
			ConfigChecksumAlgorithm, a, strings.Join(checksumAlgorithms, ", "))
	}
	if _, err := l.Encryption(); err != nil {
		return err
	}
	_, err := l.Tags()
	return err
}

// Encryption is how the storage encrypts objects; the zero value leaves it to
// the bucket.
type Encryption struct {
	Algorithm string // "", EncryptionAES256 or EncryptionKMS
	KMSKeyID  string // only with EncryptionKMS; "" means the account's default key
}

// Encryption returns what spec.config asks for.
func (l Location) Encryption() (Encryption, error) {
	e := Encryption{Algorithm: l.Config[ConfigServerSideEncryption], KMSKeyID: l.Config[ConfigKMSKeyID]}
	if e.Algorithm == "" && e.KMSKeyID != "" {
		e.Algorithm = EncryptionKMS
	}
	switch {
	case e.Algorithm == "", e.Algorithm == EncryptionKMS, e.Algorithm == EncryptionAES256 && e.KMSKeyID == "":
		return e, nil
	case e.Algorithm == EncryptionAES256:
		return e, fmt.Errorf("spec.config[%s]: Forbidden: %s is %s, which has no key", ConfigKMSKeyID, ConfigServerSideEncryption, e.Algorithm)
	default:
		return e, fmt.Errorf("spec.config[%s]: Unsupported value: %q: supported values: %q, %q",
			ConfigServerSideEncryption, e.Algorithm, EncryptionAES256, EncryptionKMS)
	}
}

// Tags returns the tags of every object; nil when there are none.
func (l Location) Tags() (map[string]string, error) {
	raw := l.Config[ConfigTagging]
	if raw == "" {
		return nil, nil
	}
	invalid := func(why string) error {
		return fmt.Errorf("spec.config[%s]: Invalid value: %q: %s", ConfigTagging, raw, why)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("must be like Key1=Value1&Key2=Value2")
	}
	tags := map[string]string{}
	for key, v := range values {
		switch {
		case key == "" || len(key) > maxTagKeyBytes:
			return nil, invalid(fmt.Sprintf("each key must have 1 to %d bytes", maxTagKeyBytes))
		case len(v) != 1:
			return nil, invalid(fmt.Sprintf("key %s is there twice", key))
		case len(v[0]) > maxTagValueBytes:
			return nil, invalid(fmt.Sprintf("the value of key %s must have at most %d bytes", key, maxTagValueBytes))
		}
		tags[key] = v[0]
	}
	if len(tags) > maxTags {
		return nil, invalid(fmt.Sprintf("must be at most %d tags", maxTags))
	}
	return tags, nil
}

// ChecksumAlgorithm is the checksum that is sent with each object; "" means none.
func (l Location) ChecksumAlgorithm() string { return l.Config[ConfigChecksumAlgorithm] }

// PublicEndpoint is the storage as people reach it. It is nil without
// ConfigPublicURL: they reach it as the server does.
func (l Location) PublicEndpoint() (*S3Endpoint, error) {
	raw := l.Config[ConfigPublicURL]
	if raw == "" {
		return nil, nil
	}
	e, err := parseEndpoint(ConfigPublicURL, raw)
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// PublicURL is ConfigPublicURL without a slash at the end; "" when it is not set.
func (l Location) PublicURL() string { return strings.TrimSuffix(l.Config[ConfigPublicURL], "/") }

// Place tells whether two versions of a location lead to the same bucket or
// folder: it is the same text for both unless something differs that says where.
// Credentials do not count.
func (l Location) Place() string {
	parts := []string{
		l.Provider, l.Bucket, l.Prefix, l.Config[ConfigS3URL],
		l.Config[ConfigFilesystemPath], l.Config[ConfigFilesystemClaim], l.Config[ConfigFilesystemHostPath],
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

func (l Location) boolean(key string) (bool, error) {
	raw := l.Config[key]
	if raw == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(raw)
	if err != nil {
		return false, fmt.Errorf("spec.config[%s]: Invalid value: %q: must be true or false", key, raw)
	}
	return v, nil
}
