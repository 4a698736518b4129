package backup

import (
	"bytes"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/layout"
)

// group serves versions, the first of which it prefers.
func group(name string, versions ...string) *metav1.APIGroup {
	g := &metav1.APIGroup{Name: name}
	for _, v := range versions {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{
			GroupVersion: schema.GroupVersion{Group: name, Version: v}.String(), Version: v,
		})
	}
	g.PreferredVersion = g.Versions[0]
	return g
}

func served(groupVersion string, resources ...string) *metav1.APIResourceList {
	l := &metav1.APIResourceList{GroupVersion: groupVersion}
	for _, r := range resources {
		l.APIResources = append(l.APIResources, metav1.APIResource{Name: r, Kind: r, Namespaced: true, Verbs: neededVerbs})
	}
	return l
}

func TestChooseResources(t *testing.T) {
	t.Parallel()

	readOnly := served("metrics.k8s.io/v1")
	readOnly.APIResources = []metav1.APIResource{{Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: metav1.Verbs{"get", "list"}}}
	cluster := served("v1", "configmaps", "pods", "persistentvolumeclaims")
	cluster.APIResources = append(cluster.APIResources, metav1.APIResource{Name: "nodes", Kind: "Node", Verbs: neededVerbs})

	tests := map[string]struct {
		groups  []*metav1.APIGroup
		lists   []*metav1.APIResourceList
		filters filter.Filters
		want    []string // group version resource, "*" when it is the preferred version
	}{
		"all kinds": {
			groups: []*metav1.APIGroup{group("", "v1")}, lists: []*metav1.APIResourceList{cluster},
			want: []string{"v1 configmaps*", "v1 nodes*", "v1 persistentvolumeclaims*", "v1 pods*"},
		},
		"kinds that the filters take": {
			groups: []*metav1.APIGroup{group("", "v1")}, lists: []*metav1.APIResourceList{cluster},
			filters: filter.Filters{Resources: filter.Lists{Includes: []string{"configmaps"}}},
			want:    []string{"v1 configmaps*"},
		},
		"the other group, when the filters take only that": {
			groups:  []*metav1.APIGroup{group("", "v1"), group("events.k8s.io", "v1")},
			lists:   []*metav1.APIResourceList{served("v1", "events"), served("events.k8s.io/v1", "events")},
			filters: filter.Filters{Resources: filter.Lists{Includes: []string{"events.events.k8s.io"}}},
			want:    []string{"events.k8s.io/v1 events*"},
		},
		"the preferred version": {
			groups: []*metav1.APIGroup{group("autoscaling", "v2", "v1")},
			lists:  []*metav1.APIResourceList{served("autoscaling/v1", "hpas"), served("autoscaling/v2", "hpas")},
			want:   []string{"autoscaling/v2 hpas*"},
		},
		"a kind that only another version has": {
			groups: []*metav1.APIGroup{group("batch", "v1", "v1beta1")},
			lists:  []*metav1.APIResourceList{served("batch/v1", "jobs"), served("batch/v1beta1", "cronjobs")},
			want:   []string{"batch/v1beta1 cronjobs", "batch/v1 jobs*"},
		},
		"what cannot be created again is no item": {
			groups: []*metav1.APIGroup{group("metrics.k8s.io", "v1")}, lists: []*metav1.APIResourceList{readOnly},
		},
		"the same events in two groups": {
			groups: []*metav1.APIGroup{group("", "v1"), group("events.k8s.io", "v1")},
			lists:  []*metav1.APIResourceList{served("v1", "events"), served("events.k8s.io/v1", "events")},
			want:   []string{"v1 events*"},
		},
		"deployments of an old cluster": {
			groups: []*metav1.APIGroup{group("extensions", "v1beta1")}, lists: []*metav1.APIResourceList{served("extensions/v1beta1", "deployments")},
			want: []string{"extensions/v1beta1 deployments*"},
		},
		"snapshots belong to the snapshot path": {
			groups: []*metav1.APIGroup{group("snapshot.storage.k8s.io", "v1")},
			lists:  []*metav1.APIResourceList{served("snapshot.storage.k8s.io/v1", "volumesnapshots")},
		},
		"a group that did not answer": {
			groups: []*metav1.APIGroup{group("gone.example.com", "v1"), group("apps", "v1")}, lists: []*metav1.APIResourceList{served("apps/v1", "deployments")},
			want: []string{"apps/v1 deployments*"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			var got []string
			d := newDiscovered(tc.groups, tc.lists)
			for _, r := range d.choose(filter.New(tc.filters, d.catalog)) {
				if !r.verdict.Included {
					continue
				}
				text := r.GroupVersion().String() + " " + r.Resource
				if r.preferred {
					text += "*"
				}
				got = append(got, text)
			}

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestResourceListIsWhatLayoutReads(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var buf bytes.Buffer
	l, err := newResourceList(&buf)
	g.Expect(err).NotTo(HaveOccurred())
	pod := schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	namespace := schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}
	deployment := schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}

	l.add(pod, "app", "web-1")
	l.add(namespace, "", "app")
	l.add(pod, "app", "web-0")
	g.Expect(l.flush()).To(Succeed())
	l.add(deployment, "app", "web")
	g.Expect(l.close()).To(Succeed())

	var got layout.ResourceList
	g.Expect(layout.DecodeJSONGzip(&buf, &got)).To(Succeed())
	g.Expect(got).To(Equal(layout.ResourceList{
		"v1/Pod": {"app/web-0", "app/web-1"}, "v1/Namespace": {"app"}, "apps/v1/Deployment": {"app/web"},
	}))
}

func TestEmptyResourceList(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var buf bytes.Buffer
	l, err := newResourceList(&buf)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.close()).To(Succeed())

	var got layout.ResourceList
	g.Expect(layout.DecodeJSONGzip(&buf, &got)).To(Succeed())
	g.Expect(got).To(BeEmpty())
}
