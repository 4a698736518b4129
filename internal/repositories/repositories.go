// Package repositories names BackupRepositories: one per namespace of volumes
// and location.
//
// It is pure. The controllers that need a repository create what New returns,
// and take AlreadyExists for success; the repository controller makes it ready;
// the node agent waits for it by Name.
package repositories

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

// Name is the name of the BackupRepository that holds the volumes of a namespace
// in a location.
func Name(volumeNamespace, bsl string) string {
	return volumeNamespace + "-" + bsl + "-" + velerov1.BackupRepositoryTypeKopia
}

// New returns the BackupRepository for the volumes of a namespace in a location.
// Its maintenance frequency is left to the repository controller.
func New(installNamespace, volumeNamespace, bsl string) *velerov1.BackupRepository {
	return &velerov1.BackupRepository{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: installNamespace,
			Name:      Name(volumeNamespace, bsl),
			Labels: map[string]string{
				velerov1.VolumeNamespaceLabel: velerov1.ValidLabelValue(volumeNamespace),
				velerov1.StorageLocationLabel: velerov1.ValidLabelValue(bsl),
				velerov1.RepositoryTypeLabel:  velerov1.BackupRepositoryTypeKopia,
			},
		},
		Spec: velerov1.BackupRepositorySpec{
			VolumeNamespace:       volumeNamespace,
			BackupStorageLocation: bsl,
			RepositoryType:        velerov1.BackupRepositoryTypeKopia,
		},
	}
}

// Hash changes when a location leads to another place or is reached in another
// way, and with passwordVersion, which changes when the password may have
// changed. Storage credentials and the access mode do not count: with other ones
// it is the same repository.
func Hash(l location.Location, passwordVersion string) (string, error) {
	l.Name, l.CredentialsFile, l.ReadOnly = "", "", false
	b, err := json.Marshal(l)
	if err != nil {
		return "", fmt.Errorf("hashing location: %w", err)
	}
	sum := sha256.Sum256(append(b, passwordVersion...))
	return hex.EncodeToString(sum[:8]), nil
}
