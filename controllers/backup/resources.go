package backup

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
)

// resource is a kind of items, in the version in which they are read.
type resource struct {
	schema.GroupVersionResource

	kind       string
	preferred  bool // the version is the one that its group prefers
	namespaced bool
}

func (r resource) gvk() schema.GroupVersionKind { return r.GroupVersion().WithKind(r.kind) }

// Resources that have steps of their own. They exist in every cluster.
var (
	namespacesResource = coreResource("namespaces", "Namespace", false)
	claimsResource     = coreResource("persistentvolumeclaims", "PersistentVolumeClaim", true)
	volumesResource    = coreResource("persistentvolumes", "PersistentVolume", false)
	podsResource       = coreResource("pods", "Pod", true)
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

// chooseResources returns the namespaced kinds that a backup reads, each in one
// version, by group and name. Discovery says what the cluster serves. Claims and
// pods, which have steps of their own, are not among them.
func chooseResources(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) []resource {
	served := servedResources(groups, lists)
	var chosen []resource
	for gr, versions := range served {
		if hasOwnStep(gr) || snapshotResources.Has(gr) || isCohabitant(gr, served) {
			continue
		}
		chosen = append(chosen, newestChoice(versions))
	}
	slices.SortFunc(chosen, func(a, b resource) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
	})
	return chosen
}

func hasOwnStep(gr schema.GroupResource) bool {
	return gr == claimsResource.GroupResource() || gr == podsResource.GroupResource()
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
	byVersion := map[string]*metav1.APIResourceList{}
	for _, l := range lists {
		byVersion[l.GroupVersion] = l
	}
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

func itemResources(list *metav1.APIResourceList) []resource {
	if list == nil {
		return nil // this version could not be discovered; the caller reports it
	}
	var items []resource
	for _, r := range list.APIResources {
		if r.Namespaced && sets.New(r.Verbs...).HasAll(neededVerbs...) {
			items = append(items, resource{
				GroupVersionResource: schema.GroupVersionResource{Resource: r.Name},
				kind:                 r.Kind, namespaced: true,
			})
		}
	}
	return items
}

// isCohabitant reports whether another group serves the same objects and is
// preferred.
func isCohabitant(gr schema.GroupResource, served map[schema.GroupResource][]resource) bool {
	groups := cohabitants[gr.Resource]
	i := slices.Index(groups, gr.Group)
	if i <= 0 {
		return false
	}
	_, ok := served[schema.GroupResource{Group: groups[0], Resource: gr.Resource}]
	return ok
}
