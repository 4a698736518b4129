package filter

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func kind(group, resource, kind string, mods ...func(*Resource)) Resource {
	r := Resource{GroupResource: schema.GroupResource{Group: group, Resource: resource}, Kind: kind, Namespaced: true}
	for _, mod := range mods {
		mod(&r)
	}
	return r
}

func inCluster(r *Resource) { r.Namespaced = false }

func short(names ...string) func(*Resource) {
	return func(r *Resource) { r.ShortNames = names }
}

var (
	pods         = kind("", "pods", "Pod", short("po"))
	claims       = kind("", "persistentvolumeclaims", "PersistentVolumeClaim", short("pvc"))
	volumes      = kind("", "persistentvolumes", "PersistentVolume", inCluster, short("pv"))
	namespaces   = kind("", "namespaces", "Namespace", inCluster, short("ns"))
	events       = kind("", "events", "Event")
	deployments  = kind("apps", "deployments", "Deployment", short("deploy"))
	events2      = kind("events.k8s.io", "events", "Event")
	roles        = kind("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", inCluster)
	certificates = kind("cert-manager.io", "certificates", "Certificate")
)

func catalog() Catalog {
	return NewCatalog([]Resource{pods, claims, volumes, namespaces, events, deployments, events2, roles, certificates})
}

func TestResolve(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		name string
		want Resource
	}{
		"plural":                         {"pods", pods},
		"singular":                       {"pod", pods},
		"short name":                     {"pvc", claims},
		"kind in any case":               {"Deployment", deployments},
		"with the group":                 {"deployments.apps", deployments},
		"short name with the group":      {"deploy.apps", deployments},
		"with the beginning of a group":  {"certificates.cert-manager", certificates},
		"the first group without one":    {"events", events},
		"the other group when it is led": {"events.events.k8s.io", events2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got, ok := catalog().Resolve(tc.name)

			g.Expect(ok).To(BeTrue())
			g.Expect(got).To(Equal(tc.want))
		})
	}
	for _, name := range []string{"", "pod.apps", "widgets", ".apps"} {
		_, ok := catalog().Resolve(name)
		NewWithT(t).Expect(ok).To(BeFalse(), name)
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		lists Lists
		name  string
		want  Reason
	}{
		"empty lists take all":            {Lists{}, "app", ReasonIncluded},
		"an asterisk takes all":           {Lists{Includes: []string{"*"}}, "app", ReasonIncluded},
		"a name takes itself":             {Lists{Includes: []string{"app"}}, "app", ReasonIncluded},
		"a name takes no other":           {Lists{Includes: []string{"app"}}, "app2", ReasonNamespaceNotIncluded},
		"excludes win":                    {Lists{Includes: []string{"app-*"}, Excludes: []string{"app-1"}}, "app-1", ReasonNamespaceExcluded},
		"an asterisk is any text":         {Lists{Includes: []string{"app-*"}}, "app-", ReasonIncluded},
		"a question mark is one letter":   {Lists{Includes: []string{"app-?"}}, "app-12", ReasonNamespaceNotIncluded},
		"brackets are one of letters":     {Lists{Includes: []string{"app-[ab]"}}, "app-b", ReasonIncluded},
		"brackets may hold a range":       {Lists{Includes: []string{"app-[a-c]"}}, "app-b", ReasonIncluded},
		"excluded patterns":               {Lists{Excludes: []string{"kube-*"}}, "kube-system", ReasonNamespaceExcluded},
		"a pattern that fits nothing":     {Lists{Includes: []string{"none-*"}}, "app", ReasonNamespaceNotIncluded},
		"exclude beats include by itself": {Lists{Includes: []string{"a", "b"}, Excludes: []string{"?"}}, "a", ReasonNamespaceExcluded},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := New(Filters{Namespaces: tc.lists}, catalog()).Namespace(tc.name)

			g.Expect(got.Reason).To(Equal(tc.want))
			g.Expect(got.Included).To(Equal(tc.want == ReasonIncluded))
		})
	}
}

