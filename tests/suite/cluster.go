// Package suite is what the tests on a real cluster share: a connection, sample
// applications, a look into their volumes, and waiting.
//
// It takes the cluster of tests/cluster: volumes are read and written through
// their folders on this machine, where every attribute can be seen.
package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Namespace is where podkeep is installed in the test cluster.
const Namespace = "velero"

// Timeouts of conditions. They are bounds for a test that fails, not claims
// about speed: the machines are small and noisy.
const (
	Long  = 4 * time.Minute
	Short = time.Minute
	tick  = 100 * time.Millisecond
)

// Cluster is a connection to the test cluster.
type Cluster struct {
	Client     client.WithWatch
	Clientset  kubernetes.Interface
	Config     *rest.Config
	StateDir   string // folder of the cluster on this machine
	Kubeconfig string
}

// Connect returns the cluster that PODKEEP_KUBECONFIG names, or skips the test.
func Connect(t *testing.T) *Cluster {
	t.Helper()
	kubeconfig := os.Getenv("PODKEEP_KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("needs a cluster: run make test, or PODKEEP_KUBECONFIG=$(make cluster-kubeconfig) go test after make cluster-up")
	}
	c, err := New(kubeconfig)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

// New connects to the cluster of a kubeconfig.
func New(kubeconfig string) (*Cluster, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	cfg.QPS, cfg.Burst = 200, 400
	log.SetLogger(logr.Discard())
	scheme := runtime.NewScheme() // tests connect in parallel, and the global one is not for that
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), velerov1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c := &Cluster{Config: cfg, Kubeconfig: kubeconfig, StateDir: filepath.Dir(kubeconfig)}
	if c.Client, err = client.NewWithWatch(cfg, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	c.Clientset, err = kubernetes.NewForConfig(cfg)
	return c, err
}

// NewNamespace makes a namespace that is deleted after the test.
func (c *Cluster) NewNamespace(t *testing.T, prefix string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	NewWithT(t).Expect(c.Client.Create(t.Context(), ns)).To(Succeed())
	t.Cleanup(func() { c.removeNamespace(ns.Name) })
	return ns.Name
}

// removeNamespace starts the deletion; nothing waits for it.
func (c *Cluster) removeNamespace(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), Short)
	defer cancel()
	_ = c.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

// CleanNamespace deletes a namespace that a restore makes, after the test.
func (c *Cluster) CleanNamespace(t *testing.T, name string) {
	t.Helper()
	t.Cleanup(func() { c.removeNamespace(name) })
}

// DeleteNamespace deletes a namespace and waits until it is gone.
func (c *Cluster) DeleteNamespace(t *testing.T, name string) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(client.IgnoreNotFound(c.Client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))).To(Succeed())
	g.Eventually(func() bool {
		err := c.Client.Get(t.Context(), client.ObjectKey{Name: name}, &corev1.Namespace{})
		return apierrors.IsNotFound(err)
	}, Long, tick).Should(BeTrue(), "namespace "+name+" is still there")
}

// Apply creates objects.
func (c *Cluster) Apply(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		NewWithT(t).Expect(c.Client.Create(t.Context(), o)).To(Succeed(), o.GetName())
	}
}

// RunningPods returns the pods with the label app=name once want of them are
// ready.
func (c *Cluster) RunningPods(t *testing.T, ns, app string, want int) []corev1.Pod {
	t.Helper()
	var ready []corev1.Pod
	NewWithT(t).Eventually(func() ([]corev1.Pod, error) {
		pods := &corev1.PodList{}
		if err := c.Client.List(t.Context(), pods, client.InNamespace(ns), client.MatchingLabels{"app": app}); err != nil {
			return nil, err
		}
		ready = nil
		for _, p := range pods.Items {
			if p.DeletionTimestamp.IsZero() && isReady(p) {
				ready = append(ready, p)
			}
		}
		return ready, nil
	}, Long, tick).Should(HaveLen(want), fmt.Sprintf("ready pods %s/%s", ns, app))
	return ready
}

func isReady(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// EmptyDir is the folder of a pod's emptyDir volume.
func (c *Cluster) EmptyDir(p corev1.Pod, volume string) string {
	return filepath.Join(c.nodeDir(p.Spec.NodeName), "kubelet", "pods", string(p.UID), "volumes", "kubernetes.io~empty-dir", volume)
}

// ClaimDir is the folder of a claim's local PersistentVolume.
func (c *Cluster) ClaimDir(t *testing.T, ns, claim string) string {
	t.Helper()
	g := NewWithT(t)
	pvc := &corev1.PersistentVolumeClaim{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: claim}, pvc)).To(Succeed())
	pv := &corev1.PersistentVolume{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: pvc.Spec.VolumeName}, pv)).To(Succeed())
	g.Expect(pv.Spec.Local).NotTo(BeNil())
	return filepath.Join(c.StateDir, strings.TrimPrefix(pv.Spec.Local.Path, "/srv/"))
}

// FirstLog returns what a container printed first in its first run.
func (c *Cluster) FirstLog(t *testing.T, p corev1.Pod, container string) string {
	t.Helper()
	g := NewWithT(t)
	var first string
	g.Eventually(func() (string, error) {
		raw, err := c.Clientset.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: container}).DoRaw(t.Context())
		line, _, _ := bytes.Cut(raw, []byte("\n"))
		first = string(line)
		return first, err
	}, Short, tick).ShouldNot(BeEmpty())
	return first
}

// Image is the image that the test cluster's podkeep runs.
func (c *Cluster) Image(t *testing.T) string {
	t.Helper()
	// Also for cleanups, which run after the test's context has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), Short)
	defer cancel()
	d, err := c.Clientset.AppsV1().Deployments(Namespace).Get(ctx, "velero", metav1.GetOptions{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return d.Spec.Template.Spec.Containers[0].Image
}
