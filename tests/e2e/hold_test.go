package e2e

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/tests/suite"
)

const (
	theData   = "the data is here"
	dataClaim = "data-app-0"
)

// heldRestore is a restore in its middle: its items are there, and the pod that it
// has made is kept from being scheduled, so that nobody fills its volume. Pods that
// controllers make are not.
type heldRestore struct {
	*velerov1.Restore

	target string
	pod    corev1.Pod // that the restore has made
}

// statefulApp is a StatefulSet app with a claim, deploymentApp a Deployment app with
// an emptyDir. Both have data when they return.
func statefulApp(t *testing.T, c *suite.Cluster) string {
	t.Helper()
	ns := c.NewNamespace(t, "hold")
	c.Apply(t, suite.StatefulSet(ns, "app"))
	c.RunningPods(t, ns, "app", 1)
	writeData(t, c.ClaimDir(t, ns, dataClaim))
	return ns
}

func deploymentApp(t *testing.T, c *suite.Cluster) string {
	t.Helper()
	ns := c.NewNamespace(t, "hold")
	c.Apply(t, suite.Deployment(ns, "app"))
	writeData(t, c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data"))
	return ns
}

func writeData(t *testing.T, dir string) {
	t.Helper()
	NewWithT(t).Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte(theData+"\n"), 0o644)).To(Succeed())
}

// holdRestore backs a namespace up and restores it into another one.
func holdRestore(t *testing.T, c *suite.Cluster, ns string) heldRestore {
	t.Helper()
	g := NewWithT(t)
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	rules := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: ns},
		Data: map[string]string{"rules": "version: v1\nresourceModifierRules:\n- conditions: {groupResource: pods}\n" +
			"  mergePatches: [{patchData: 'spec: {schedulingGates: [{name: podkeep.io/test}]}'}]\n"},
	}
	c.Apply(t, rules)
	t.Cleanup(func() { c.Remove(t, rules) })
	h := heldRestore{target: ns + "-copy"}
	c.CleanNamespace(t, h.target)
	h.Restore = suite.NewRestore(b, h.target)
	h.Spec.ResourceModifier = &corev1.TypedLocalObjectReference{Kind: "ConfigMap", Name: ns}
	c.Apply(t, h.Restore)
	g.Eventually(conditionText(t, c, h.Restore), suite.Long, "50ms").Should(ContainSubstring(velerov1.ReasonWaitingForVolumes+": waiting for volumes"), "its items are there")
	pods := &corev1.PodList{}
	g.Expect(c.Client.List(t.Context(), pods, client.InNamespace(h.target), client.HasLabels{velerov1.RestoreNameLabel})).To(Succeed())
	g.Expect(pods.Items).To(HaveLen(1))
	h.pod = pods.Items[0]
	return h
}

// release lets the pod that the restore has made be scheduled.
func (h heldRestore) release(t *testing.T, c *suite.Cluster) {
	t.Helper()
	patch := []byte(`{"spec":{"schedulingGates":null}}`)
	NewWithT(t).Expect(c.Client.Patch(t.Context(), h.pod.DeepCopy(), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
}

// otherPod is a pod of somebody else on the claim of the application.
func (h heldRestore) otherPod() *corev1.Pod {
	pod := suite.Pod(h.target, "other")
	pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: dataClaim}}
	return pod
}

// waitingPod returns the pod with the label app=name when its gate runs.
func (h heldRestore) waitingPod(t *testing.T, c *suite.Cluster, app string) corev1.Pod {
	t.Helper()
	var found corev1.Pod
	NewWithT(t).Eventually(func(g Gomega) {
		pods := &corev1.PodList{}
		g.Expect(c.Client.List(t.Context(), pods, client.InNamespace(h.target), client.MatchingLabels{"app": app})).To(Succeed())
		for _, p := range pods.Items {
			if p.UID != h.pod.UID && p.DeletionTimestamp == nil {
				found = p
			}
		}
		g.Expect(found.Labels).To(HaveKeyWithValue(velerov1.GatedByLabel, string(h.UID)))
		g.Expect(gateOf(found).State.Running).NotTo(BeNil(), "%+v", found.Status)
	}, suite.Long, "50ms").Should(Succeed())
	return found
}

