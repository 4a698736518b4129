package faults

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// TestWatchdogStampsWhatTheWebhookHasMissed makes a pod while no webhook answers.
func TestWatchdogStampsWhatTheWebhookHasMissed(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	name := c.NewNamespace(t, "watchdog")
	ns := &corev1.Namespace{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: name}, ns)).To(Succeed())
	before := ns.DeepCopy()
	ns.Labels[velerov1.FSBackupLabel] = velerov1.FSBackupOptOut
	g.Expect(c.Client.Patch(t.Context(), ns, client.MergeFrom(before))).To(Succeed())
	c.Scale(t, suite.Namespace, "podkeep-webhook", 0)
	t.Cleanup(func() { c.Scale(t, suite.Namespace, "podkeep-webhook", 2) })
	pod := suite.Pod(name, "app")

	c.Apply(t, pod)

	g.Expect(pod.Annotations).NotTo(HaveKey(velerov1.SelectedVolumesAnnotation), "nobody has seen it")
	running := c.RunningPods(t, name, "app", 1)[0]
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		g.Expect(pod.Annotations).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, "data"))
		g.Expect(pod.Annotations).To(HaveKey(velerov1.SelectionInputsAnnotation))
	}, suite.Long, "500ms").Should(Succeed())
	g.Expect(pod.Status.ContainerStatuses[0].RestartCount).To(Equal(running.Status.ContainerStatuses[0].RestartCount), "it runs on")
	g.Expect(pod.UID).To(Equal(running.UID))
}
