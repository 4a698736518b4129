package backup

import (
	"maps"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// clusterItems are appItems, cluster-scoped items that they need, and some that
// nobody does.
func clusterItems() []runtime.Object {
	subject := func(namespace, name string) func(map[string]any) {
		return withField([]any{map[string]any{"kind": "ServiceAccount", "namespace": namespace, "name": name}}, "subjects")
	}
	role := func(name string) func(map[string]any) {
		return func(o map[string]any) {
			o["roleRef"] = map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
		}
	}
	rbac := func(kind, name string, mods ...func(map[string]any)) runtime.Object {
		return item("rbac.authorization.k8s.io/v1", kind, "", name, mods...)
	}
	return append(appItems(),
		item("v1", "ServiceAccount", "app", "runner"),
		item("v1", "ServiceAccount", "other", "runner"),
		rbac("ClusterRoleBinding", "app-runner", subject("app", "runner"), role("reader")),
		rbac("ClusterRoleBinding", "other-runner", subject("other", "runner"), role("writer")),
		rbac("ClusterRole", "reader"), rbac("ClusterRole", "writer"),
		item("scheduling.k8s.io/v1", "PriorityClass", "", "high"), item("scheduling.k8s.io/v1", "PriorityClass", "", "low"),
		item("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "widgets.example.com"),
		item("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "gadgets.example.com"),
		item("v1", "PersistentVolume", "", "pv-free"),
		runningPod("app", "urgent", func(p *corev1.Pod) {
			p.Spec.PriorityClassName = "high"
			p.Labels = map[string]string{"tier": "db"}
			p.Annotations = map[string]string{velerov1.VolumesToBackupAnnotation: "cache"}
		}),
		item("v1", "ConfigMap", "app", "labelled", withLabel("tier", "db")),
		item("v1", "ConfigMap", "other", "labelled", withLabel("tier", "web")),
	)
}

// What items of clusterItems are in which backup.
var (
	appNamespaced = []string{
		"configmaps:app/labelled", "configmaps:app/settings", "namespaces:/app", "persistentvolumeclaims:app/db", "pods:app/urgent",
		"pods:app/web-0", "serviceaccounts:app/runner", "widgets.example.com:app/w",
	}
	otherNamespaced = []string{
		"configmaps:other/labelled", "configmaps:other/settings", "namespaces:/other", "persistentvolumeclaims:other/unused",
		"serviceaccounts:other/runner",
	}
	neededByApp = []string{
		"clusterrolebindings.rbac.authorization.k8s.io:/app-runner", "clusterroles.rbac.authorization.k8s.io:/reader",
		"customresourcedefinitions.apiextensions.k8s.io:/widgets.example.com", "persistentvolumes:/pv-db",
		"priorityclasses.scheduling.k8s.io:/high",
	}
	neededByNobody = []string{
		"clusterrolebindings.rbac.authorization.k8s.io:/other-runner", "clusterroles.rbac.authorization.k8s.io:/writer",
		"customresourcedefinitions.apiextensions.k8s.io:/gadgets.example.com", "persistentvolumes:/pv-free", "persistentvolumes:/pv-unused",
		"priorityclasses.scheduling.k8s.io:/low",
	}
)

func TestFilters(t *testing.T) {
	t.Parallel()

	dbLabel := &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "db"}}
	tests := map[string]struct {
		spec velerov1.BackupSpec
		want [][]string
	}{
		"everything": {want: [][]string{appNamespaced, otherNamespaced, neededByApp, neededByNobody}},
		"a namespace, and what it needs": {
			spec: velerov1.BackupSpec{IncludedNamespaces: []string{"app"}}, want: [][]string{appNamespaced, neededByApp},
		},
		"a pattern of namespaces": {
			spec: velerov1.BackupSpec{IncludedNamespaces: []string{"a[op]?"}}, want: [][]string{appNamespaced, neededByApp},
		},
		"all namespaces but one": {
			spec: velerov1.BackupSpec{ExcludedNamespaces: []string{"o*"}}, want: [][]string{appNamespaced, neededByApp},
		},
		"a namespace and all cluster-scoped items": {
			spec: velerov1.BackupSpec{IncludedNamespaces: []string{"app"}, IncludeClusterResources: ptr.To(true)},
			want: [][]string{appNamespaced, neededByApp, neededByNobody},
		},
		"no cluster-scoped items": {
			spec: velerov1.BackupSpec{IncludedNamespaces: []string{"app"}, IncludeClusterResources: ptr.To(false)},
			want: [][]string{{
				"configmaps:app/labelled", "configmaps:app/settings", "persistentvolumeclaims:app/db", "pods:app/urgent", "pods:app/web-0",
				"serviceaccounts:app/runner", "widgets.example.com:app/w",
			}},
		},
		"old style: some kinds, and no others that they need": {
			spec: velerov1.BackupSpec{IncludedNamespaces: []string{"app"}, IncludedResources: []string{"po", "pvc", "widget"}},
			want: [][]string{{"persistentvolumeclaims:app/db", "pods:app/urgent", "pods:app/web-0", "widgets.example.com:app/w"}},
		},
		"old style: excluded kinds": {
			spec: velerov1.BackupSpec{IncludedNamespaces: []string{"app"}, ExcludedResources: []string{"pv", "configmaps", "clusterroles", "crd"}},
			want: [][]string{{
				"clusterrolebindings.rbac.authorization.k8s.io:/app-runner", "namespaces:/app", "persistentvolumeclaims:app/db",
				"pods:app/urgent", "pods:app/web-0", "priorityclasses.scheduling.k8s.io:/high", "serviceaccounts:app/runner", "widgets.example.com:app/w",
			}},
		},
		"new style: some kinds of both scopes": {
			spec: velerov1.BackupSpec{
				IncludedNamespaces: []string{"app"}, IncludedNamespaceScopedResources: []string{"configmaps"},
				IncludedClusterScopedResources: []string{"priorityclasses"},
			},
			want: [][]string{{
				"configmaps:app/labelled", "configmaps:app/settings", "namespaces:/app", "priorityclasses.scheduling.k8s.io:/high",
				"priorityclasses.scheduling.k8s.io:/low",
			}},
		},
		"new style: excluded kinds of both scopes": {
			spec: velerov1.BackupSpec{
				IncludedNamespaces: []string{"app"}, ExcludedNamespaceScopedResources: []string{"configmaps", "pods"},
				ExcludedClusterScopedResources: []string{"pv", "clusterrolebindings"},
			},
			want: [][]string{{
				"customresourcedefinitions.apiextensions.k8s.io:/widgets.example.com", "namespaces:/app", "persistentvolumeclaims:app/db",
				"serviceaccounts:app/runner", "widgets.example.com:app/w",
			}},
		},
		"labels, in all namespaces": {
			spec: velerov1.BackupSpec{LabelSelector: dbLabel},
			want: [][]string{{
				"configmaps:app/labelled", "namespaces:/app", "persistentvolumeclaims:app/db", "persistentvolumes:/pv-db", "pods:app/urgent",
				"priorityclasses.scheduling.k8s.io:/high",
			}},
		},
		"one of two labels, in some namespaces": {
			spec: velerov1.BackupSpec{IncludedNamespaces: []string{"*er"}, OrLabelSelectors: []*metav1.LabelSelector{
				dbLabel, {MatchLabels: map[string]string{"tier": "web"}},
			}},
			want: [][]string{{"configmaps:other/labelled", "namespaces:/other"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, clusterItems()...)
			g, ctx := w.g, t.Context()
			w.create(ctx, newBackup(func(b *velerov1.Backup) { b.Spec = tc.spec }))

			b := w.steps(ctx, untilCollected)

			items, err := w.archived(ctx)
			g.Expect(err).NotTo(HaveOccurred(), "%+v", b.Status)
			g.Expect(slices.Sorted(maps.Keys(items))).To(ConsistOf(slices.Concat(tc.want...)))
			g.Expect(b.Status.Errors).To(BeZero())
			var list layout.ResourceList
			w.stored(ctx, layout.BackupResourceList("nightly"), &list)
			listed := 0
			for _, names := range list {
				listed += len(names)
			}
			g.Expect(listed).To(Equal(len(items)), "%v", list)
		})
	}
}

// policyOf is the ConfigMap that spec.resourcePolicy names.
func policyOf(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "policy"}, Data: map[string]string{"policy.yaml": text}}
}

