package e2e

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

const (
	gateName  = "restore-wait"
	markerDir = ".velero"
)

// TestGateBesideAMesh restores a pod that was saved with the gates of two earlier
// restores into namespaces with a mesh: before podkeep and after it, and asked again
// or not. Only the user of the application may look into its volume.
func TestGateBesideAMesh(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "neighbours")
	pod := suite.Pod(ns, "app")
	pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: ptr.To[int64](999)}
	for _, name := range []string{"seed", "restic-wait", gateName} {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{
			Name: name, Image: suite.Image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"true"}, Args: []string{"old-uid"},
		})
	}
	c.Apply(t, pod)
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	g.Expect(os.Chown(dir, 999, 999)).To(Succeed())
	g.Expect(os.Chmod(dir, 0o700)).To(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	want, err := suite.ReadTree(dir)
	g.Expect(err).NotTo(HaveOccurred())

	tests := map[string]struct {
		name  string // of the mesh's configuration; podkeep's is "podkeep-velero"
		again admissionregistrationv1.ReinvocationPolicyType
	}{
		"before podkeep":                  {"a-mesh", admissionregistrationv1.NeverReinvocationPolicy},
		"before podkeep, and asked again": {"a-mesh", admissionregistrationv1.IfNeededReinvocationPolicy},
		"after podkeep":                   {"z-mesh", admissionregistrationv1.NeverReinvocationPolicy},
		"after podkeep, and asked again":  {"z-mesh", admissionregistrationv1.IfNeededReinvocationPolicy},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			target := newMesh(t, c, tc.name, tc.again)

			r := c.RunRestore(t, suite.NewRestore(b, target))

			g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
			restored := c.RunningPods(t, target, "app", 1)[0]
			g.Expect(containerNames(restored.Spec.InitContainers)).To(Equal([]string{gateName, meshInit[0], meshInit[1], "seed"}))
			g.Expect(restored.Spec.InitContainers[0].Args).To(Equal([]string{string(r.UID)}))
			g.Expect(containerNames(restored.Spec.Containers)).To(Equal([]string{"mesh-agent", "app"}))
			g.Expect(c.FirstLog(t, restored, "app")).To(Equal("at start: the data is here"))
			got, err := suite.ReadTree(c.EmptyDir(restored, "data"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(want), "the marker is removed")
		})
	}
}

// newStrictNamespace makes a namespace that enforces the Pod Security Standard
// "restricted", bounds every container, and has a quota that the two pods of
// newStrictPods use up. The defaults of Velero's gate (100m, 128Mi) are beyond both.
func newStrictNamespace(t *testing.T, c *suite.Cluster) string {
	t.Helper()
	ns := c.NewNamespace(t, "strict")
	labelNamespace(t, c, ns, "pod-security.kubernetes.io/enforce", "restricted")
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	c.Apply(t,
		&corev1.LimitRange{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bounds"},
			Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
				Type: corev1.LimitTypeContainer,
				Min:  list("10m", "24Mi"), Max: list("60m", "64Mi"), DefaultRequest: list("20m", "32Mi"), Default: list("50m", "48Mi"),
			}}},
		},
		&corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "quota"},
			Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
				corev1.ResourcePods:           resource.MustParse("2"),
				corev1.ResourceRequestsCPU:    resource.MustParse("40m"),
				corev1.ResourceRequestsMemory: resource.MustParse("64Mi"),
				corev1.ResourceLimitsCPU:      resource.MustParse("100m"),
				corev1.ResourceLimitsMemory:   resource.MustParse("96Mi"),
			}},
		})
	return ns
}

// newStrictPods are pods that "restricted" allows: one says at the pod who it is and
// to which group its volumes belong, the other at its container.
func newStrictPods(ns string) []*corev1.Pod {
	container := &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	group := suite.Pod(ns, "group")
	group.Spec.SecurityContext = &corev1.PodSecurityContext{
		RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](4242), FSGroup: ptr.To[int64](4343),
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	group.Spec.Containers[0].SecurityContext = container
	user := suite.Pod(ns, "user")
	user.Spec.Containers[0].SecurityContext = container.DeepCopy()
	user.Spec.Containers[0].SecurityContext.RunAsNonRoot = ptr.To(true)
	user.Spec.Containers[0].SecurityContext.RunAsUser = ptr.To[int64](4242)
	user.Spec.Containers[0].SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	return []*corev1.Pod{group, user}
}

func TestGateInAStrictNamespace(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns, target := newStrictNamespace(t, c), newStrictNamespace(t, c)
	for _, p := range newStrictPods(ns) {
		g.Eventually(c.Client.Create).WithArguments(t.Context(), p).WithTimeout(suite.Short).Should(Succeed(), "until the quota is counted")
		dir := c.EmptyDir(c.RunningPods(t, ns, p.Name, 1)[0], "data")
		g.Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
		if p.Name == "user" { // nobody else may look into it
			g.Expect(os.Chown(dir, 4242, 4242)).To(Succeed())
			g.Expect(os.Chmod(dir, 0o700)).To(Succeed())
		}
	}
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)

	r := c.RunRestore(t, suite.NewRestore(b, target))

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	for _, name := range []string{"group", "user"} {
		p := c.RunningPods(t, target, name, 1)[0]
		g.Expect(containerNames(p.Spec.InitContainers)).To(Equal([]string{gateName}))
		g.Expect(p.Spec.InitContainers[0].Resources.Limits.Memory().String()).To(Equal("48Mi"), name)
		g.Expect(c.FirstLog(t, p, "app")).To(Equal("at start: the data is here"), name)
		g.Expect(filepath.Join(c.EmptyDir(p, "data"), markerDir)).NotTo(BeADirectory(), "the gate of %s could not remove its marker", name)
	}
}

// TestWebhookIsRestricted has the API server judge the pods of the installation.
func TestWebhookIsRestricted(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "restricted")
	labelNamespace(t, c, ns, "pod-security.kubernetes.io/enforce", "restricted")
	d, err := c.Clientset.AppsV1().Deployments(suite.Namespace).Get(t.Context(), suite.WebhookName, metav1.GetOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	p := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
	p.Namespace, p.Name, p.Spec.ServiceAccountName = ns, "webhook", "default"

	g.Eventually(func() error { // until the namespace has its service account
		return c.Client.Create(t.Context(), p.DeepCopy(), client.DryRunAll)
	}, suite.Short).Should(Succeed())
	bad := p.DeepCopy()
	bad.Spec.SecurityContext = nil
	g.Expect(c.Client.Create(t.Context(), bad, client.DryRunAll)).To(MatchError(ContainSubstring("violates PodSecurity")))
}
