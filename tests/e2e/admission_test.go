package e2e

import (
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// warnings collects what kubectl would print.
type warnings struct {
	mu    sync.Mutex
	texts []string // guarded by mu
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) get() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.texts...)
}

func TestSelectionIsStampedInLabelledNamespaces(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "policy")
	labelNamespace(t, c, ns, velerov1.FSBackupLabel, velerov1.FSBackupOptOut)
	pod := suite.Pod(ns, "app")
	pod.Annotations = map[string]string{
		velerov1.VolumesToExcludeAnnotation: " scratch , typo",
		velerov1.VolumesToBackupAnnotation:  "scratch", // an exclude goes before
	}
	for _, name := range []string{"scratch", "config"} {
		v := corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
		if name == "config" {
			v.VolumeSource = corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}}}
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, v)
		pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/" + name})
	}
	cfg, said := rest.CopyConfig(c.Config), &warnings{}
	cfg.WarningHandler = said
	warned, err := client.New(cfg, client.Options{Scheme: c.Client.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())

	// The label was set a moment ago; the webhook's cache may not have it yet, and
	// the API server does not call a webhook for a namespace it knows without label.
	g.Eventually(func(g Gomega) {
		p := pod.DeepCopy()
		g.Expect(client.IgnoreNotFound(warned.Delete(t.Context(), p))).To(Succeed())
		g.Expect(warned.Create(t.Context(), p)).To(Succeed())
		g.Expect(p.Annotations).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, "data"))
		g.Expect(p.Annotations[velerov1.SkippedVolumesAnnotation]).To(And(ContainSubstring("scratch=ExcludedByPod"), ContainSubstring("config=ManagedByKubernetes")))
	}, suite.Short).Should(Succeed())
	g.Expect(said.get()).To(ContainElement(ContainSubstring("typo")))

	c.RunningPods(t, ns, "app", 1)
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	g.Expect(c.VolumeBackups(t, b)).To(And(HaveLen(1), HaveKey(ns+"/app/data")))
}

func labelNamespace(t *testing.T, c *suite.Cluster, name, key, value string) {
	t.Helper()
	g := NewWithT(t)
	ns := &corev1.Namespace{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: name}, ns)).To(Succeed())
	before := ns.DeepCopy()
	ns.Labels[key] = value
	g.Expect(c.Client.Patch(t.Context(), ns, client.MergeFrom(before))).To(Succeed())
}

// TestGateIsTuned is not parallel: the ConfigMap is every restore's.
func TestGateIsTuned(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "gate")
	c.Apply(t, suite.Pod(ns, "app"))
	c.RunningPods(t, ns, "app", 1)
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	settings := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: suite.Namespace, Name: "fs-restore-action-config",
			Labels: map[string]string{
				velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: velerov1.RestoreItemActionKind,
				velerov1.ConfigLabel: velerov1.ConfigUnchecked, // as if the webhook had been away when it was written
			},
		},
		Data: map[string]string{"cpuRequest": "20m", "memLimit": "0", "secCtxRunAsUser": "4242", "cpuLimit": "plenty"},
	}
	c.Apply(t, settings)
	t.Cleanup(func() { c.Remove(t, settings) })
	target := ns + "-copy"
	c.CleanNamespace(t, target)

	var gate corev1.Container
	var r *velerov1.Restore
	g.Eventually(func(g Gomega) { // until the webhook's cache has the ConfigMap
		c.DeleteNamespace(t, target)
		r = c.RunRestore(t, suite.NewRestore(b, target))
		pod := &corev1.Pod{}
		g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: target, Name: "app"}, pod)).To(Succeed())
		gate = pod.Spec.InitContainers[0]
		g.Expect(gate.Name).To(Equal("restore-wait"))
		g.Expect(gate.Resources.Requests.Cpu().Equal(resource.MustParse("20m"))).To(BeTrue())
	}, suite.Long).Should(Succeed())

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	g.Expect(gate.Args).To(Equal([]string{string(r.UID)}))
	g.Expect(gate.Resources.Limits).NotTo(HaveKey(corev1.ResourceMemory), "0 means no limit")
	g.Expect(gate.Resources.Limits.Cpu().String()).To(Equal("100m"), "a value that does not parse falls back to the default")
	g.Expect(gate.SecurityContext.RunAsUser).To(HaveValue(BeEquivalentTo(4242)))
	g.Expect(r.Status.Conditions).To(ContainElement(And(HaveField("Type", velerov1.ConditionGateConfigured), HaveField("Message", ContainSubstring("plenty")))))
	g.Eventually(func(g Gomega) {
		events, err := c.Clientset.EventsV1().Events(suite.Namespace).List(t.Context(), metav1.ListOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(events.Items).To(ContainElement(And(HaveField("Regarding.Name", settings.Name), HaveField("Note", ContainSubstring("plenty")))))
	}, suite.Short).Should(Succeed(), "the ConfigMap has an event")
}