func TestMissingNamespaces(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	f := New(Filters{Namespaces: Lists{Includes: []string{"app", "gone", "x-*", "*"}}}, catalog())

	g.Expect(f.MissingNamespaces([]string{"app", "other"})).To(Equal([]string{"gone"}))
}

// some takes one namespace.
var some = Lists{Includes: []string{"app"}}

func TestResources(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		filters Filters
		of      Resource
		direct  Reason
		related Reason
	}{
		"everything takes namespaced kinds":                 {Filters{}, pods, ReasonIncluded, ReasonIncluded},
		"everything takes cluster-scoped kinds":             {Filters{}, roles, ReasonIncluded, ReasonIncluded},
		"some namespaces take no cluster-scoped kinds":      {Filters{Namespaces: some}, roles, ReasonNotFullSelection, ReasonNeeded},
		"some namespaces take themselves":                   {Filters{Namespaces: some}, namespaces, ReasonIncluded, ReasonIncluded},
		"an excluded namespace makes it not full":           {Filters{Namespaces: Lists{Excludes: []string{"a"}}}, roles, ReasonNotFullSelection, ReasonNeeded},
		"old: by short name":                                {Filters{Resources: Lists{Includes: []string{"deploy"}}}, deployments, ReasonIncluded, ReasonIncluded},
		"old: not listed":                                   {Filters{Resources: Lists{Includes: []string{"deploy"}}}, pods, ReasonResourceNotIncluded, ReasonResourceNotIncluded},
		"old: namespaces are kinds like others":             {Filters{Resources: Lists{Includes: []string{"deploy"}}}, namespaces, ReasonResourceNotIncluded, ReasonResourceNotIncluded},
		"old: excludes win":                                 {Filters{Resources: Lists{Includes: []string{"*"}, Excludes: []string{"po"}}}, pods, ReasonResourceExcluded, ReasonResourceExcluded},
		"old: by pattern":                                   {Filters{Resources: Lists{Includes: []string{"*.cert-manager.io"}}}, certificates, ReasonIncluded, ReasonIncluded},
		"old: unknown names do not become everything":       {Filters{Resources: Lists{Includes: []string{"typo"}}}, pods, ReasonResourceNotIncluded, ReasonResourceNotIncluded},
		"old: one of two groups":                            {Filters{Resources: Lists{Includes: []string{"events"}}}, events2, ReasonResourceNotIncluded, ReasonResourceNotIncluded},
		"cluster resources off":                             {Filters{IncludeClusterResources: ptr.To(false)}, roles, ReasonClusterResourcesExcluded, ReasonClusterResourcesExcluded},
		"cluster resources off, of some namespaces":         {Filters{Namespaces: some, IncludeClusterResources: ptr.To(false)}, volumes, ReasonClusterResourcesExcluded, ReasonClusterResourcesExcluded},
		"cluster resources on, of some namespaces":          {Filters{Namespaces: some, IncludeClusterResources: ptr.To(true)}, roles, ReasonIncluded, ReasonIncluded},
		"cluster resources on, but not of this kind":        {Filters{Resources: Lists{Includes: []string{"pods"}}, IncludeClusterResources: ptr.To(true)}, volumes, ReasonResourceNotIncluded, ReasonNeeded},
		"cluster resources on, and this kind excluded":      {Filters{Resources: Lists{Excludes: []string{"pv"}}, IncludeClusterResources: ptr.To(true)}, volumes, ReasonResourceExcluded, ReasonResourceExcluded},
		"old: what is needed must be listed":                {Filters{Namespaces: some, Resources: Lists{Includes: []string{"pods", "pvc"}}}, volumes, ReasonNotFullSelection, ReasonResourceNotIncluded},
		"old: what is needed is listed":                     {Filters{Namespaces: some, Resources: Lists{Includes: []string{"pods", "pv"}}}, volumes, ReasonNotFullSelection, ReasonNeeded},
		"new: cluster-scoped only as listed":                {Filters{ClusterScoped: Lists{Includes: []string{"clusterrole"}}}, roles, ReasonIncluded, ReasonIncluded},
		"new: cluster-scoped not listed":                    {Filters{ClusterScoped: Lists{Includes: []string{"clusterrole"}}}, volumes, ReasonResourceNotIncluded, ReasonNeeded},
		"new: a cluster exclude alone lists nothing":        {Filters{ClusterScoped: Lists{Excludes: []string{"pv"}}}, roles, ReasonResourceNotIncluded, ReasonNeeded},
		"new: cluster excludes keep out what is needed too": {Filters{ClusterScoped: Lists{Excludes: []string{"pv"}}}, volumes, ReasonResourceExcluded, ReasonResourceExcluded},
		"new: all cluster-scoped excluded":                  {Filters{ClusterScoped: Lists{Excludes: []string{"*"}}}, namespaces, ReasonResourceExcluded, ReasonResourceExcluded},
		"new: namespaces unless they are excluded":          {Filters{NamespaceScoped: Lists{Includes: []string{"pods"}}}, namespaces, ReasonIncluded, ReasonIncluded},
		"new: namespaced as listed":                         {Filters{NamespaceScoped: Lists{Includes: []string{"pods"}}}, deployments, ReasonResourceNotIncluded, ReasonResourceNotIncluded},
		"new: namespaced excludes":                          {Filters{NamespaceScoped: Lists{Excludes: []string{"*"}}}, pods, ReasonResourceExcluded, ReasonResourceExcluded},
		"new: part of the namespaced kinds is not full":     {Filters{NamespaceScoped: Lists{Excludes: []string{"pods"}}}, roles, ReasonNotFullSelection, ReasonNeeded},
		"new: wrong scope does not become everything":       {Filters{NamespaceScoped: Lists{Includes: []string{"clusterroles"}}}, pods, ReasonResourceNotIncluded, ReasonResourceNotIncluded},
		"new: wrong scope takes nothing":                    {Filters{NamespaceScoped: Lists{Includes: []string{"clusterroles"}}}, roles, ReasonNotFullSelection, ReasonNeeded},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			f := New(tc.filters, catalog())

			g.Expect(tc.filters.Validate()).To(BeEmpty())
			g.Expect(f.Resource(tc.of)).To(Equal(Verdict{Included: tc.direct == ReasonIncluded, Reason: tc.direct}))
			g.Expect(f.Related(tc.of)).To(Equal(Verdict{Included: tc.related == ReasonIncluded || tc.related == ReasonNeeded, Reason: tc.related}))
		})
	}
}

