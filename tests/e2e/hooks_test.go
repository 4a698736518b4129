package e2e

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// hookedPod is an application pod whose annotations are keys and values in turn.
func hookedPod(ns, name string, annotations ...string) *corev1.Pod {
	p := suite.Pod(ns, name)
	for i := 0; i+1 < len(annotations); i += 2 {
		p.Annotations[annotations[i]] = annotations[i+1]
	}
	return p
}

// expectNoRecords waits until nothing is remembered of the hooks of a backup or
// restore.
func expectNoRecords(t *testing.T, c *suite.Cluster, label, uid string) {
	t.Helper()
	NewWithT(t).Eventually(func() ([]corev1.ConfigMap, error) {
		list := &corev1.ConfigMapList{}
		err := c.Client.List(t.Context(), list, client.InNamespace(suite.Namespace), client.HasLabels{velerov1.HooksLabel}, client.MatchingLabels{label: uid})
		return list.Items, err
	}, suite.Short).Should(BeEmpty())
}

// TestHooksOfBackupAndRestore: what the pre hook writes is in the backup, what the
// post hook removes is gone from the pod, and the restored pod has what its init
// and exec hooks wrote.
func TestHooksOfBackupAndRestore(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "hooks")
	c.Apply(t, hookedPod(ns, "app",
		velerov1.PreBackupHookCommandAnnotation, `["sh", "-c", "echo frozen > /data/by-pre; echo said"]`,
		velerov1.PostBackupHookCommandAnnotation, `["rm", "/data/by-pre"]`,
		velerov1.PostRestoreHookCommandAnnotation, `["sh", "-c", "cat /data/by-pre /data/by-init > /data/by-exec"]`,
		velerov1.PostRestoreHookOnErrorAnnotation, "Fail",
	))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")

	b := c.RunBackup(t, suite.NewBackup(ns))

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 2}))
	g.Expect(os.ReadDir(dir)).To(BeEmpty(), "the post hook was run")
	expectNoRecords(t, c, velerov1.BackupUIDLabel, string(b.UID))

	r := suite.NewRestore(b, ns+"-copy")
	c.CleanNamespace(t, ns+"-copy")
	r.Spec.Hooks.Resources = []velerov1.RestoreResourceHookSpec{{
		Name: "prepare", IncludedNamespaces: []string{ns},
		PostHooks: []velerov1.RestoreResourceHook{{Init: &velerov1.InitRestoreHook{InitContainers: []runtime.RawExtension{{Raw: []byte(
			`{"name": "prepare", "image": "` + suite.Image + `", "imagePullPolicy": "IfNotPresent",
			"command": ["sh", "-c", "cat /data/by-pre && echo prepared > /data/by-init"],
			"volumeMounts": [{"name": "data", "mountPath": "/data"}]}`,
		)}}}}},
	}}
	c.RunRestore(t, r)

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	g.Expect(r.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 1}))
	restored := c.EmptyDir(c.RunningPods(t, ns+"-copy", "app", 1)[0], "data")
	g.Expect(os.ReadFile(filepath.Join(restored, "by-exec"))).To(BeEquivalentTo("frozen\nprepared\n"))
	expectNoRecords(t, c, velerov1.RestoreUIDLabel, string(r.UID))
}

