// Package e2e tells user stories on a real cluster.
package e2e

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// shop is a namespace with one application of each kind and what the volumes
// held when they were backed up.
type shop struct {
	namespace string
	emptyDir  []suite.Entry
	claim     []suite.Entry
}

const (
	sawData = "at start: the data is here"
	deploy  = "web"
	set     = "db"
)

func newShop(t *testing.T, c *suite.Cluster) shop {
	t.Helper()
	g := NewWithT(t)
	s := shop{namespace: c.NewNamespace(t, "shop")}
	c.Apply(t,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "settings"}, Data: map[string]string{"color": "blue"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "keys"}, Data: map[string][]byte{"key": {0, 1, 2, 255}}},
		suite.Deployment(s.namespace, deploy),
		suite.StatefulSet(s.namespace, set),
	)
	web := c.RunningPods(t, s.namespace, deploy, 1)[0]
	c.RunningPods(t, s.namespace, set, 1)
	suite.Populate(t, c.EmptyDir(web, "data"))
	suite.Populate(t, c.ClaimDir(t, s.namespace, "data-db-0"))
	s.emptyDir = readTree(g, c.EmptyDir(web, "data"))
	s.claim = readTree(g, c.ClaimDir(t, s.namespace, "data-db-0"))
	return s
}

func readTree(g *WithT, dir string) []suite.Entry {
	entries, err := suite.ReadTree(dir)
	g.Expect(err).NotTo(HaveOccurred())
	return entries
}

// expectRestored checks everything of a shop in the namespace it was restored to.
func (s shop) expectRestored(t *testing.T, c *suite.Cluster, ns string) {
	t.Helper()
	g := NewWithT(t)

	web := c.RunningPods(t, ns, deploy, 1)[0]
	db := c.RunningPods(t, ns, set, 1)[0]
	g.Expect(readTree(g, c.EmptyDir(web, "data"))).To(Equal(s.emptyDir))
	g.Expect(readTree(g, c.ClaimDir(t, ns, "data-db-0"))).To(Equal(s.claim))
	g.Expect(c.FirstLog(t, web, "app")).To(Equal(sawData), "the application ran before its data was there")
	g.Expect(c.FirstLog(t, db, "app")).To(Equal(sawData), "the application ran before its data was there")

	settings, keys := &corev1.ConfigMap{}, &corev1.Secret{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "settings"}, settings)).To(Succeed())
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "keys"}, keys)).To(Succeed())
	g.Expect(settings.Data).To(HaveKeyWithValue("color", "blue"))
	g.Expect(keys.Data).To(HaveKeyWithValue("key", []byte{0, 1, 2, 255}))
}

func TestNamespaceComesBack(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	s := newShop(t, c)

	b := c.RunBackup(t, suite.NewBackup(s.namespace))

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	volumes := c.VolumeBackups(t, b)
	g.Expect(volumes).To(HaveLen(2))
	for name, v := range volumes {
		g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCompleted), name)
		g.Expect(v.Status.SkippedFiles).To(BeEquivalentTo(suite.SkippedByPopulate), name)
		g.Expect(v.Status.Message).To(ContainSubstring("queue.fifo"), "what was skipped is named")
	}

	t.Run("in another namespace by mapping", func(t *testing.T) {
		g := NewWithT(t)
		target := s.namespace + "-copy"
		c.CleanNamespace(t, target)

		r := c.RunRestore(t, suite.NewRestore(b, target))

		g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
		s.expectRestored(t, c, target)
	})
	t.Run("in its own place after it was deleted", func(t *testing.T) {
		g := NewWithT(t)
		c.DeleteNamespace(t, s.namespace)

		r := c.RunRestore(t, suite.NewRestore(b, ""))

		g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
		s.expectRestored(t, c, s.namespace)
		ns := &corev1.Namespace{}
		g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: s.namespace}, ns)).To(Succeed())
		g.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel), "the restore is over")
	})
}

func TestSecondBackupUploadsOnlyTheChange(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	s := newShop(t, c)
	first := c.RunBackup(t, suite.NewBackup(s.namespace))
	g.Expect(first.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	changed := []byte("this file changed\n")
	for _, v := range c.VolumeBackups(t, first) {
		g.Expect(v.Status.IncrementalBytes).To(BeNumerically(">", 5<<20), "the first backup is full: "+v.Spec.Volume)
	}

	// The Deployment's pod is replaced: a new pod, a new name, a new empty volume
	// with the same content and one changed file.
	web := c.RunningPods(t, s.namespace, deploy, 1)[0]
	g.Expect(c.Client.Delete(t.Context(), &web)).To(Succeed())
	var replaced corev1.Pod
	g.Eventually(func() string {
		replaced = c.RunningPods(t, s.namespace, deploy, 1)[0]
		return replaced.Name
	}, suite.Long).ShouldNot(Equal(web.Name))
	suite.Populate(t, c.EmptyDir(replaced, "data"))
	for _, dir := range []string{c.EmptyDir(replaced, "data"), c.ClaimDir(t, s.namespace, "data-db-0")} {
		g.Expect(os.WriteFile(filepath.Join(dir, "changed"), changed, 0o600)).To(Succeed())
	}
	stored := bytesIn(t, bucketDir(c, "kopia", s.namespace))
	second := c.RunBackup(t, suite.NewBackup(s.namespace))

	g.Expect(second.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	volumes := c.VolumeBackups(t, second)
	g.Expect(volumes).To(HaveLen(2))
	for name, v := range volumes {
		g.Expect(v.Status.IncrementalBytes).To(BeEquivalentTo(len(changed)), name)
		g.Expect(v.Status.Progress.TotalBytes).To(BeNumerically(">", 5<<20), name)
	}
	g.Expect(bytesIn(t, bucketDir(c, "kopia", s.namespace))-stored).To(BeNumerically("<", 1<<20), "directories and the index are new")
}
