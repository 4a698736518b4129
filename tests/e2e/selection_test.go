package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/explain"
	"github.com/podkeep/podkeep/tests/suite"
)

// copiedStamp is what somebody gets into a template who copies a pod's YAML.
var copiedStamp = map[string]string{
	velerov1.SelectedVolumesAnnotation: "", velerov1.SkippedVolumesAnnotation: "data=NotMounted", velerov1.SelectionInputsAnnotation: "0123456789abcdef",
}

// explained runs podkeep explain and returns the volumes that it says are included,
// by namespace/pod/volume.
func explained(t *testing.T, c *suite.Cluster, args ...string) (report explain.Report, included []string) {
	t.Helper()
	g := NewWithT(t)
	out, err := c.Podkeep(suite.Namespace, append([]string{"explain", "-o", "json"}, args...)...)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(json.Unmarshal([]byte(out), &report)).To(Succeed(), out)
	for _, p := range report.Pods {
		for _, v := range p.Volumes {
			g.Expect(v.Included).NotTo(BeNil(), "the server's default is known: %+v", report.Settings)
			if *v.Included {
				included = append(included, p.Namespace+"/"+p.Name+"/"+v.Name)
			}
		}
	}
	slices.Sort(included)
	return report, included
}

func logsOf(t *testing.T, c *suite.Cluster, b *velerov1.Backup) string {
	t.Helper()
	out, err := c.Podkeep(b.Namespace, "backup", "logs", b.Name)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	return out
}

func volumesOf(t *testing.T, c *suite.Cluster, b *velerov1.Backup) []string {
	t.Helper()
	NewWithT(t).Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	names := []string{}
	for name := range c.VolumeBackups(t, b) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func setLabel(t *testing.T, c *suite.Cluster, o client.Object, key, value string) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]string{key: value}}})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(c.Client.Patch(t.Context(), o, client.RawPatch(types.MergePatchType, patch))).To(Succeed())
}

func TestLabelOfANamespaceHoldsForPodsThatRun(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "label")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	setLabel(t, c, namespace, velerov1.FSBackupLabel, velerov1.FSBackupOptOut)
	copied := suite.Deployment(ns, "copied")
	copied.Spec.Template.Annotations = copiedStamp
	pod := suite.Pod(ns, "app")
	pod.Annotations = copiedStamp
	g.Eventually(func(g Gomega) { // until API server and webhook know the label
		p := pod.DeepCopy()
		g.Expect(client.IgnoreNotFound(c.Client.Delete(t.Context(), p))).To(Succeed())
		g.Expect(c.Client.Create(t.Context(), p)).To(Succeed())
		g.Expect(p.Annotations).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, "data"), "a copied stamp is overwritten")
	}, suite.Short).Should(Succeed())
	c.Apply(t, copied)
	uid := c.RunningPods(t, ns, "app", 1)[0].UID
	made := c.RunningPods(t, ns, "copied", 1)[0]
	g.Expect(made.Annotations).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, "data"))
	g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(copied), copied)).To(Succeed())
	g.Expect(copied.Spec.Template.Annotations).To(Equal(copiedStamp), "nobody changes the template")
	sets := &appsv1.ReplicaSetList{}
	g.Expect(c.Client.List(t.Context(), sets, client.InNamespace(ns))).To(Succeed())
	g.Expect(sets.Items).To(HaveLen(1), "and nobody rolls it out again")

	setLabel(t, c, namespace, velerov1.FSBackupLabel, velerov1.FSBackupOptIn)

	report, included := explained(t, c, "pod", ns+"/app")
	g.Expect(included).To(BeEmpty())
	g.Expect(report.Pods[0].Stamp.Differences).To(ContainElement(And(
		HaveField("Volume", "data"), HaveField("Stamped", "include"), HaveField("Now", "skip (NamespacePolicy)"),
	)))
	none := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(volumesOf(t, c, none)).To(BeEmpty())
	g.Expect(logsOf(t, c, none)).To(MatchRegexp(`Selection differs from the stamp of the pod.*pod=app.*volume=data.*stamped=include.*now="skip \(NamespacePolicy\)".*why=`))

	setLabel(t, c, namespace, velerov1.FSBackupLabel, velerov1.FSBackupOptOut)

	all := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(volumesOf(t, c, all)).To(ConsistOf(ns+"/app/data", ns+"/"+made.Name+"/data"))
	g.Expect(logsOf(t, c, all)).NotTo(ContainSubstring("Selection differs"))
	g.Expect(c.RunningPods(t, ns, "app", 1)[0].UID).To(Equal(uid), "no pod was restarted")
}

