package suite

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Scale sets the number of pods of a Deployment and waits until it is so, and those
// that end have ended: until then they may still answer.
func (c *Cluster) Scale(t *testing.T, ns, name string, replicas int32) {
	t.Helper()
	g := NewWithT(t)
	// Also for cleanups, which run after the test's context has ended.
	ctx, cancel := context.WithTimeout(context.Background(), Long)
	defer cancel()
	key := client.ObjectKey{Namespace: ns, Name: name}
	d := &appsv1.Deployment{}
	g.Expect(c.Client.Get(ctx, key, d)).To(Succeed())
	before := d.DeepCopy()
	d.Spec.Replicas = &replicas
	g.Expect(c.Client.Patch(ctx, d, client.MergeFrom(before))).To(Succeed())
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(ctx, key, d)).To(Succeed())
		g.Expect(d.Status.ObservedGeneration).To(Equal(d.Generation))
		g.Expect(d.Status.Replicas).To(Equal(replicas))
		g.Expect(d.Status.ReadyReplicas).To(Equal(replicas))
		pods := &corev1.PodList{}
		g.Expect(c.Client.List(ctx, pods, client.InNamespace(ns), client.MatchingLabels(d.Spec.Selector.MatchLabels))).To(Succeed())
		g.Expect(pods.Items).To(HaveLen(int(replicas)))
	}, Long, tick).Should(Succeed())
}

// Remove deletes objects after a test.
func (c *Cluster) Remove(t *testing.T, objects ...client.Object) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Short)
	defer cancel()
	for _, o := range objects {
		NewWithT(t).Expect(client.IgnoreNotFound(c.Client.Delete(ctx, o))).To(Succeed())
	}
}

// SetRepositoryPassword replaces the repository password and returns the one it
// replaced.
func (c *Cluster) SetRepositoryPassword(t *testing.T, password []byte) []byte {
	t.Helper()
	g := NewWithT(t)
	ctx, cancel := context.WithTimeout(context.Background(), Short)
	defer cancel()
	s := &corev1.Secret{}
	g.Expect(c.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: "velero-repo-credentials"}, s)).To(Succeed())
	old := s.Data["repository-password"]
	s.Data["repository-password"] = password
	g.Expect(c.Client.Update(ctx, s)).To(Succeed())
	return old
}

// Mount mounts a tmpfs in the node and unmounts it after the test.
func (c *Cluster) Mount(t *testing.T, dir, options string) {
	t.Helper()
	g := NewWithT(t)
	out, err := c.inNode("sh", "-c", "mkdir -p "+dir+" && mount -t tmpfs -o "+options+" tmpfs "+dir)
	g.Expect(err).NotTo(HaveOccurred(), out)
	t.Cleanup(func() {
		out, err := c.inNode("umount", "-l", dir)
		g.Expect(err).NotTo(HaveOccurred(), out)
	})
}

func (c *Cluster) inNode(args ...string) (string, error) {
	out, err := exec.Command(filepath.Join(c.StateDir, "cluster"), append([]string{"exec", "--"}, args...)...).CombinedOutput()
	return string(out), err
}

// RestartComponent kills a component of the cluster as a crash would, starts it
// again, and returns when the API server answers.
func (c *Cluster) RestartComponent(t *testing.T, component string) {
	t.Helper()
	g := NewWithT(t)
	cmd := exec.Command(filepath.Join(c.StateDir, "cluster"), "restart", component)
	cmd.Env = append(cmd.Environ(), "PODKEEP_CLUSTER_DIR="+c.StateDir)
	out, err := cmd.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	g.Eventually(func() error {
		_, err := c.Clientset.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err
	}, Long, tick).Should(Succeed())
}

// RepositoryPassword is the password of the installation's repositories.
func (c *Cluster) RepositoryPassword(t *testing.T) string {
	t.Helper()
	s := &corev1.Secret{}
	NewWithT(t).Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: Namespace, Name: "velero-repo-credentials"}, s)).To(Succeed())
	return string(s.Data["repository-password"])
}
