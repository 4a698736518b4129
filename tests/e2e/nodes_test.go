package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// placeLabel says where the application of TestTwoNodes runs that moves.
const placeLabel = "podkeep.io/test-place"

// TestTwoNodes is not parallel: what others made would land on the second node.
//
// One application stays on each node and one moves: the node that it is backed up
// on is not the node that it is restored on.
func TestTwoNodes(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	c.AddSecondNode(t)
	c.LabelNode(t, suite.FirstNode, placeLabel, "here")
	t.Cleanup(func() { c.LabelNode(t, suite.FirstNode, placeLabel, "") })
	ns := c.NewNamespace(t, "nodes")
	c.Apply(t,
		onNode(suite.Deployment(ns, "first"), corev1.LabelHostname, suite.FirstNode),
		onNode(suite.Deployment(ns, "second"), corev1.LabelHostname, suite.SecondNode),
		placed(suite.StatefulSet(ns, "mover")))
	apps := map[string]string{"first": suite.FirstNode, "second": suite.SecondNode, "mover": suite.FirstNode}
	want := map[string][]suite.Entry{}
	for app, node := range apps {
		pod := c.RunningPods(t, ns, app, 1)[0]
		g.Expect(pod.Spec.NodeName).To(Equal(node), app)
		dir := volumeDir(t, c, pod)
		suite.Populate(t, dir)
		want[app] = readTree(g, dir)
	}

	b := c.RunBackup(t, suite.NewBackup(ns))

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	on := map[string]int{}
	for name, v := range c.VolumeBackups(t, b) {
		g.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCompleted), name)
		on[v.Spec.Node]++
	}
	g.Expect(on).To(Equal(map[string]int{suite.FirstNode: 2, suite.SecondNode: 1}), "each node's agent has its own")

	c.LabelNode(t, suite.FirstNode, placeLabel, "")
	c.LabelNode(t, suite.SecondNode, placeLabel, "here") // which goes with the node
	target := ns + "-copy"
	c.CleanNamespace(t, target)
	r := c.RunRestore(t, suite.NewRestore(b, target))

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	apps["mover"] = suite.SecondNode
	nodes := map[string]string{} // of the volume restores, by pod
	for _, v := range c.VolumeRestores(t, r) {
		nodes[v.Spec.Pod.Name] = v.Status.Node
	}
	for app, node := range apps {
		pod := c.RunningPods(t, target, app, 1)[0]
		g.Expect(pod.Spec.NodeName).To(Equal(node), app)
		g.Expect(nodes).To(HaveKeyWithValue(pod.Name, node))
		g.Expect(readTree(g, volumeDir(t, c, pod))).To(Equal(want[app]), app)
		g.Expect(c.FirstLog(t, pod, "app")).To(Equal(sawData), app)
	}
}

func onNode(d *appsv1.Deployment, label, value string) *appsv1.Deployment {
	d.Spec.Template.Spec.NodeSelector = map[string]string{label: value}
	return d
}

func placed(s *appsv1.StatefulSet) *appsv1.StatefulSet {
	s.Spec.Template.Spec.NodeSelector = map[string]string{placeLabel: "here"}
	return s
}

// volumeDir is the folder of volume "data" of a pod, a claim's or an emptyDir.
func volumeDir(t *testing.T, c *suite.Cluster, pod corev1.Pod) string {
	t.Helper()
	for _, v := range pod.Spec.Volumes {
		if v.Name == "data" && v.PersistentVolumeClaim != nil {
			return c.ClaimDir(t, pod.Namespace, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return c.EmptyDir(pod, "data")
}
