package items

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// first are the resources that are restored before all others. The order is
// contract (velero-facts §11.6), pinned by a test: volumes before the claims that
// bind to them, everything a pod mounts before pods, and pods before the
// workloads that adopt them.
var first = []string{
	"customresourcedefinitions.apiextensions.k8s.io",
	"namespaces",
	"storageclasses.storage.k8s.io",
	"volumesnapshotclasses.snapshot.storage.k8s.io",
	"volumesnapshotcontents.snapshot.storage.k8s.io",
	"volumesnapshots.snapshot.storage.k8s.io",
	"datauploads.velero.io",
	"persistentvolumes",
	"persistentvolumeclaims",
	"clusterroles.rbac.authorization.k8s.io",
	"roles.rbac.authorization.k8s.io",
	"serviceaccounts",
	"clusterrolebindings.rbac.authorization.k8s.io",
	"rolebindings.rbac.authorization.k8s.io",
	"secrets",
	"configmaps",
	"limitranges",
	"priorityclasses.scheduling.k8s.io",
	"pods",
	"replicasets.apps",
	"clusterclasses.cluster.x-k8s.io",
	"endpoints",
	"services",
}

// last are the resources that are restored after all others, in this order.
var last = []string{
	"clusterbootstraps.run.tanzu.vmware.com",
	"clusters.cluster.x-k8s.io",
	"clusterresourcesets.addons.cluster.x-k8s.io",
	"apps.kappctrl.k14s.io",
	"packageinstalls.packaging.carvel.dev",
}

// Order returns the resources in the order in which they are restored: the ones
// with a place of their own first or last, the others alphabetically between
// them. The argument is not changed.
func Order(resources []schema.GroupResource) []schema.GroupResource {
	return slices.SortedFunc(slices.Values(resources), func(a, b schema.GroupResource) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.String(), b.String()))
	})
}

func rank(gr schema.GroupResource) int {
	if i := slices.Index(first, gr.String()); i >= 0 {
		return i - len(first) // below zero
	}
	return slices.Index(last, gr.String()) + 1 // zero for the ones in between
}

// Reason says why something is not restored. Reasons are part of the restore's
// log.
type Reason string

// Reasons why a whole resource is not restored.
const (
	// ReasonNotRestorable is a resource that makes no sense in another place or
	// time, such as events, or one that belongs to podkeep itself.
	ReasonNotRestorable Reason = "NotRestorable"

	// ReasonClusterScoped is a resource without namespace that no namespaced item
	// needs.
	ReasonClusterScoped Reason = "ClusterScoped"
)

// NotRestorable are the resources that no restore writes; the names are those
// that Velero's clients send in spec.excludedResources (velero-facts §2.2).
var NotRestorable = []string{
	"nodes",
	"events",
	"events.events.k8s.io",
	"backups.velero.io",
	"restores.velero.io",
	"resticrepositories.velero.io",
	"csinodes.storage.k8s.io",
	"volumeattachments.storage.k8s.io",
	"backuprepositories.velero.io",
}

// ExcludedResource returns why a resource of an archive is left out, or "".
//
// Beyond NotRestorable all other kinds of velero.io are left out: a restored
// PodVolumeRestore or DeleteBackupRequest would be carried out.
func ExcludedResource(gr schema.GroupResource) Reason {
	if gr.Group == velerov1.GroupName || slices.Contains(NotRestorable, gr.String()) {
		return ReasonNotRestorable
	}
	return ""
}

// NeedsNoNamespace reports whether items of the resource that are not in a
// namespace are restored. Those of other resources are left out with
// ReasonClusterScoped.
func NeedsNoNamespace(gr schema.GroupResource) bool {
	return gr.Group == "" && (gr.Resource == "namespaces" || gr.Resource == "persistentvolumes")
}
