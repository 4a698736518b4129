package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

const apiServer = "kube-apiserver"

// volumesOf are the volume restores of a restore; two of one volume are two.
func volumesOf(t *testing.T, c *suite.Cluster, r *velerov1.Restore) []velerov1.PodVolumeRestore {
	t.Helper()
	list := &velerov1.PodVolumeRestoreList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), list, client.InNamespace(suite.Namespace),
		client.MatchingLabels{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(r.Name)})).To(Succeed())
	return list.Items
}

func podsIn(t *testing.T, c *suite.Cluster, ns string) []corev1.Pod {
	t.Helper()
	pods := &corev1.PodList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), pods, client.InNamespace(ns))).To(Succeed())
	return pods.Items
}

func TestAPIServerRestartsDuringBackup(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	a := newBigApp(t, c)
	b := suite.NewBackup(a.namespace)
	c.Apply(t, b)
	waitBackupMoves(t, c, b)

	c.RestartComponent(t, apiServer)

	c.FinishedBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	g.Expect(c.VolumeBackups(t, b)).To(HaveLen(1))
	r, target := a.restoreCopy(t, c, b)
	waitRestoreMoves(t, c, r)

	// The same in the middle of the restore.
	c.RestartComponent(t, apiServer)

	c.FinishedRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	a.expectRestored(t, c, target)
	g.Expect(volumesOf(t, c, r)).To(HaveLen(1))
	g.Expect(podsIn(t, c, target)).To(HaveLen(1))
}

// TestAPIServerRestartsWhileItemsAreRead has the API server gone when the first
// item is read and when the first one is made.
func TestAPIServerRestartsWhileItemsAreRead(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "fault")
	const items = 300 // and kube-root-ca.crt, which comes when its controller has found the API server again
	for i := range items {
		c.Apply(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("item-%d", i)}})
	}
	b := suite.NewBackup(ns)
	c.Apply(t, b)

	c.RestartComponent(t, apiServer)

	c.FinishedBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	r := suite.NewRestore(b, "")
	r.Spec.NamespaceMapping = map[string]string{ns: r.Name}
	c.CleanNamespace(t, r.Name)
	c.Apply(t, r)
	g.Eventually(func() ([]corev1.ConfigMap, error) {
		list := &corev1.ConfigMapList{}
		err := c.Client.List(t.Context(), list, client.InNamespace(r.Name))
		return list.Items, err
	}, suite.Long, "20ms").ShouldNot(BeEmpty())

	c.RestartComponent(t, apiServer)

	c.FinishedRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	restored := &corev1.ConfigMapList{}
	g.Expect(c.Client.List(t.Context(), restored, client.InNamespace(r.Name))).To(Succeed())
	ours := slices.DeleteFunc(restored.Items, func(m corev1.ConfigMap) bool { return !strings.HasPrefix(m.Name, "item-") })
	g.Expect(ours).To(HaveLen(items))
}

// twiceApp is an application that has been backed up, and its first restore.
type twiceApp struct {
	backup *velerov1.Backup
	target string
}

func newTwiceApp(t *testing.T, c *suite.Cluster) twiceApp {
	t.Helper()
	g := NewWithT(t)
	ns := c.NewNamespace(t, "fault")
	c.Apply(t, suite.StatefulSet(ns, "app"), settings(ns))
	c.RunningPods(t, ns, "app", 1)
	g.Expect(os.WriteFile(filepath.Join(c.ClaimDir(t, ns, "data-app-0"), "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	a := twiceApp{backup: b, target: ns + "-copy"}
	c.CleanNamespace(t, a.target)
	return a
}

// expectOnce checks that everything is there, and nothing twice.
func (a twiceApp) expectOnce(t *testing.T, c *suite.Cluster) corev1.Pod {
	t.Helper()
	g := NewWithT(t)
	pod := c.RunningPods(t, a.target, "app", 1)[0]
	g.Expect(podsIn(t, c, a.target)).To(HaveLen(1))
	claims := &corev1.PersistentVolumeClaimList{}
	g.Expect(c.Client.List(t.Context(), claims, client.InNamespace(a.target))).To(Succeed())
	g.Expect(claims.Items).To(HaveLen(1))
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: a.target, Name: "settings"}, &corev1.ConfigMap{})).To(Succeed())
	return pod
}

func TestRestoringTwiceLeavesTheFirstAlone(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	a := newTwiceApp(t, c)
	first := c.RunRestore(t, suite.NewRestore(a.backup, a.target))
	g.Expect(first.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", first.Status)
	before := a.expectOnce(t, c)
	file := filepath.Join(c.ClaimDir(t, a.target, "data-app-0"), "sentinel")
	g.Expect(os.WriteFile(file, []byte("written since\n"), 0o644)).To(Succeed())

	second := c.RunRestore(t, suite.NewRestore(a.backup, a.target))

	g.Expect(second.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", second.Status)
	g.Expect(second.Status.Warnings).To(BeNumerically(">", 0), "it says that the data was left alone")
	g.Expect(volumesOf(t, c, second)).To(BeEmpty())
	after := a.expectOnce(t, c)
	g.Expect(after.UID).To(Equal(before.UID))
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(content)).To(Equal("written since\n"))
}

func TestTwoRestoresAtOnceRestoreOnce(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	a := newTwiceApp(t, c)
	one, other := suite.NewRestore(a.backup, a.target), suite.NewRestore(a.backup, a.target)

	c.Apply(t, one, other)
	c.FinishedRestore(t, one)
	c.FinishedRestore(t, other)

	pod := a.expectOnce(t, c)
	g.Expect(c.FirstLog(t, pod, "app")).To(Equal("at start: the data is here"))
	g.Expect(append(volumesOf(t, c, one), volumesOf(t, c, other)...)).To(HaveLen(1), "the volume is filled by one of them")
	for _, r := range []*velerov1.Restore{one, other} {
		g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%s: %+v", r.Name, r.Status)
	}
}

// TestRestoreIntoATerminatingNamespace waits for the namespace to be gone.
func TestRestoreIntoATerminatingNamespace(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	a := newTwiceApp(t, c)
	holding := settings(a.target)
	holding.Name, holding.Finalizers = "holding", []string{"podkeep.io/test"}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.target}}
	c.Apply(t, ns, holding)
	release := func() {
		before := holding.DeepCopy()
		holding.Finalizers = nil
		ctx := context.WithoutCancel(t.Context()) // also in the cleanup
		g.Expect(client.IgnoreNotFound(c.Client.Patch(ctx, holding, client.MergeFrom(before)))).To(Succeed())
	}
	t.Cleanup(release)
	g.Expect(c.Client.Delete(t.Context(), ns)).To(Succeed())
	r := suite.NewRestore(a.backup, a.target)
	c.Apply(t, r)
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
		g.Expect(r.Status.Conditions).To(ContainElement(And(
			HaveField("Reason", velerov1.ReasonNamespaceTerminating), HaveField("Message", ContainSubstring(a.target)))))
	}, suite.Short).Should(Succeed(), "the restore says what it waits for")

	release()

	c.FinishedRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	g.Expect(c.FirstLog(t, a.expectOnce(t, c), "app")).To(Equal("at start: the data is here"))
}
