package backup

import (
	"cmp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/podkeep/podkeep/internal/filter"
)

// resource is a kind of items, in the version in which they are read.
type resource struct {
	schema.GroupVersionResource

	kind       string
	preferred  bool // the version is the one that its group prefers
	namespaced bool
}

// forFilter is the kind as the filters see it.
func (r resource) forFilter() filter.Resource {
	return filter.Resource{GroupResource: r.GroupResource(), Kind: r.kind, Namespaced: r.namespaced}
}

func (r resource) gvk() schema.GroupVersionKind { return r.GroupVersion().WithKind(r.kind) }

// Resources that have steps of their own. They exist in every cluster.
var (
	namespacesResource = coreResource("namespaces", "Namespace", false)
	claimsResource     = coreResource("persistentvolumeclaims", "PersistentVolumeClaim", true)
	volumesResource    = coreResource("persistentvolumes", "PersistentVolume", false)
	podsResource       = coreResource("pods", "Pod", true)
)

// Cluster-scoped kinds of which other items need some, and that are therefore read
// last, in this order.
var (
	priorityClasses = schema.GroupResource{Group: "scheduling.k8s.io", Resource: "priorityclasses"}
	roleBindings    = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"}
	roles           = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}
	definitions     = schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}

	serviceAccounts = schema.GroupResource{Resource: "serviceaccounts"}
)

func coreResource(name, kind string, namespaced bool) resource {
	return resource{
		GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: name},
		kind:                 kind, preferred: true, namespaced: namespaced,
	}
}

// neededVerbs are those that a backup and a restore of a kind need. Kinds
// without them, such as reviews and metrics, are no items.
var neededVerbs = []string{"list", "get", "create", "delete"}

// snapshotResources belong to volume snapshots, and are worth something only
// together with them (velero-facts §2.1).
var snapshotResources = sets.New(
	schema.GroupResource{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshots"},
	schema.GroupResource{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshotcontents"},
)

// cohabitants are groups that serve the same objects as another one. A kind is
// read from the group on the right only when the one on the left does not serve
// it (velero-facts §11.1).
var cohabitants = map[string][]string{
	"deployments":     {"apps", "extensions"},
	"daemonsets":      {"apps", "extensions"},
	"replicasets":     {"apps", "extensions"},
	"networkpolicies": {"networking.k8s.io", "extensions"},
	"events":          {"", "events.k8s.io"},
}

// discovered is what the cluster serves.
type discovered struct {
	// kinds can be items of a backup, each in one version, in the order in which
	// they are read: those of the core group first.
	kinds []resource

	// catalog knows also kinds that cannot, so that their names are resolved.
	catalog filter.Catalog
}

// newDiscovered reads the answers of discovery.
func newDiscovered(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) discovered {
	served := servedResources(groups, lists)
	d := discovered{catalog: filter.NewCatalog(namesOf(groups, lists))}
	for _, versions := range served {
		d.kinds = append(d.kinds, newestChoice(versions))
	}
	slices.SortFunc(d.kinds, func(a, b resource) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
	})
	return d
}

// choice is a kind, and whether its items are taken by themselves.
type choice struct {
	resource

	verdict filter.Verdict
}

// Reasons of this package for kinds that are left out, beside those of
// internal/filter.
const (
	reasonSnapshotKind filter.Reason = "BelongsToVolumeSnapshots"
	reasonCohabitant   filter.Reason = "SameObjectsInAnotherGroup"
)

// choose judges all kinds. Of two groups that serve the same objects, one is
// taken, if the filter takes both.
func (d discovered) choose(f *filter.Filter) []choice {
	taken := sets.New[schema.GroupResource]()
	choices := make([]choice, 0, len(d.kinds))
	for _, r := range d.kinds {
		c := choice{resource: r, verdict: f.Resource(r.forFilter())}
		if snapshotResources.Has(r.GroupResource()) {
			c.verdict = filter.Verdict{Reason: reasonSnapshotKind}
		}
		if c.verdict.Included {
			taken.Insert(r.GroupResource())
		}
		choices = append(choices, c)
	}
	for i := range choices {
		if choices[i].verdict.Included && isCohabitant(choices[i].GroupResource(), taken) {
			choices[i].verdict = filter.Verdict{Reason: reasonCohabitant}
		}
	}
	return choices
}

// newestChoice prefers the group's preferred version; a kind that has not got
// there is read in the first version that its group lists.
func newestChoice(versions []resource) resource {
	if i := slices.IndexFunc(versions, func(r resource) bool { return r.preferred }); i >= 0 {
		return versions[i]
	}
	return versions[0]
}

// servedResources returns, for each kind that can be an item, its versions in
// the order of its group.
func servedResources(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) map[schema.GroupResource][]resource {
	byVersion := listsByVersion(lists)
	served := map[schema.GroupResource][]resource{}
	for _, g := range groups {
		for _, v := range g.Versions {
			for _, r := range itemResources(byVersion[v.GroupVersion]) {
				r.preferred = v.Version == g.PreferredVersion.Version
				r.Group, r.Version = g.Name, v.Version
				served[r.GroupResource()] = append(served[r.GroupResource()], r)
			}
		}
	}
	return served
}

func listsByVersion(lists []*metav1.APIResourceList) map[string]*metav1.APIResourceList {
	byVersion := map[string]*metav1.APIResourceList{}
	for _, l := range lists {
		byVersion[l.GroupVersion] = l
	}
	return byVersion
}

func itemResources(list *metav1.APIResourceList) []resource {
	if list == nil {
		return nil // this version could not be discovered; the caller reports it
	}
	var items []resource
	for _, r := range list.APIResources {
		if sets.New(r.Verbs...).HasAll(neededVerbs...) {
			items = append(items, resource{
				GroupVersionResource: schema.GroupVersionResource{Resource: r.Name},
				kind:                 r.Kind, namespaced: r.Namespaced,
			})
		}
	}
	return items
}

// namesOf returns what each kind is called, in the order of discovery.
func namesOf(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) []filter.Resource {
	byVersion := listsByVersion(lists)
	seen := sets.New[schema.GroupResource]()
	var names []filter.Resource
	for _, g := range groups {
		for _, v := range g.Versions {
			list := byVersion[v.GroupVersion]
			if list == nil {
				continue
			}
			for _, r := range list.APIResources {
				gr := schema.GroupResource{Group: g.Name, Resource: r.Name}
				if strings.Contains(r.Name, "/") || seen.Has(gr) {
					continue
				}
				seen.Insert(gr)
				names = append(names, filter.Resource{
					GroupResource: gr, Kind: r.Kind, Singular: r.SingularName, ShortNames: r.ShortNames, Namespaced: r.Namespaced,
				})
			}
		}
	}
	return names
}

// isCohabitant reports whether another group serves the same objects, is
// preferred, and is taken.
func isCohabitant(gr schema.GroupResource, taken sets.Set[schema.GroupResource]) bool {
	groups := cohabitants[gr.Resource]
	i := slices.Index(groups, gr.Group)
	return i > 0 && taken.Has(schema.GroupResource{Group: groups[0], Resource: gr.Resource})
}