func withPolicy(b *velerov1.Backup) {
	ofApp(b)
	b.Spec.ResourcePolicy = &corev1.TypedLocalObjectReference{Kind: "ConfigMap", Name: "policy"}
}

func TestResourcePolicies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, clusterItems()...)
	g, ctx := w.g, t.Context()
	g.Expect(w.client.Create(ctx, policyOf(`
version: v1
volumePolicies:
- conditions: {volumeTypes: [emptyDir]}
  action: {type: skip}
includeExcludePolicy:
  excludedNamespaceScopedResources: [configmaps, serviceaccounts, widgets]
`))).To(Succeed())
	w.create(ctx, newBackup(withPolicy))

	w.steps(ctx, untilCollected)

	items, err := w.archived(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(slices.Sorted(maps.Keys(items))).To(Equal([]string{
		"namespaces:/app", "persistentvolumeclaims:app/db", "persistentvolumes:/pv-db", "pods:app/urgent", "pods:app/web-0",
		"priorityclasses.scheduling.k8s.io:/high",
	}))
	volumes := w.volumes(ctx)
	g.Expect(volumes).To(HaveLen(1), "the policy skips emptyDirs")
	g.Expect(volumes[0].Spec.Volume).To(Equal("data"))
	var info layout.VolumeInfoList
	w.stored(ctx, layout.BackupVolumeInfo("nightly"), &info)
	g.Expect(info).To(ContainElement(And(
		HaveField("Skipped", true), HaveField("SkippedReason", "podvolume: VolumePolicySkip;"), HaveField("PodVolumeInfo.PodName", "web-0"),
	)))
}