func TestClaimsSayWhetherTheyAreBackedUp(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "wish")
	for name, annotations := range map[string]map[string]string{
		"in":  {velerov1.VolumesToExcludeAnnotation: "data"},
		"out": {velerov1.VolumesToBackupAnnotation: "data"},
		"odd": copiedStamp,
	} {
		set := suite.StatefulSet(ns, name)
		set.Spec.Template.Annotations = annotations
		c.Apply(t, set)
	}
	wishes := map[string]string{"in": velerov1.ClaimInclude, "out": velerov1.ClaimExclude, "odd": "yes"}
	for name, wish := range wishes {
		c.RunningPods(t, ns, name, 1)
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "data-" + name + "-0"}}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{velerov1.ClaimFSBackupAnnotation: wish}}})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(c.Client.Patch(t.Context(), claim, client.RawPatch(types.MergePatchType, patch))).To(Succeed())
	}

	report, included := explained(t, c, "namespace", ns)
	b := c.RunBackup(t, suite.NewBackup(ns))

	g.Expect(included).To(Equal([]string{ns + "/in-0/data"}))
	g.Expect(volumesOf(t, c, b)).To(Equal(included))
	log := logsOf(t, c, b)
	g.Expect(log).To(ContainSubstring("podkeep.io/fs-backup=yes, which has no effect"))
	g.Expect(log).To(MatchRegexp(`Selection differs from the stamp of the pod.*pod=odd-0.*volume=data.*stamped="skip \(NotMounted\)".*now="skip \(ServerDefault\)"`),
		"in a namespace that the webhook does not see, a copied stamp decides nothing")
	g.Expect(report.Pods[0].Warnings).To(ContainElement(HaveField("Text", ContainSubstring("its claim data-in-0 is annotated podkeep.io/fs-backup=include, which wins"))))
}

// severalConditions skips small claims of databases on local volumes, and takes all
// emptyDirs.
const severalConditions = `
version: v1
volumePolicies:
- conditions: {nfs: {}}
  action: {type: custom}
- conditions: {volumeTypes: [local, csi], pvcLabels: {tier: db}, capacity: "1Gi,1Gi", pvcPhase: [Bound]}
  action: {type: skip}
- conditions: {volumeTypes: [emptyDir]}
  action: {type: fs-backup}
`

func TestBackupsOverrideTheSelection(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	ns := c.NewNamespace(t, "override")
	policy := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: ns}, Data: map[string]string{"policy": severalConditions}}
	c.Apply(t, policy)
	t.Cleanup(func() { c.Remove(t, policy) })
	db, web, app := suite.StatefulSet(ns, "db"), suite.StatefulSet(ns, "web"), suite.Pod(ns, "app")
	db.Spec.VolumeClaimTemplates[0].Labels = map[string]string{"tier": "db"}
	app.Annotations = nil
	c.Apply(t, db, web, app)
	for _, name := range []string{"db", "web", "app"} {
		c.RunningPods(t, ns, name, 1)
	}
	onDB, onWeb, onApp := ns+"/db-0/data", ns+"/web-0/data", ns+"/app/data" // both sets list data

	tests := map[string]struct {
		flags []string
		want  []string
	}{
		"nothing of its own":        {nil, []string{onDB, onWeb}},
		"volume policies":           {[]string{"--resource-policies-configmap", policy.Name}, []string{onApp, onWeb}},
		"all by default":            {[]string{"--default-volumes-to-fs-backup"}, []string{onApp, onDB, onWeb}},
		"none by default":           {[]string{"--default-volumes-to-fs-backup=false"}, []string{onDB, onWeb}},
		"policies before a default": {[]string{"--default-volumes-to-fs-backup=false", "--resource-policies-configmap", policy.Name}, []string{onApp, onWeb}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			b := suite.NewBackup(ns)
			_, included := explained(t, c, append([]string{"namespace", ns}, tc.flags...)...)

			out, err := c.Podkeep(suite.Namespace, append([]string{"backup", "create", b.Name, "--include-namespaces", ns, "--wait"}, tc.flags...)...)

			g.Expect(err).NotTo(HaveOccurred(), out)
			g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
			g.Expect(volumesOf(t, c, b)).To(Equal(tc.want))
			g.Expect(included).To(Equal(tc.want), "explain says what the backup does")
		})
	}

	g := NewWithT(t)
	manifest, err := yaml.Marshal(suite.Deployment(ns, "later"))
	g.Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(t.TempDir(), "later.yaml")
	text := strings.Join([]string{string(manifest), "kind: Deployment", "apiVersion: apps/v1"}, "\n")
	g.Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	_, included := explained(t, c, "-f", file)
	g.Expect(included).To(Equal([]string{ns + "/later/data"}), "before it is applied")
}