func gateOf(pod corev1.Pod) corev1.ContainerStatus {
	for _, s := range pod.Status.InitContainerStatuses {
		if s.Name == injector.GateName {
			return s
		}
	}
	return corev1.ContainerStatus{}
}

func (h heldRestore) expectCompleted(t *testing.T, c *suite.Cluster) {
	t.Helper()
	c.FinishedRestore(t, h.Restore)
	NewWithT(t).Expect(h.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v\n%+v", h.Status, resultsOf(t, c, h.Restore))
}

// TestRestoreFollowsAPodThatItsDeploymentReplaces deletes the restored pod before it
// has its data: the new one, of another name, gets it.
func TestRestoreFollowsAPodThatItsDeploymentReplaces(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	h := holdRestore(t, c, deploymentApp(t, c))

	g.Expect(c.Client.Delete(t.Context(), h.pod.DeepCopy())).To(Succeed())

	h.expectCompleted(t, c)
	pod := c.RunningPods(t, h.target, "app", 1)[0]
	g.Expect(pod.Name).NotTo(Equal(h.pod.Name))
	g.Expect(pod.UID).NotTo(Equal(h.pod.UID))
	g.Expect(c.FirstLog(t, pod, "app")).To(Equal(sawData))
	g.Expect(h.Status.Warnings).To(BeZero(), "%+v", resultsOf(t, c, h.Restore))
}

// TestRestoreFollowsAPodThatItsStatefulSetReplaces does it with a claim, where the
// new pod has the same name.
func TestRestoreFollowsAPodThatItsStatefulSetReplaces(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	h := holdRestore(t, c, statefulApp(t, c))

	g.Expect(c.Client.Delete(t.Context(), h.pod.DeepCopy())).To(Succeed())

	h.expectCompleted(t, c)
	pod := c.RunningPods(t, h.target, "app", 1)[0]
	g.Expect(pod.UID).NotTo(Equal(h.pod.UID))
	g.Expect(c.FirstLog(t, pod, "app")).To(Equal(sawData))
	g.Expect(filepath.Join(c.ClaimDir(t, h.target, dataClaim), ".velero")).NotTo(BeADirectory())
}

// TestPodsOnOneClaimWaitForItsData has a pod of somebody else on the claim, which
// was not in the backup: both start, and on the data.
func TestPodsOnOneClaimWaitForItsData(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	h := holdRestore(t, c, statefulApp(t, c))
	c.Apply(t, h.otherPod())
	waiting := h.waitingPod(t, c, "other")
	g.Expect(waiting.Labels).NotTo(HaveKey(velerov1.RestoreNameLabel))

	h.release(t, c)

	h.expectCompleted(t, c)
	for _, app := range []string{"app", "other"} {
		g.Expect(c.FirstLog(t, c.RunningPods(t, h.target, app, 1)[0], "app")).To(Equal(sawData), app)
	}
	g.Expect(filepath.Join(c.ClaimDir(t, h.target, dataClaim), ".velero")).NotTo(BeADirectory())
}

// TestPodThatComesBeforeItsClaimWaits has a pod in the namespace before the restore
// has made the claim.
func TestPodThatComesBeforeItsClaimWaits(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	b := c.RunBackup(t, suite.NewBackup(statefulApp(t, c)))
	h := heldRestore{Restore: suite.NewRestore(b, b.Spec.IncludedNamespaces[0]+"-copy"), target: b.Spec.IncludedNamespaces[0] + "-copy"}
	c.CleanNamespace(t, h.target)
	c.Apply(t, h.Restore)

	g.Eventually(func() error { return c.Client.Create(t.Context(), h.otherPod()) }, suite.Long, "5ms").Should(Succeed())

	h.expectCompleted(t, c)
	g.Expect(c.FirstLog(t, c.RunningPods(t, h.target, "other", 1)[0], "app")).To(Equal(sawData))
	g.Expect(c.FirstLog(t, c.RunningPods(t, h.target, "app", 1)[0], "app")).To(Equal(sawData))
}

// TestPodsFailWithTheReasonWhenTheirRestoreStops stops a restore in the three ways
// while a pod waits for it.
func TestPodsFailWithTheReasonWhenTheirRestoreStops(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stop func(*testing.T, *suite.Cluster, heldRestore)
		want string
	}{
		"canceled": {
			stop: func(t *testing.T, c *suite.Cluster, h heldRestore) { t.Helper(); requestCancel(t, c, h.Restore) }, want: "canceled by ann",
		},
		"deleted": {
			stop: func(t *testing.T, c *suite.Cluster, h heldRestore) {
				t.Helper()
				NewWithT(t).Expect(c.Client.Delete(t.Context(), h.Restore)).To(Succeed())
			},
			want: "deleted",
		},
		"failed": {
			stop: func(t *testing.T, c *suite.Cluster, h heldRestore) {
				t.Helper()
				for _, v := range c.VolumeRestores(t, h.Restore) {
					NewWithT(t).Expect(c.Client.Patch(t.Context(), &v, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`)))).To(Succeed())
				}
			},
			want: "volume data is not restored",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := suite.Connect(t)
			g := NewWithT(t)
			h := holdRestore(t, c, statefulApp(t, c))
			c.Apply(t, h.otherPod())
			waiting := h.waitingPod(t, c, "other")

			tc.stop(t, c, h)

			pod := &corev1.Pod{}
			g.Eventually(func(g Gomega) {
				g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(&waiting), pod)).To(Succeed())
				ended := gateOf(*pod).State.Terminated
				if ended == nil {
					ended = gateOf(*pod).LastTerminationState.Terminated
				}
				g.Expect(ended).NotTo(BeNil(), "%+v", pod.Status)
				g.Expect(ended.ExitCode).NotTo(BeZero())
				g.Expect(ended.Message).To(ContainSubstring(tc.want), "kubectl describe shows it")
			}, suite.Long, "100ms").Should(Succeed())
			g.Expect(pod.Status.Phase).To(Equal(corev1.PodPending), "it has not started")
			h.expectKeptOff(t, c)
		})
	}
}

// expectKeptOff expects that no pod starts on the claim, also after the restore, and
// that it does when somebody has taken the label off.
func (h heldRestore) expectKeptOff(t *testing.T, c *suite.Cluster) {
	t.Helper()
	g := NewWithT(t)
	next := h.otherPod()
	next.Name = "next"
	g.Eventually(func() error {
		err := c.Client.Create(t.Context(), next.DeepCopy())
		if err == nil { // the webhook believes that the restore goes on
			err = c.Client.Delete(t.Context(), next.DeepCopy(), client.GracePeriodSeconds(0))
		}
		return err
	}, suite.Short, "100ms").Should(MatchError(ContainSubstring("kubectl -n " + h.target + " label pvc " + dataClaim)))
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: h.target, Name: dataClaim}}
	patch := []byte(`{"metadata":{"labels":{"` + velerov1.RestoreIncompleteLabel + `":null}}}`)
	g.Expect(c.Client.Patch(t.Context(), claim, client.RawPatch(types.MergePatchType, patch))).To(Succeed())
	g.Eventually(func() error { return c.Client.Create(t.Context(), next.DeepCopy()) }, suite.Short, "100ms").Should(Succeed())
	g.Eventually(func(g Gomega) {
		pod := &corev1.Pod{}
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(next), pod)).To(Succeed())
		g.Expect(pod.Status.Phase).To(Equal(corev1.PodRunning))
	}, suite.Short).Should(Succeed())
}
