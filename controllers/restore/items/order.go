package items

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/podkeep/podkeep/internal/restorespec"
)

// Priorities are the resources that are restored before and after all others.
// Names are those of resources, with their group unless that is clear, in the
// order in which they are restored. The zero value gives no resource a place of
// its own.
type Priorities struct {
	High, Low []string
}

// lowSeparator stands, in the text form, between the two lists.
const lowSeparator = "-"

// DefaultPriorities returns the order of an install that names none. It is
// contract (velero-facts §11.6), pinned by a test: volumes before the claims that
// bind to them, everything a pod mounts before pods, and pods before the
// workloads that adopt them.
func DefaultPriorities() Priorities {
	return Priorities{
		High: []string{
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
		},
		Low: []string{
			"clusterbootstraps.run.tanzu.vmware.com",
			"clusters.cluster.x-k8s.io",
			"clusterresourcesets.addons.cluster.x-k8s.io",
			"apps.kappctrl.k14s.io",
			"packageinstalls.packaging.carvel.dev",
		},
	}
}

// ParsePriorities reads the text form: names separated by commas, and a "-"
// between the ones that come first and the ones that come last.
func ParsePriorities(text string) (Priorities, error) {
	var p Priorities
	isLow := false
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == lowSeparator && isLow:
			return Priorities{}, fmt.Errorf("invalid value: %q: must have %q once at most", text, lowSeparator)
		case name == lowSeparator:
			isLow = true
		case len(validation.IsDNS1123Subdomain(name)) > 0:
			return Priorities{}, fmt.Errorf("invalid value: %q: must be names of resources such as pods or deployments.apps, separated by commas", name)
		case isLow:
			p.Low = append(p.Low, name)
		default:
			p.High = append(p.High, name)
		}
	}
	return p, nil
}

// String returns the text form, which ParsePriorities reads.
func (p Priorities) String() string {
	names := slices.Clone(p.High)
	if len(p.Low) > 0 {
		names = append(append(names, lowSeparator), p.Low...)
	}
	return strings.Join(names, ",")
}

// Order returns the resources in the order in which they are restored: the ones
// with a place of their own first or last, the others alphabetically between
// them. The argument is not changed.
func (p Priorities) Order(resources []schema.GroupResource) []schema.GroupResource {
	ranks := map[schema.GroupResource]int{} // zero for the ones in between
	for i, name := range p.High {
		if gr, ok := findResource(resources, name); ok {
			ranks[gr] = i - len(p.High)
		}
	}
	for i, name := range p.Low {
		if gr, ok := findResource(resources, name); ok {
			ranks[gr] = i + 1
		}
	}
	return slices.SortedFunc(slices.Values(resources), func(a, b schema.GroupResource) int {
		return cmp.Or(cmp.Compare(ranks[a], ranks[b]), cmp.Compare(a.String(), b.String()))
	})
}

// findResource returns the resource that a name means. Without a group, that is
// the one of the core group, else of another group of Kubernetes, else any: the
// order of discovery. Velero's own list has a name in the singular.
func findResource(resources []schema.GroupResource, name string) (schema.GroupResource, bool) {
	word, group, hasGroup := strings.Cut(name, ".")
	var found []schema.GroupResource
	for _, gr := range resources {
		isCalled := gr.Resource == word || gr.Resource == word+"s" || gr.Resource == word+"es"
		if isCalled && (!hasGroup || gr.Group == group) {
			found = append(found, gr)
		}
	}
	if len(found) == 0 {
		return schema.GroupResource{}, false
	}
	return slices.MinFunc(found, func(a, b schema.GroupResource) int {
		return cmp.Or(cmp.Compare(distance(a.Group), distance(b.Group)), cmp.Compare(a.String(), b.String()))
	}), true
}

// distance of a group from the core of Kubernetes.
func distance(group string) int {
	switch {
	case group == "":
		return 0
	case !strings.Contains(group, "."), strings.HasSuffix(group, ".k8s.io"):
		return 1
	default:
		return 2
	}
}

// Reason says why something is not restored. Reasons are part of the restore's
// log.
type Reason string

// ReasonNotRestorable is a resource that makes no sense in another place or time,
// such as events, or something that belongs to podkeep itself.
const ReasonNotRestorable Reason = "NotRestorable"

// ExcludedResource returns why a resource of an archive is left out, or "".
func ExcludedResource(gr schema.GroupResource) Reason {
	if restorespec.IsNeverRestored(gr) {
		return ReasonNotRestorable
	}
	return ""
}
