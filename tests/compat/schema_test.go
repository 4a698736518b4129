package compat

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/compat/schema"
	"github.com/podkeep/podkeep/tests/suite"
)

// expectSchema fails with one line for each problem of a bucket.
func expectSchema(t *testing.T, bucket string) {
	t.Helper()
	problems, err := schema.Check(os.DirFS(bucket))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, p := range problems {
		t.Error(p)
	}
}

func TestVelerosOwnBucketPassesTheSchema(t *testing.T) {
	bucket := t.TempDir()
	suite.UnpackFixtureBucket(t, bucket)

	expectSchema(t, bucket)
}

// newLocation is a storage location with a bucket of its own, which is empty
// before the test and gone after it.
func newLocation(t *testing.T, c *suite.Cluster, name string) (bucket string) {
	t.Helper()
	g := NewWithT(t)
	bucket = filepath.Join(c.StateDir, "s3", name)
	g.Expect(os.RemoveAll(bucket)).To(Succeed())
	g.Expect(os.MkdirAll(bucket, 0o755)).To(Succeed())
	l := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: name},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider:    "aws",
			Config:      map[string]string{"region": "us-east-1", "s3ForcePathStyle": "true", "s3Url": suite.S3URL},
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: name}},
		},
	}
	c.Apply(t, l)
	t.Cleanup(func() {
		c.Remove(t, l)
		if !t.Failed() {
			NewWithT(t).Expect(os.RemoveAll(bucket)).To(Succeed())
		}
	})
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(l), l)).To(Succeed())
		g.Expect(l.Status.Phase).To(Equal(velerov1.BackupStorageLocationPhaseAvailable), l.Status.Message)
	}, suite.Short).Should(Succeed())
	return bucket
}

// TestBucketPassesTheSchema backs up an application with every kind of volume, well
// and not so well, restores it, and checks the whole bucket.
func TestBucketPassesTheSchema(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	const name = "schema"
	bucket := newLocation(t, c, name)
	ns := c.NewNamespace(t, name)
	c.Apply(t, suite.StatefulSet(ns, "db"), suite.Deployment(ns, "web"), unselected(ns))
	g.Expect(os.WriteFile(filepath.Join(c.EmptyDir(c.RunningPods(t, ns, "web", 1)[0], "data"), "sentinel"), []byte("x"), 0o644)).To(Succeed())
	c.RunningPods(t, ns, "db", 1)
	c.RunningPods(t, ns, "quiet", 1)

	first := suite.NewBackup(ns)
	first.Spec.StorageLocation = name
	c.RunBackup(t, first)
	g.Expect(first.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", first.Status)
	canceled := suite.NewBackup(ns)
	canceled.Spec.StorageLocation = name
	// Its volumes are stopped as soon as they are there.
	canceled.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: "1ms"}
	c.RunBackup(t, canceled)
	g.Expect(canceled.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed), "%+v", canceled.Status)
	g.Expect(c.VolumeBackups(t, canceled)).To(ContainElement(HaveField("Status.Phase", velerov1.PodVolumeBackupPhaseCanceled)))
	r := suite.NewRestore(first, "")
	r.Spec.NamespaceMapping = map[string]string{ns: r.Name}
	c.CleanNamespace(t, r.Name)
	c.RunRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)

	expectSchema(t, bucket)
}

// unselected is an application whose claim is not backed up: its volume is listed
// as skipped.
func unselected(ns string) client.Object {
	s := suite.StatefulSet(ns, "quiet")
	s.Spec.Template.Annotations = nil
	return s
}