func TestPolicyFillsInWhatTheSpecLeavesOpen(t *testing.T) {
	t.Parallel()
	policy := &Policy{
		NamespaceScoped: Lists{Includes: []string{"pods"}, Excludes: []string{"deploy"}},
		ClusterScoped:   Lists{Includes: []string{"clusterroles"}, Excludes: []string{"pv"}},
	}

	tests := map[string]struct {
		filters Filters
		of      Resource
		want    Reason
	}{
		"a policy includes":                        {Filters{}, pods, ReasonIncluded},
		"a policy that includes leaves out others": {Filters{}, claims, ReasonResourceNotIncluded},
		"a policy excludes":                        {Filters{}, deployments, ReasonResourceExcluded},
		"the spec's include wins":                  {Filters{NamespaceScoped: Lists{Includes: []string{"deploy"}}}, deployments, ReasonIncluded},
		"the spec's exclude wins":                  {Filters{NamespaceScoped: Lists{Excludes: []string{"pods"}}}, pods, ReasonResourceExcluded},
		"a policy includes cluster-scoped":         {Filters{}, roles, ReasonIncluded},
		"a policy excludes cluster-scoped":         {Filters{}, volumes, ReasonResourceExcluded},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.filters.Policy = policy

			g.Expect(tc.filters.Validate()).To(BeEmpty())
			g.Expect(New(tc.filters, catalog()).Resource(tc.of).Reason).To(Equal(tc.want))
		})
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	f := New(Filters{
		NamespaceScoped: Lists{Includes: []string{"pods", "clusterroles"}, Excludes: []string{"typo"}},
		Policy:          &Policy{ClusterScoped: Lists{Includes: []string{"pods"}}},
	}, catalog())

	g.Expect(f.Notes()).To(Equal([]Note{
		{Message: `spec.includedNamespaceScopedResources: "clusterroles" is cluster-scoped and matches nothing here; list it in spec.includedClusterScopedResources`},
		{Message: `spec.excludedNamespaceScopedResources: no kind of the cluster is called "typo"`, Harmless: true},
		{Message: `includeExcludePolicy.includedClusterScopedResources: "pods" is namespaced and matches nothing here; list it in includeExcludePolicy.includedNamespaceScopedResources`},
	}))
}

