package schema

import (
	"encoding/base64"
	"path"
	"regexp"
	"slices"
)

const (
	formatBlob = "kopia.repository"
	markerBlob = "udmrepo.Repository"
)

// blobName are the families of names in a repository (velero-facts §4.1).
var blobName = regexp.MustCompile(`^(kopia\.(repository|blobcfg|maintenance)|udmrepo\.Repository|[pq][0-9a-f]{32}-s[0-9a-f]+|x[nserw][0-9a-zA-Z_-]+|_log_[0-9a-f_]+|s[0-9a-f]+(-s[0-9a-f]+)?)$`)

// format is kopia.repository.
type format struct {
	Tool                 string `json:"tool"`
	BuildVersion         string `json:"buildVersion"`
	BuildInfo            string `json:"buildInfo"`
	UniqueID             string `json:"uniqueID"`
	KeyAlgorithm         string `json:"keyAlgo"`
	Version              string `json:"version"`
	Encryption           string `json:"encryption"`
	EncryptedBlockFormat string `json:"encryptedBlockFormat"`
}

// checkRepository checks the folder of one repository from outside: it is
// encrypted.
func (c *checker) checkRepository(namespace string, objects []string) {
	base := path.Join(kopiaFolder, namespace)
	for _, name := range objects {
		if !blobName.MatchString(name) {
			c.add(path.Join(base, name), RuleRepository, "is no blob of a repository")
		}
	}
	formatKey, markerKey := path.Join(base, formatBlob), path.Join(base, markerBlob)
	for _, name := range []string{formatBlob, markerBlob} {
		if !slices.Contains(objects, name) {
			c.add(path.Join(base, name), RuleRepository, "is missing")
			return
		}
	}
	var f format
	var marker struct {
		UniqueID string `json:"uniqueID"`
	}
	if !c.strict(formatKey, c.read(formatKey), &f) || !c.strict(markerKey, c.read(markerKey), &marker) {
		return
	}
	if f.KeyAlgorithm != "scrypt-65536-8-1" || f.Encryption != "AES256_GCM" || f.EncryptedBlockFormat == "" {
		c.add(formatKey, RuleRepository, "has keyAlgo %q and encryption %q; Velero's forks of kopia have scrypt-65536-8-1 and AES256_GCM", f.KeyAlgorithm, f.Encryption)
	}
	if id, err := base64.StdEncoding.DecodeString(f.UniqueID); err != nil || len(id) == 0 || marker.UniqueID != f.UniqueID {
		c.add(markerKey, RuleRepository, "uniqueID is %q, that of %s %q: Velero takes the repository for corrupt", marker.UniqueID, formatBlob, f.UniqueID)
	}
}
