// Package compat proves that podkeep and what others wrote, or will read, agree
// on every byte that matters.
package compat

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// compatNamespace is a second installation: Velero's repositories have another
// password, and an installation has one.
const (
	compatNamespace = "velero-compat"
	compatBucket    = "velero-compat"
)

func TestVelerosBucketRestores(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	bucket := filepath.Join(c.StateDir, "s3", compatBucket)
	g.Expect(os.RemoveAll(bucket)).To(Succeed())
	suite.UnpackFixtureBucket(t, bucket)
	out := c.Install(t, compatNamespace, suite.FixturePassword, "--provider", "aws", "--bucket", compatBucket, "--secret-file", suite.CredentialsFile(t),
		"--backup-location-config", "region=us-east-1,s3ForcePathStyle=true,s3Url="+suite.S3URL)
	g.Expect(out).To(ContainSubstring("Secret/velero-repo-credentials: kept"))
	backup := importBackup(t, c, bucket, "shop-1")
	c.DeleteNamespace(t, "shop")
	c.CleanNamespace(t, "shop")
	g.Expect(os.MkdirAll(filepath.Join(c.StateDir, "volumes", "shop-data"), 0o755)).To(Succeed())

	r := suite.NewRestore(backup, "")
	r.Namespace = compatNamespace
	c.RunRestore(t, r)

	g.Expect(r.Status.Phase).To(Or(Equal(velerov1.RestorePhaseCompleted), Equal(velerov1.RestorePhasePartiallyFailed)), "%+v", r.Status)
	g.Expect(r.Status.Errors).To(BeZero(), "%+v", r.Status)
	suite.ExpectFixtureData(t, c.ClaimDir(t, "shop", "data-db-0"))
}

// importBackup creates the objects that a sync of the bucket creates: the
// Backup and its PodVolumeBackups, with their status.
func importBackup(t *testing.T, c *suite.Cluster, bucket, name string) *velerov1.Backup {
	t.Helper()
	g := NewWithT(t)
	dir := filepath.Join(bucket, "backups", name)
	backup := &velerov1.Backup{}
	raw, err := os.ReadFile(filepath.Join(dir, "velero-backup.json"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(json.Unmarshal(raw, backup)).To(Succeed())
	strip(&backup.ObjectMeta)
	c.Apply(t, backup)

	f, err := os.Open(filepath.Join(dir, name+"-podvolumebackups.json.gz"))
	g.Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	gz, err := gzip.NewReader(f)
	g.Expect(err).NotTo(HaveOccurred())
	var volumes []velerov1.PodVolumeBackup
	g.Expect(json.NewDecoder(gz).Decode(&volumes)).To(Succeed())
	for i := range volumes {
		strip(&volumes[i].ObjectMeta)
		volumes[i].OwnerReferences = nil
		c.Apply(t, &volumes[i])
	}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(backup), backup)).To(Succeed())
	return backup
}

func strip(m *metav1.ObjectMeta) {
	m.Namespace, m.UID, m.ResourceVersion, m.ManagedFields, m.GenerateName = compatNamespace, "", "", nil, ""
}
