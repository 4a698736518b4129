package suite

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Names of the nodes. The second is there only when somebody has added it.
const (
	FirstNode  = "node1"
	SecondNode = "node2"
)

// AddSecondNode adds the cluster's second node, with a node agent that is ready,
// and removes it after the test, unless it was there before. A test that calls it
// must not be parallel: pods of others would be scheduled on that node too.
func (c *Cluster) AddSecondNode(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	err := c.Client.Get(t.Context(), client.ObjectKey{Name: SecondNode}, &corev1.Node{})
	if apierrors.IsNotFound(err) {
		c.command(t, "node", "add")
		t.Cleanup(func() { c.command(t, "node", "remove") })
	} else {
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Eventually(func(g Gomega) {
		agents, err := c.Clientset.AppsV1().DaemonSets(Namespace).Get(t.Context(), "node-agent", metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(agents.Status.DesiredNumberScheduled).To(BeEquivalentTo(2))
		g.Expect(agents.Status.NumberReady).To(BeEquivalentTo(2))
	}, Long, tick).Should(Succeed())
}

// command runs the cluster's command, as this tree has it.
func (c *Cluster) command(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"run", "./cmd/cluster"}, args...)...)
	cmd.Dir = filepath.Join(Root(), "tests", "cluster")
	cmd.Env = append(cmd.Environ(), "PODKEEP_CLUSTER_DIR="+c.StateDir)
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
}

// nodeDir is the folder of a node on this machine.
func (c *Cluster) nodeDir(node string) string {
	if node == SecondNode {
		return filepath.Join(c.StateDir, node)
	}
	return c.StateDir
}

// LabelNode sets a label of a node, or removes it when value is "".
func (c *Cluster) LabelNode(t *testing.T, node, key, value string) {
	t.Helper()
	g := NewWithT(t)
	ctx := context.WithoutCancel(t.Context()) // also in a cleanup
	n := &corev1.Node{}
	g.Expect(c.Client.Get(ctx, client.ObjectKey{Name: node}, n)).To(Succeed())
	before := n.DeepCopy()
	n.Labels[key] = value
	if value == "" {
		delete(n.Labels, key)
	}
	g.Expect(c.Client.Patch(ctx, n, client.MergeFrom(before))).To(Succeed())
}
