package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/tests/suite"
)

const (
	// crowdPods are restored at once, each with a volume that has data.
	crowdPods = 1000

	// crowdRunning of them can be scheduled. The others ask for a node that does not
	// exist: a machine of two cores runs no thousand pods.
	crowdRunning = 10

	nowhereKey = "podkeep.io/no-such-node"

	// stoppedWithin is the promise of a cancel, whatever waits (issue 3, 4).
	stoppedWithin = 10 * time.Second
)

// crowdOf is a backup of many pods, made from the backup of one: all have the
// snapshot of its volume.
func crowdOf(t *testing.T, h hostileBucket) storedBackup {
	t.Helper()
	g := NewWithT(t)
	crowd := h.stored.as(t, h.healthy.Name+"-crowd")
	archive := crowd.objects[layout.BackupContents(crowd.name)]
	volumesKey := layout.BackupPodVolumeBackups(crowd.name)
	var volumes []velerov1.PodVolumeBackup
	g.Expect(layout.DecodeJSONGzip(bytes.NewReader(crowd.objects[volumesKey]), &volumes)).To(Succeed())
	g.Expect(volumes).To(HaveLen(1))
	var entries []tarEntry
	for i := range crowdPods {
		pod := suite.Pod(h.namespace, crowdPod(i))
		pod.APIVersion, pod.Kind = "v1", "Pod"
		pod.Labels["crowd"] = "yes"
		if i >= crowdRunning {
			pod.Spec.NodeSelector = map[string]string{nowhereKey: "x"}
		}
		object, err := json.Marshal(pod)
		g.Expect(err).NotTo(HaveOccurred())
		entries = append(entries, tarEntry{name: "resources/pods/namespaces/" + h.namespace + "/" + pod.Name + ".json", body: string(object)})
		v := *volumes[0].DeepCopy()
		v.Name = fmt.Sprintf("%s-%d", crowd.name, i)
		v.Spec.Pod.Name = pod.Name
		volumes = append(volumes, v)
	}
	crowd.objects[layout.BackupContents(crowd.name)] = archiveWith(t, archive, entries...)
	var content bytes.Buffer
	g.Expect(layout.EncodeJSONGzip(&content, volumes)).To(Succeed())
	crowd.objects[volumesKey] = content.Bytes()
	return crowd
}

func crowdPod(i int) string { return fmt.Sprintf("crowd-%04d", i) }

// TestAThousandRestoredPodsAtOnce restores a thousand pods with data, of which few
// can run: each is there once, waits for its data behind one gate and has one
// volume restore; those that can run do, on their data, while the others wait; and
// asked to stop, the restore ends.
func TestAThousandRestoredPodsAtOnce(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	h := newHostileBucket(t, c)
	crowd := crowdOf(t, h)
	crowd.write(t, h.dir)
	b := crowd.backup(t, suite.Namespace)
	g.Expect(client.IgnoreAlreadyExists(c.Client.Create(t.Context(), b.DeepCopy()))).To(Succeed())
	server := serverPod(t, c)
	r := suite.NewRestore(b, "")
	r.Spec.NamespaceMapping = map[string]string{h.namespace: r.Name}
	c.CleanNamespace(t, r.Name)
	c.Apply(t, r)

	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
		g.Expect(r.IsFinished()).To(BeFalse(), "%+v", r.Status)
		g.Expect(volumesOf(t, c, r)).To(HaveLen(crowdPods + 1))
	}, suite.Long, "1s").Should(Succeed())
	expectCrowd(t, c, r)
	running := func() []corev1.Pod { return c.RunningPods(t, r.Name, "app", 1) }
	for i := range crowdRunning {
		pod := c.RunningPods(t, r.Name, crowdPod(i), 1)[0]
		if i == 0 {
			g.Expect(c.FirstLog(t, pod, "app")).To(Equal("at start: the data is here"))
		}
	}
	g.Expect(running()).To(HaveLen(1), "the pod that was backed up")
	cancelCrowd(t, c, r)
	g.Expect(serverPod(t, c).Status.ContainerStatuses[0].RestartCount).To(Equal(server.Status.ContainerStatuses[0].RestartCount))
}

// expectCrowd checks every pod and every volume restore.
func expectCrowd(t *testing.T, c *suite.Cluster, r *velerov1.Restore) {
	t.Helper()
	g := NewWithT(t)
	pods := podsIn(t, c, r.Name)
	g.Expect(pods).To(HaveLen(crowdPods + 1))
	gated := map[string]bool{} // by UID
	for _, p := range pods {
		g.Expect(p.Spec.InitContainers).To(HaveLen(1), p.Name)
		g.Expect(p.Spec.InitContainers[0].Name).To(Equal(injector.GateName))
		gated[string(p.UID)] = true
	}
	for _, v := range volumesOf(t, c, r) {
		g.Expect(gated).To(HaveKey(string(v.Spec.Pod.UID)), "one volume restore for each pod: %s", v.Name)
		delete(gated, string(v.Spec.Pod.UID))
	}
	g.Expect(gated).To(BeEmpty())
}

// cancelCrowd stops the restore, and expects nothing of it to go on.
func cancelCrowd(t *testing.T, c *suite.Cluster, r *velerov1.Restore) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
	before := r.DeepCopy()
	r.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "a test"}
	g.Expect(c.Client.Patch(t.Context(), r, client.MergeFrom(before))).To(Succeed())
	asked := time.Now()
	c.FinishedRestore(t, r)
	took := time.Since(asked)
	t.Logf("%d volumes were canceled in %s", crowdPods-crowdRunning, took.Round(100*time.Millisecond))
	g.Expect(took).To(BeNumerically("<", stoppedWithin))
	g.Eventually(func() []velerov1.PodVolumeRestore { return volumesOf(t, c, r) }, suite.Short, "1s").Should(
		HaveEach(Satisfy(func(v velerov1.PodVolumeRestore) bool { return v.IsFinished() })), "nobody is left to move data later")
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed), "%+v", r.Status)
	g.Expect(r.Status.FailureReason).To(ContainSubstring("a test"))
	movers := &corev1.PodList{}
	g.Eventually(func() ([]corev1.Pod, error) {
		err := c.Client.List(t.Context(), movers, client.InNamespace(suite.Namespace), client.HasLabels{velerov1.PodVolumeRestoreLabel})
		var busy []corev1.Pod
		for _, p := range movers.Items {
			if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending {
				busy = append(busy, p)
			}
		}
		return busy, err
	}, suite.Short, "1s").Should(BeEmpty())
}
