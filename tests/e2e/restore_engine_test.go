package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/tests/suite"
)

// resultsOf reads the results of a restore from the bucket.
func resultsOf(t *testing.T, c *suite.Cluster, r *velerov1.Restore) layout.Results {
	t.Helper()
	g := NewWithT(t)
	f, err := os.Open(filepath.Join(c.StateDir, "s3", suite.S3Bucket, layout.RestoreResults(r.Name)))
	g.Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	var results layout.Results
	g.Expect(layout.DecodeJSONGzip(f, &results)).To(Succeed())
	return results
}

// conditionText is all that the conditions of a restore say now.
func conditionText(t *testing.T, c *suite.Cluster, r *velerov1.Restore) func() (string, error) {
	t.Helper()
	return func() (string, error) {
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)
		var text strings.Builder
		for _, condition := range r.Status.Conditions {
			text.WriteString(condition.Reason + ": " + condition.Message + "\n")
		}
		return text.String(), err
	}
}

// requestCancel asks a restore to stop, as podkeep restore cancel does.
func requestCancel(t *testing.T, c *suite.Cluster, r *velerov1.Restore) {
	t.Helper()
	patch := []byte(`{"metadata":{"annotations":{"` + velerov1.CancelRequestedByAnnotation + `":"ann"}}}`)
	NewWithT(t).Expect(c.Client.Patch(t.Context(), r, client.RawPatch("application/merge-patch+json", patch))).To(Succeed())
}

// restoringBigVolume is a restore in the middle of a volume that takes seconds. Its
// content repeats itself, so that it is stored faster than it is restored.
func restoringBigVolume(t *testing.T, c *suite.Cluster) (*velerov1.Restore, string) {
	t.Helper()
	g := NewWithT(t)
	ns := c.NewNamespace(t, "stop")
	c.Apply(t, suite.Pod(ns, "app"))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat(suite.Random(6, 200<<20), 8), 0o600)).To(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	target := ns + "-copy"
	c.CleanNamespace(t, target)
	r := suite.NewRestore(b, target)
	c.Apply(t, r)
	g.Eventually(func(g Gomega) {
		g.Expect(c.VolumeRestores(t, r)[target+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeRestorePhaseInProgress))
	}, suite.Long, "50ms").Should(Succeed())
	return r, target
}

// restoreMovers are the mover pods of a restore.
func restoreMovers(t *testing.T, c *suite.Cluster, volumes map[string]velerov1.PodVolumeRestore) func() ([]string, error) {
	t.Helper()
	return func() ([]string, error) {
		var names []string
		for _, v := range volumes {
			err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: v.Name}, &corev1.Pod{})
			if err == nil {
				names = append(names, v.Name)
			} else if !apierrors.IsNotFound(err) {
				return nil, err
			}
		}
		return names, nil
	}
}

func TestRestoreIsCanceled(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	r, target := restoringBigVolume(t, c)

	asked := time.Now()
	requestCancel(t, c, r)
	c.FinishedRestore(t, r)

	g.Expect(time.Since(asked)).To(BeNumerically("<", 15*time.Second), "10 s and the slowness of the machine")
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseFailed), "%+v", r.Status)
	g.Expect(r.Status.FailureReason).To(Equal("canceled by ann"))
	volumes := c.VolumeRestores(t, r)
	g.Expect(volumes[target+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeRestorePhaseCanceled))
	g.Eventually(restoreMovers(t, c, volumes), suite.Short).Should(BeEmpty(), "nothing is left running")
	g.Expect(resultsOf(t, c, r).Errors.Namespaces[target]).To(ConsistOf(ContainSubstring("does not start")))
	ns := &corev1.Namespace{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: target}, ns)).To(Succeed())
	g.Expect(ns.Labels).NotTo(HaveKey(velerov1.RestoringLabel))
}

func TestRestoreIsDeletedWhileItRuns(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	r, _ := restoringBigVolume(t, c)
	volumes := c.VolumeRestores(t, r)

	g.Expect(c.Client.Delete(t.Context(), r)).To(Succeed())

	g.Eventually(func() bool {
		return apierrors.IsNotFound(c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r))
	}, suite.Short, "100ms").Should(BeTrue(), "%+v", r)
	g.Eventually(restoreMovers(t, c, volumes), suite.Short).Should(BeEmpty(), "nothing is left running")
	g.Eventually(func() map[string]velerov1.PodVolumeRestore { return c.VolumeRestores(t, r) }, suite.Short).Should(BeEmpty())
	_, err := os.Stat(filepath.Join(c.StateDir, "s3", suite.S3Bucket, layout.RestoreLog(r.Name)))
	g.Expect(err).To(MatchError(os.ErrNotExist), "nor in the bucket")
}

func TestRestoreSaysWhyAPodIsNotScheduled(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "nowhere")
	nodes := &corev1.NodeList{}
	g.Expect(c.Client.List(t.Context(), nodes)).To(Succeed())
	node := &nodes.Items[0]
	label := func(value *string) {
		before := node.DeepCopy()
		delete(node.Labels, "only-for")
		if value != nil {
			node.Labels["only-for"] = *value
		}
		g.Expect(c.Client.Patch(t.Context(), node, client.MergeFrom(before))).To(Succeed())
	}
	label(&ns)
	pod := suite.Pod(ns, "app")
	pod.Spec.NodeSelector = map[string]string{"only-for": ns}
	c.Apply(t, pod)
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	label(nil)
	target := ns + "-copy"
	c.CleanNamespace(t, target)
	r := suite.NewRestore(b, target)
	r.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: "25s"}

	c.Apply(t, r)

	g.Eventually(conditionText(t, c, r), time.Minute, "500ms").Should(And(
		ContainSubstring("pod "+target+"/app is not scheduled"), ContainSubstring("didn't match Pod's node affinity/selector")))
	c.FinishedRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhasePartiallyFailed), "%+v", r.Status)
	g.Expect(resultsOf(t, c, r).Errors.Namespaces[target]).To(ConsistOf(And(
		ContainSubstring("canceled"), ContainSubstring("didn't match Pod's node affinity/selector"))))
}

