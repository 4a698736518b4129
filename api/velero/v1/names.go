package v1

import (
	"crypto/sha256"
	"crypto/sha3"
	"encoding/hex"
)

const (
	// maxLabelValueBytes is the longest label value that Kubernetes accepts
	// (k8s.io/apimachinery/pkg/util/validation, LabelValueMaxLength).
	maxLabelValueBytes = 63

	// nameHashDigits is how many hex digits of the SHA-256 of a long name take the
	// place of its end. Velero does the same, so both find each other's objects.
	nameHashDigits = 6
)

// ValidLabelValue returns the form in which a name is used as a label value: the
// name itself when it has at most 63 bytes, otherwise its first 57 bytes and the
// first 6 hex digits of its SHA-256.
//
// It is no sanitizer: a name with characters that label values must not have
// keeps them.
func ValidLabelValue(name string) string {
	if len(name) <= maxLabelValueBytes {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:maxLabelValueBytes-nameHashDigits] + hex.EncodeToString(sum[:])[:nameHashDigits]
}

// RepositoryNameLabelValue returns the form in which the name of a
// BackupRepository is the value of RepositoryNameLabel: the name itself when it
// has at most 63 bytes, otherwise its SHA3-224 in hex.
func RepositoryNameLabelValue(name string) string {
	if len(name) <= maxLabelValueBytes {
		return name
	}
	sum := sha3.Sum224([]byte(name))
	return hex.EncodeToString(sum[:])
}
