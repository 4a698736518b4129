// Package compat proves that podkeep and what others wrote, or will read, agree
// on every byte that matters.
package compat

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
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

// TestVelerosBucketRestores points a fresh installation at a bucket of real Velero
// and does what its users do: look at the backups, read their logs, restore them.
func TestVelerosBucketRestores(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	bucket := filepath.Join(c.StateDir, "s3", compatBucket)
	g.Expect(os.RemoveAll(bucket)).To(Succeed())
	suite.UnpackFixtureBucket(t, bucket)
	out := c.Install(t, compatNamespace, suite.FixturePassword, "--provider", "aws", "--bucket", compatBucket, "--secret-file", suite.CredentialsFile(t),
		"--backup-location-config", "region=us-east-1,s3ForcePathStyle=true,s3Url="+suite.S3URL)
	g.Expect(out).To(ContainSubstring("Secret/velero-repo-credentials: kept"))

	var notes []string
	for _, name := range []string{"shop-1", "shop-2"} {
		backup := expectSynced(t, c, name)
		expectReadable(t, c, name)
		notes = append(notes, restoreShop(t, c, backup))
	}

	g.Expect(notes[0]).NotTo(Equal(notes[1]), "notes.txt is what changed between the backups")
	expectOthersUnaffected(t, c, bucket)
}

// expectSynced waits for a backup, and checks that its volumes are there, finished,
// and left alone.
func expectSynced(t *testing.T, c *suite.Cluster, name string) *velerov1.Backup {
	t.Helper()
	g := NewWithT(t)
	backup := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: compatNamespace, Name: name}}
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(backup), backup)).To(Succeed())
		g.Expect(backup.Annotations).NotTo(HaveKey(velerov1.SyncingAnnotation))
	}, suite.Long).Should(Succeed())
	g.Expect(backup.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	g.Expect(backup.Status.Progress.ItemsBackedUp).To(Equal(29))

	list := &velerov1.PodVolumeBackupList{}
	g.Expect(c.Client.List(t.Context(), list, client.InNamespace(compatNamespace),
		client.MatchingLabels{velerov1.BackupUIDLabel: string(backup.UID)})).To(Succeed())
	g.Expect(list.Items).To(HaveLen(3))
	for _, v := range list.Items {
		g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCompleted))
		g.Expect(v.Status.SnapshotID).To(HaveLen(32))
		g.Expect(v.Spec.Node).To(Equal("node1"), "the node agent of this node must not take it for its own work")
		g.Expect(v.Finalizers).To(BeEmpty())
		g.Expect(v.Generation).To(Equal(int64(1)), "nobody has touched it")
	}
	return backup
}

// expectReadable describes a backup and reads its log.
func expectReadable(t *testing.T, c *suite.Cluster, name string) {
	t.Helper()
	g := NewWithT(t)
	out, err := c.Podkeep(compatNamespace, "backup", "describe", name, "--details")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(And(ContainSubstring(name), ContainSubstring("Completed"), ContainSubstring("shop/db-0")))

	r := c.RequestDownload(t, compatNamespace, velerov1.DownloadTarget{Kind: velerov1.DownloadTargetKindBackupLog, Name: name})
	status, log := suite.Fetch(t, r.Status.DownloadURL)
	g.Expect(status).To(Equal(http.StatusOK))
	g.Expect(log).To(ContainSubstring("backup=velero/" + name))

	// 1.18 writes no CSI files: the client must see "not found", not an error.
	r = c.RequestDownload(t, compatNamespace, velerov1.DownloadTarget{Kind: velerov1.DownloadTargetKindCSIBackupVolumeSnapshots, Name: name})
	status, _ = suite.Fetch(t, r.Status.DownloadURL)
	g.Expect(status).To(Equal(http.StatusNotFound))
	g.Expect(r.Status.Conditions).To(ContainElement(HaveField("Reason", velerov1.ReasonObjectNotFound)))
}

// restoreShop restores a backup into the namespace it came from, on an empty
// volume, compares the data and returns what scratch/notes.txt says.
func restoreShop(t *testing.T, c *suite.Cluster, backup *velerov1.Backup) string {
	t.Helper()
	g := NewWithT(t)
	c.DeleteNamespace(t, "shop")
	c.CleanNamespace(t, "shop")
	data := filepath.Join(c.StateDir, "volumes", "shop-data")
	g.Expect(os.RemoveAll(data)).To(Succeed())
	g.Expect(os.MkdirAll(data, 0o755)).To(Succeed())

	r := suite.NewRestore(backup, "")
	r.Namespace = compatNamespace
	c.RunRestore(t, r)

	g.Expect(r.Status.Phase).To(Or(Equal(velerov1.RestorePhaseCompleted), Equal(velerov1.RestorePhasePartiallyFailed)), "%+v", r.Status)
	g.Expect(r.Status.Errors).To(BeZero(), "%+v", r.Status)
	suite.ExpectFixtureData(t, c.ClaimDir(t, "shop", "data-db-0"))
	notes, err := os.ReadFile(filepath.Join(c.EmptyDir(c.RunningPods(t, "shop", "db", 1)[0], "scratch"), "notes.txt"))
	g.Expect(err).NotTo(HaveOccurred())
	return string(notes)
}

// expectOthersUnaffected takes one backup out of the bucket and puts bad ones in:
// the first disappears, the bad ones are named, and the other one stays.
func expectOthersUnaffected(t *testing.T, c *suite.Cluster, bucket string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(os.RemoveAll(filepath.Join(bucket, "backups", "shop-1"))).To(Succeed())
	for name, content := range map[string]string{
		"bad-json":  `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"bad-json"`,
		"bad-types": `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"bad-types"},"spec":{"ttl":[1]},"status":{"phase":"Completed"}}`,
		"bad-name":  `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"../../shop-2"},"status":{"phase":"Completed"}}`,
		"bad-size":  `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"` + strings.Repeat("x", 8<<20) + `"}}`,
	} {
		g.Expect(os.MkdirAll(filepath.Join(bucket, "backups", name), 0o755)).To(Succeed())
		g.Expect(os.WriteFile(filepath.Join(bucket, "backups", name, "velero-backup.json"), []byte(content), 0o644)).To(Succeed())
	}
	// Who cannot wait for the period asks for a sync.
	l := &velerov1.BackupStorageLocation{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: compatNamespace, Name: "default"}, l)).To(Succeed())
	before := l.DeepCopy()
	l.Status.LastSyncedTime = nil
	g.Expect(c.Client.Patch(t.Context(), l, client.MergeFrom(before))).To(Succeed())

	g.Eventually(func() ([]string, error) {
		list := &velerov1.BackupList{}
		err := c.Client.List(t.Context(), list, client.InNamespace(compatNamespace))
		var names []string
		for _, b := range list.Items {
			names = append(names, b.Name)
		}
		return names, err
	}, suite.Long).Should(Equal([]string{"shop-2"}))
	g.Eventually(func() ([]metav1.Condition, error) {
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(l), l)
		return l.Status.Conditions, err
	}, suite.Long).Should(ContainElement(And(
		HaveField("Type", velerov1.ConditionSynced), HaveField("Reason", velerov1.ReasonBackupsSkipped),
		HaveField("Message", And(ContainSubstring("bad-json: "), ContainSubstring("bad-name: "), ContainSubstring("bad-size: "), ContainSubstring("bad-types: "))),
	)))
	g.Expect(l.Status.Phase).To(Equal(velerov1.BackupStorageLocationPhaseAvailable))
}