func selector(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func TestLabels(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		filters  Filters
		labels   map[string]string
		want     bool
		selector string
	}{
		"no selector":           {filters: Filters{}, want: true},
		"empty selector":        {filters: Filters{LabelSelector: &metav1.LabelSelector{}}, want: true},
		"selector fits":         {filters: Filters{LabelSelector: selector("a", "1")}, labels: map[string]string{"a": "1"}, want: true, selector: "a=1"},
		"selector fits not":     {filters: Filters{LabelSelector: selector("a", "1")}, selector: "a=1"},
		"one of two fits":       {filters: Filters{OrLabelSelectors: []*metav1.LabelSelector{selector("a", "1"), selector("a", "2")}}, labels: map[string]string{"a": "2"}, want: true},
		"none of two fits":      {filters: Filters{OrLabelSelectors: []*metav1.LabelSelector{selector("a", "1"), selector("a", "2")}}, labels: map[string]string{"a": "3"}},
		"one of two is for all": {filters: Filters{OrLabelSelectors: []*metav1.LabelSelector{selector("a", "1"), {}}}, want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			f := New(tc.filters, catalog())

			g.Expect(f.Labels(tc.labels).Included).To(Equal(tc.want))
			g.Expect(f.ListSelector()).To(Equal(tc.selector))
		})
	}
}

func TestSpecsAreRead(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	yes := true

	backup := ForBackup(&velerov1.BackupSpec{
		IncludedNamespaces: []string{"a"}, ExcludedNamespaces: []string{"b"}, IncludedResources: []string{"c"}, ExcludedResources: []string{"d"},
		IncludedClusterScopedResources: []string{"e"}, ExcludedClusterScopedResources: []string{"f"},
		IncludedNamespaceScopedResources: []string{"g"}, ExcludedNamespaceScopedResources: []string{"h"},
		IncludeClusterResources: &yes, LabelSelector: selector("a", "1"), OrLabelSelectors: []*metav1.LabelSelector{selector("b", "2")},
	})
	restore := ForRestore(&velerov1.RestoreSpec{
		IncludedNamespaces: []string{"a"}, ExcludedNamespaces: []string{"b"}, IncludedResources: []string{"c"}, ExcludedResources: []string{"d"},
		IncludeClusterResources: &yes, LabelSelector: selector("a", "1"), OrLabelSelectors: []*metav1.LabelSelector{selector("b", "2")},
	})

	g.Expect(backup.ClusterScoped).To(Equal(Lists{[]string{"e"}, []string{"f"}}))
	g.Expect(backup.NamespaceScoped).To(Equal(Lists{[]string{"g"}, []string{"h"}}))
	backup.ClusterScoped, backup.NamespaceScoped = Lists{}, Lists{}
	g.Expect(backup).To(Equal(restore))
	g.Expect(restore.Namespaces).To(Equal(Lists{[]string{"a"}, []string{"b"}}))
	g.Expect(restore.Resources).To(Equal(Lists{[]string{"c"}, []string{"d"}}))
}