func TestRestoreWaitsForATerminatingNamespace(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	s := newShop(t, c)
	b := c.RunBackup(t, suite.NewBackup(s.namespace))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	target := c.NewNamespace(t, "leaving")
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: target, Name: "held", Finalizers: []string{"example.com/held"}}}
	c.Apply(t, held)
	g.Expect(c.Client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: target}})).To(Succeed())
	r := suite.NewRestore(b, target)

	c.Apply(t, r)

	g.Eventually(conditionText(t, c, r), suite.Short, "200ms").Should(ContainSubstring(velerov1.ReasonNamespaceTerminating + ": "))
	g.Expect(c.Client.Patch(t.Context(), held, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
	c.FinishedRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	s.expectRestored(t, c, target)
}

func TestRestoredPodIsAdoptedByItsJob(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "job")
	template := suite.Deployment(ns, "work").Spec.Template
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	c.Apply(t, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "work"}, Spec: batchv1.JobSpec{Template: template}})
	pod := c.RunningPods(t, ns, "work", 1)[0]
	g.Expect(os.WriteFile(filepath.Join(c.EmptyDir(pod, "data"), "sentinel"), []byte("the data is here\n"), 0o644)).To(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	target := ns + "-copy"
	c.CleanNamespace(t, target)

	r := c.RunRestore(t, suite.NewRestore(b, target))

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	restored := c.RunningPods(t, target, "work", 1)[0]
	g.Expect(restored.Name).To(Equal(pod.Name))
	g.Expect(c.FirstLog(t, restored, "app")).To(Equal(sawData))
	job := &batchv1.Job{}
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: target, Name: "work"}, job)).To(Succeed())
		g.Expect(job.Status.Active).To(BeEquivalentTo(1))
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(&restored), &restored)).To(Succeed())
		g.Expect(metav1.IsControlledBy(&restored, job)).To(BeTrue())
	}, suite.Short).Should(Succeed())
	pods := &corev1.PodList{}
	g.Expect(c.Client.List(t.Context(), pods, client.InNamespace(target))).To(Succeed())
	g.Expect(pods.Items).To(HaveLen(1), "nothing is done twice")
}

func TestRestoreChangesStorageClass(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	s := newShop(t, c)
	b := c.RunBackup(t, suite.NewBackup(s.namespace))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	old := &storagev1.StorageClass{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: "local"}, old)).To(Succeed())
	other := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Provisioner: old.Provisioner, Parameters: old.Parameters,
		ReclaimPolicy: ptr.To(corev1.PersistentVolumeReclaimRetain), VolumeBindingMode: old.VolumeBindingMode,
	}
	mapping := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: s.namespace, Labels: map[string]string{
			velerov1.PluginConfigLabel: "", velerov1.ChangeStorageClassLabel: velerov1.RestoreItemActionKind,
		}},
		Data: map[string]string{"local": other.Name},
	}
	c.Apply(t, other)
	c.Apply(t, mapping)
	t.Cleanup(func() { c.Remove(t, mapping, other) })
	target := s.namespace + "-copy"
	c.CleanNamespace(t, target)

	r := c.RunRestore(t, suite.NewRestore(b, target))
	c.Remove(t, mapping) // other tests restore too

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	s.expectRestored(t, c, target)
	claim, pv := &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: target, Name: "data-db-0"}, claim)).To(Succeed())
	g.Expect(claim.Spec.StorageClassName).To(HaveValue(Equal(other.Name)))
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: claim.Spec.VolumeName}, pv)).To(Succeed())
	g.Expect(pv.Spec.PersistentVolumeReclaimPolicy).To(Equal(corev1.PersistentVolumeReclaimDelete), "that of the volume it replaces")
}

// TestRestoreBringsDefinitionsFirst needs a backup that takes the definitions of
// what is in a namespace.
func TestRestoreBringsDefinitionsFirst(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "kinds")
	group := ns + ".example.com"
	definition := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced",
			"names": map[string]any{"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{
				"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}},
		},
	}}
	widget := func() *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": group + "/v1", "kind": "Widget", "metadata": map[string]any{"namespace": ns, "name": "one"}, "spec": map[string]any{"size": "large"},
		}}
	}
	c.Apply(t, definition.DeepCopy())
	t.Cleanup(func() { c.Remove(t, definition) })
	g.Eventually(func() error {
		err := c.Client.Create(t.Context(), widget())
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return err
		}
		return client.IgnoreAlreadyExists(err)
	}, suite.Short).Should(Succeed())
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	c.DeleteNamespace(t, ns)
	g.Expect(c.Client.Delete(t.Context(), definition.DeepCopy())).To(Succeed())
	g.Eventually(func() bool {
		return apierrors.IsNotFound(c.Client.Get(t.Context(), client.ObjectKeyFromObject(definition), definition.DeepCopy()))
	}, suite.Short).Should(BeTrue())

	r := c.RunRestore(t, suite.NewRestore(b, ""))

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v %+v", r.Status, resultsOf(t, c, r))
	restored := widget()
	g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(restored), restored)).To(Succeed())
	g.Expect(restored.Object).To(HaveKeyWithValue("spec", map[string]any{"size": "large"}))
}