func TestResourcePoliciesThatAreWrong(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		policy *corev1.ConfigMap
		mod    func(*velerov1.Backup)
		want   []string // substrings of the problems
	}{
		"of no ConfigMap":       {want: []string{`spec.resourcePolicy.name: Not found: "policy": create the ConfigMap in namespace velero`}},
		"that cannot be parsed": {policy: policyOf("version: v2"), want: []string{`spec.resourcePolicy.name: Invalid value: "policy": version: Unsupported value: "v2"`}},
		"beside filters of the old style": {
			policy: policyOf("version: v1\nincludeExcludePolicy: {excludedNamespaceScopedResources: [pods]}"),
			mod:    func(b *velerov1.Backup) { b.Spec.IncludedResources = []string{"pods"} },
			want:   []string{"spec.resourcePolicy: Forbidden"},
		},
		"of another kind, and more that is wrong": {
			mod: func(b *velerov1.Backup) {
				b.Spec.ResourcePolicy.Kind = "Secret"
				b.Spec.IncludedNamespaces = []string{"A"}
			},
			want: []string{`spec.resourcePolicy.kind: Unsupported value: "Secret"`, "spec.includedNamespaces"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g, ctx := w.g, t.Context()
			if tc.policy != nil {
				g.Expect(w.client.Create(ctx, tc.policy)).To(Succeed())
			}
			b := newBackup(withPolicy)
			if tc.mod != nil {
				tc.mod(b)
			}
			w.create(ctx, b)

			b = w.steps(ctx, 1)

			g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailedValidation))
			g.Expect(b.Status.ValidationErrors).To(HaveLen(len(tc.want)))
			for _, text := range tc.want {
				g.Expect(b.Status.ValidationErrors).To(ContainElement(ContainSubstring(text)))
			}
		})
	}
}

func TestListsThatMatchNothingAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(func(b *velerov1.Backup) {
		b.Spec.IncludedNamespaces = []string{"app", "gone"}
		b.Spec.IncludedResources = []string{"pods", "typo"}
		b.Spec.ExcludedResources = []string{"elsewhere"}
		b.Spec.OrderedResources = map[string]string{"pods": "app/missing, web-0 ,other/x", "nothings": "a"}
	}))

	w.steps(ctx, untilCollected)

	var results layout.Results
	w.stored(ctx, layout.BackupResults("nightly"), &results)
	g.Expect(results.Errors.Velero).To(ConsistOf(ContainSubstring("Namespace gone of spec.includedNamespaces does not exist")))
	g.Expect(results.Warnings.Velero).To(ConsistOf(
		ContainSubstring(`spec.includedResources: no kind of the cluster is called "typo"`),
		ContainSubstring(`spec.orderedResources: no kind of the cluster is called "nothings"`),
	))
	g.Expect(results.Warnings.Namespaces["app"]).To(ConsistOf(ContainSubstring("it does not exist")))
	g.Expect(results.Warnings.Namespaces["other"]).To(ConsistOf(ContainSubstring("its namespace is not in the backup")))
	g.Expect(results.Warnings.Cluster).To(ConsistOf(ContainSubstring("items of this kind are named namespace/name")))
}

func TestOrderedItemsComeFirst(t *testing.T) {
	t.Parallel()
	items := append(appItems(), runningPod("app", "db-1"), runningPod("app", "db-0"))
	w := newWorld(t, items...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp, func(b *velerov1.Backup) {
		b.Spec.OrderedResources = map[string]string{"pod": "app/web-0,app/db-1"}
	}))

	w.steps(ctx, untilCollected)

	var pods []string
	for _, name := range w.order(ctx) {
		if slices.Contains([]string{"web-0", "db-0", "db-1"}, name) {
			pods = append(pods, name)
		}
	}
	g.Expect(pods).To(Equal([]string{"web-0", "db-1", "db-0"}), "each once")
}
