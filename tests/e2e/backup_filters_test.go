package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/tests/suite"
)

// listed are the items of a backup in the bucket, as "apiVersion/Kind name".
func listed(t *testing.T, c *suite.Cluster, b *velerov1.Backup) []string {
	t.Helper()
	g := NewWithT(t)
	var list layout.ResourceList
	file, err := os.Open(filepath.Join(c.StateDir, "s3", suite.S3Bucket, layout.BackupResourceList(b.Name)))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()
	g.Expect(layout.DecodeJSONGzip(file, &list)).To(Succeed())
	var items []string
	for kind, names := range list {
		for _, name := range names {
			items = append(items, kind+" "+name)
		}
	}
	slices.Sort(items)
	return items
}

// widget has a definition of its own, like those that operators bring.
func widget(t *testing.T, c *suite.Cluster, ns string) (definition string) {
	t.Helper()
	g := NewWithT(t)
	group := ns + ".example.com"
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced",
			"names":    map[string]any{"plural": "widgets", "singular": "widget", "kind": "Widget"},
			"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"openAPIV3Schema": open}}},
		},
	}}
	c.Apply(t, crd)
	t.Cleanup(func() { c.Remove(t, crd) })
	w := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1", "kind": "Widget", "metadata": map[string]any{"namespace": ns, "name": "w"},
	}}
	g.Eventually(func() error { return c.Client.Create(t.Context(), w) }, suite.Short).Should(Succeed())
	return crd.GetName()
}

// boundAccount is a service account with a role of the whole cluster.
func boundAccount(t *testing.T, c *suite.Cluster, ns string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: ns}
	objects := []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: meta},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ns},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "runner"}},
		},
	}
	c.Apply(t, append(objects, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "runner"}})...)
	t.Cleanup(func() { c.Remove(t, objects...) })
}

func TestBackupTakesWhatItsFiltersSelect(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	ns := c.NewNamespace(t, "filter")
	config := func(name string, labels map[string]string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: labels}}
	}
	c.Apply(t, suite.StatefulSet(ns, "db"), config("plain", nil), config("selected", map[string]string{"tier": "db"}),
		config("excluded", map[string]string{velerov1.ExcludeFromBackupLabel: "true"}))
	boundAccount(t, c, ns)
	definition := "apiextensions.k8s.io/v1/CustomResourceDefinition " + widget(t, c, ns)
	c.RunningPods(t, ns, "db", 1)
	policy := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: ns},
		Data: map[string]string{"policy": "version: v1\nvolumePolicies:\n- conditions: {}\n  action: {type: skip}\n" +
			"includeExcludePolicy: {excludedNamespaceScopedResources: [configmaps]}\n"},
	}
	c.Apply(t, policy)
	t.Cleanup(func() { c.Remove(t, policy) })

	plain, selected, claim, pod := "v1/ConfigMap "+ns+"/plain", "v1/ConfigMap "+ns+"/selected", "v1/PersistentVolumeClaim "+ns+"/data-db-0", "v1/Pod "+ns+"/db-0"
	role, binding := "rbac.authorization.k8s.io/v1/ClusterRole "+ns, "rbac.authorization.k8s.io/v1/ClusterRoleBinding "+ns
	widgetItem, namespace, set := ns+".example.com/v1/Widget "+ns+"/w", "v1/Namespace "+ns, "apps/v1/StatefulSet "+ns+"/db"

	tests := map[string]struct {
		spec    func(*velerov1.BackupSpec)
		in, out []string
		volumes int
	}{
		"a namespace, with what it needs of the cluster": {
			in:  []string{plain, selected, claim, pod, role, binding, definition, widgetItem, namespace, set},
			out: []string{"v1/ConfigMap " + ns + "/excluded"}, volumes: 1,
		},
		"by label": {
			spec: func(s *velerov1.BackupSpec) {
				s.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}
			},
			in: []string{claim, pod, namespace}, out: []string{plain, selected, widgetItem, definition, role}, volumes: 1,
		},
		"by one of several labels, in a pattern of namespaces": {
			spec: func(s *velerov1.BackupSpec) {
				s.IncludedNamespaces = []string{"f?lter-" + strings.TrimPrefix(ns, "filter-")}
				s.OrLabelSelectors = []*metav1.LabelSelector{{MatchLabels: map[string]string{"tier": "db"}}, {MatchLabels: map[string]string{"tier": "x"}}}
			},
			in: []string{selected, namespace}, out: []string{plain, pod, claim},
		},
		"by kind": {
			spec: func(s *velerov1.BackupSpec) { s.IncludedResources = []string{"sts", "cm"} },
			in:   []string{plain, selected, set}, out: []string{pod, claim, namespace, role, definition},
		},
		"without cluster-scoped items": {
			spec: func(s *velerov1.BackupSpec) { s.IncludeClusterResources = ptr.To(false) },
			in:   []string{plain, pod, claim, widgetItem}, out: []string{namespace, role, binding, definition}, volumes: 1,
		},
		"by kinds of both scopes": {
			spec: func(s *velerov1.BackupSpec) {
				s.ExcludedNamespaceScopedResources = []string{"pods", "widgets." + ns + ".example.com"}
				s.IncludedClusterScopedResources = []string{"storageclasses"}
				s.ExcludedClusterScopedResources = []string{"clusterroles", "clusterrolebindings"}
			},
			in: []string{plain, claim, namespace}, out: []string{pod, widgetItem, definition, role, binding},
		},
		"by a policy": {
			spec: func(s *velerov1.BackupSpec) {
				s.ResourcePolicy = &corev1.TypedLocalObjectReference{Kind: "configmap", Name: policy.Name}
			},
			in: []string{claim, pod, set}, out: []string{plain, selected},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			b := suite.NewBackup(ns)
			if tc.spec != nil {
				tc.spec(&b.Spec)
			}

			c.RunBackup(t, b)

			g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
			items := listed(t, c, b)
			g.Expect(items).To(ContainElements(tc.in))
			for _, item := range tc.out {
				g.Expect(items).NotTo(ContainElement(item))
			}
			g.Expect(c.VolumeBackups(t, b)).To(HaveLen(tc.volumes))
		})
	}
}