// TestHooksThatFail: Fail keeps the volumes of its pod out of the backup, Continue
// does not, and both pods are thawed.
func TestHooksThatFail(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "hooks")
	c.Apply(t,
		hookedPod(ns, "strict", velerov1.PreBackupHookOnErrorAnnotation, "Fail", velerov1.PreBackupHookCommandAnnotation, `["sh", "-c", "echo no >&2; exit 3"]`),
		suite.Pod(ns, "lenient"))
	strict := c.EmptyDir(c.RunningPods(t, ns, "strict", 1)[0], "data")
	lenient := c.EmptyDir(c.RunningPods(t, ns, "lenient", 1)[0], "data")
	b := suite.NewBackup(ns)
	b.Spec.Hooks.Resources = []velerov1.BackupResourceHookSpec{{
		Name:      "all",
		PreHooks:  []velerov1.BackupResourceHook{{Exec: &velerov1.ExecHook{Command: []string{"/no/such/program"}, OnError: velerov1.HookErrorModeContinue}}},
		PostHooks: []velerov1.BackupResourceHook{{Exec: &velerov1.ExecHook{Command: []string{"touch", "/data/thawed"}}}},
	}}

	c.RunBackup(t, b)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed), "%+v", b.Status)
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 4, HooksFailed: 2}))
	volumes := c.VolumeBackups(t, b)
	g.Expect(volumes[ns+"/strict/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseFailed))
	g.Expect(volumes[ns+"/strict/data"].Status.Message).To(ContainSubstring("exit code 3"))
	g.Expect(volumes[ns+"/lenient/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCompleted))
	for _, dir := range []string{strict, lenient} {
		_, err := os.Stat(filepath.Join(dir, "thawed"))
		g.Expect(err).NotTo(HaveOccurred())
	}
	out, err := c.Podkeep(suite.Namespace, "backup", "describe", b.Name)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(And(ContainSubstring("HooksAttempted:"), ContainSubstring("stderr: no")))
}

// TestHooksThatTakeTooLong: a command is waited for as long as its timeout says.
func TestHooksThatTakeTooLong(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "hooks")
	c.Apply(t, hookedPod(ns, "app", velerov1.PreBackupHookCommandAnnotation, `["sh", "-c", "while :; do echo much; done"]`,
		velerov1.PreBackupHookTimeoutAnnotation, "1s"))
	c.RunningPods(t, ns, "app", 1)

	b := c.RunBackup(t, suite.NewBackup(ns))

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed), "%+v", b.Status)
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 1, HooksFailed: 1}))
	g.Expect(c.VolumeBackups(t, b)[ns+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCompleted), "nobody asked to stop at a failure")
}

// TestHooksOfCanceledBackup: who cancels a backup does not leave its pods frozen.
func TestHooksOfCanceledBackup(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "hooks")
	c.Apply(t, hookedPod(ns, "app",
		velerov1.PreBackupHookCommandAnnotation, `["touch", "/data/frozen"]`, velerov1.PostBackupHookCommandAnnotation, `["rm", "/data/frozen"]`))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	g.Expect(os.WriteFile(filepath.Join(dir, "big"), suite.Random(6, 400<<20), 0o600)).To(Succeed())
	b := suite.NewBackup(ns)
	c.Apply(t, b)
	g.Eventually(func(g Gomega) {
		g.Expect(c.VolumeBackups(t, b)[ns+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseInProgress))
	}, suite.Long, "50ms").Should(Succeed())
	g.Expect(filepath.Join(dir, "frozen")).To(BeAnExistingFile())

	g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
	before := b.DeepCopy()
	b.Annotations[velerov1.CancelRequestedByAnnotation] = "the test"
	g.Expect(c.Client.Patch(t.Context(), b, client.MergeFrom(before))).To(Succeed())

	c.FinishedBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailed), "%+v", b.Status)
	g.Eventually(filepath.Join(dir, "frozen"), suite.Short).ShouldNot(BeAnExistingFile())
	expectNoRecords(t, c, velerov1.BackupUIDLabel, string(b.UID))
}

// TestModifiersOfRestore: a restore changes a Deployment and a ConfigMap on the way.
func TestModifiersOfRestore(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "modify")
	d := suite.Deployment(ns, "web")
	d.Spec.Template.Annotations = nil
	c.Apply(t, d, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "settings"}, Data: map[string]string{"mode": "production"}})
	b := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	rules := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: ns},
		Data: map[string]string{"rules.yaml": `
version: v1
resourceModifierRules:
- conditions: {groupResource: deployments.apps, namespaces: [` + ns + `], matches: [{path: /spec/replicas, value: "1"}]}
  patches: [{operation: replace, path: /spec/replicas, value: "0"}]
- conditions: {groupResource: configmaps, resourceNameRegex: ^settings$}
  mergePatches: [{patchData: '{"data": {"mode": "test"}}'}]
`},
	}
	c.Apply(t, rules)
	t.Cleanup(func() { c.Remove(t, rules) })

	r := suite.NewRestore(b, ns+"-copy")
	c.CleanNamespace(t, ns+"-copy")
	r.Spec.ResourceModifier = &corev1.TypedLocalObjectReference{Kind: "ConfigMap", Name: ns}
	c.RunRestore(t, r)

	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: ns + "-copy", Name: "web"}, d)).To(Succeed())
	g.Expect(d.Spec.Replicas).To(Equal(ptr.To(int32(0))))
	settings := &corev1.ConfigMap{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: ns + "-copy", Name: "settings"}, settings)).To(Succeed())
	g.Expect(settings.Data).To(HaveKeyWithValue("mode", "test"))
}