func TestBackupThatAsksForTheImpossible(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	b := suite.NewBackup("default")
	b.Spec.ResourcePolicy = &corev1.TypedLocalObjectReference{Kind: "configmap", Name: "nowhere"}
	wrong := b.DeepCopy()
	wrong.Spec.IncludedNamespaces = []string{"a**", "b"}
	wrong.Spec.ExcludedNamespaces = []string{"b"}
	wrong.Spec.IncludedResources = []string{"pods"}
	wrong.Spec.IncludedClusterScopedResources = []string{"*"}

	// What can be told from the object alone is told when it is written.
	g.Expect(c.Client.Create(t.Context(), wrong)).To(MatchError(And(
		ContainSubstring(`"a**"`), ContainSubstring("must not be in includedNamespaces too"), ContainSubstring("must not be used together"),
	)))
	c.RunBackup(t, b)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailedValidation))
	g.Expect(b.Status.ValidationErrors).To(ConsistOf(ContainSubstring("spec.resourcePolicy.name: Not found")))
}

// moving is a backup of one large file that is being read.
func moving(t *testing.T, c *suite.Cluster) (ns, file string, b *velerov1.Backup) {
	t.Helper()
	g := NewWithT(t)
	ns = c.NewNamespace(t, "moving")
	c.Apply(t, suite.Pod(ns, "app"))
	file = filepath.Join(c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data"), "big")
	g.Expect(os.WriteFile(file, suite.Random(7, 600<<20), 0o600)).To(Succeed())
	b = suite.NewBackup(ns)
	c.Apply(t, b)
	g.Eventually(func(g Gomega) {
		g.Expect(c.VolumeBackups(t, b)[ns+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseInProgress))
	}, suite.Long, "50ms").Should(Succeed())
	return ns, file, b
}

// backupMovers are the pods that move volumes of a backup.
func backupMovers(t *testing.T, c *suite.Cluster, b *velerov1.Backup) []string {
	t.Helper()
	pods := &corev1.PodList{}
	NewWithT(t).Expect(c.Client.List(t.Context(), pods, client.InNamespace(suite.Namespace), client.HasLabels{velerov1.PodVolumeBackupLabel})).To(Succeed())
	var names []string
	for _, p := range pods.Items {
		if strings.HasPrefix(p.Labels[velerov1.PodVolumeBackupLabel], b.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// noticed is within what a canceled backup ends.
const noticed = 10 * time.Second

func TestBackupIsCanceledWhileItsVolumesMove(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns, file, b := moving(t, c)
	waiting := suite.NewBackup(ns)
	c.Apply(t, waiting)
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(waiting), waiting)).To(Succeed())
		g.Expect(waiting.Status.Phase).To(Equal(velerov1.BackupPhaseQueued), "the namespace is being backed up")
		g.Expect(waiting.Status.QueuePosition).To(BeNumerically(">", 0))
	}, suite.Short).Should(Succeed())

	for _, each := range []*velerov1.Backup{waiting, b} {
		before := each.DeepCopy()
		each.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "ann"}
		g.Expect(c.Client.Patch(t.Context(), each, client.MergeFrom(before))).To(Succeed())
	}

	for _, each := range []*velerov1.Backup{waiting, b} {
		g.Eventually(func(g Gomega) {
			g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(each), each)).To(Succeed())
			g.Expect(each.Status.Phase).To(Equal(velerov1.BackupPhaseFailed), "%+v", each.Status)
		}, noticed).Should(Succeed())
		g.Expect(each.Status.FailureReason).To(Equal("canceled by ann"))
	}
	g.Expect(c.VolumeBackups(t, b)[ns+"/app/data"].Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCanceled))
	g.Eventually(func() []string { return backupMovers(t, c, b) }, suite.Short).Should(BeEmpty(), "nothing is left running")

	g.Expect(os.Truncate(file, 1000)).To(Succeed())
	again := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(again.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "the next backup is as good as any: %+v", again.Status)
}

func TestBackupThatIsDeletedLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	_, _, b := moving(t, c)
	g.Expect(backupMovers(t, c, b)).NotTo(BeEmpty())

	g.Expect(c.Client.Delete(t.Context(), b)).To(Succeed())

	g.Eventually(func(g Gomega) {
		g.Expect(c.VolumeBackups(t, b)).To(BeEmpty())
		g.Expect(backupMovers(t, c, b)).To(BeEmpty())
	}, suite.Short).Should(Succeed())
	g.Expect(filepath.Join(c.StateDir, "s3", suite.S3Bucket, layout.BackupMetadata(b.Name))).NotTo(BeAnExistingFile())
}
