package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/restorespec"
)

var (
	namespacesResource      = schema.GroupResource{Resource: "namespaces"}
	podsResource            = schema.GroupResource{Resource: "pods"}
	claimsResource          = schema.GroupResource{Resource: "persistentvolumeclaims"}
	volumesResource         = schema.GroupResource{Resource: "persistentvolumes"}
	definitionsResource     = schema.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
	priorityClassesResource = schema.GroupResource{Group: "scheduling.k8s.io", Resource: "priorityclasses"}
)

// itemKey names an object of the archive.
type itemKey struct {
	resource        schema.GroupResource
	namespace, name string
}

func keyOf(ref archive.ItemRef) itemKey {
	return itemKey{resource: ref.GroupResource, namespace: ref.Namespace, name: ref.Name}
}

// selection says which objects of an archive are restored.
type selection struct {
	archive *archive.Extracted

	// filter is what the spec asks for; lists are its lists of kinds alone, and
	// status those of spec.restoreStatus, nil when no status is restored.
	filter, lists, status *filter.Filter

	// kinds has the kinds of the archive, needed the objects that others need, and
	// neededKinds their kinds.
	kinds       map[schema.GroupResource]filter.Resource
	needed      map[itemKey]bool
	neededKinds map[schema.GroupResource]bool
}

// newSelection reads the lists of a spec. catalog resolves the names in them.
func newSelection(spec *velerov1.RestoreSpec, a *archive.Extracted, catalog filter.Catalog) (*selection, error) {
	filters := filter.ForRestore(spec)
	filters.Resources.Excludes = slices.DeleteFunc(slices.Clone(filters.Resources.Excludes), func(name string) bool {
		return slices.Contains(restorespec.NeverRestored, name) // leavesOutKind knows them
	})
	s := &selection{
		archive: a,
		filter:  filter.New(filters, catalog),
		lists:   filter.New(filter.Filters{Resources: filters.Resources}, catalog),
		kinds:   map[schema.GroupResource]filter.Resource{},
		needed:  map[itemKey]bool{}, neededKinds: map[schema.GroupResource]bool{},
	}
	if r := spec.RestoreStatus; r != nil {
		s.status = filter.New(filter.Filters{Resources: filter.Lists{Includes: r.IncludedResources, Excludes: r.ExcludedResources}}, catalog)
	}
	for _, gr := range a.Resources() {
		namespaces, err := a.Namespaces(gr)
		if err != nil {
			return nil, err
		}
		s.kinds[gr] = filter.Resource{GroupResource: gr, Namespaced: len(namespaces) > 0}
	}
	return s, s.findNeeded()
}

// kind returns what is known of a kind, which the archive may not have.
func (s *selection) kind(gr schema.GroupResource) filter.Resource {
	if r, ok := s.kinds[gr]; ok {
		return r
	}
	return filter.Resource{GroupResource: gr, Namespaced: gr == podsResource || gr == claimsResource}
}

// leavesOutKind returns why no item of a kind is restored, or "". Volumes are
// looked at whenever claims are, also to see which of them are kept.
func (s *selection) leavesOutKind(gr schema.GroupResource) string {
	if reason := items.ExcludedResource(gr); reason != "" {
		return string(reason)
	}
	v := s.filter.Resource(s.kind(gr))
	if v.Included || s.neededKinds[gr] || gr == volumesResource && s.leavesOutKind(claimsResource) == "" {
		return ""
	}
	return string(v.Reason)
}

func (s *selection) need(key itemKey) {
	s.needed[key], s.neededKinds[key.resource] = true, true
}

// leavesOut returns why an item is not restored, or "". Persistent volumes have
// rules of their own (selectsVolume).
func (s *selection) leavesOut(ref archive.ItemRef, archived *unstructured.Unstructured) string {
	if ref.Namespace != "" {
		if v := s.filter.Namespace(ref.Namespace); !v.Included {
			return string(v.Reason)
		}
	}
	if s.needed[keyOf(ref)] {
		return ""
	}
	if v := s.filter.Resource(s.kind(ref.GroupResource)); !v.Included {
		return string(v.Reason)
	}
	if v := s.filter.Labels(archived.GetLabels()); !v.Included {
		return string(v.Reason)
	}
	return ""
}

// leavesOutNamespace returns why items of a namespace are not restored, or "".
func (s *selection) leavesOutNamespace(name string) string {
	if v := s.filter.Namespace(name); name != "" && !v.Included {
		return string(v.Reason)
	}
	return ""
}

// restoresClaim reports whether a claim of the archive is restored.
func (s *selection) restoresClaim(namespace, name string) (bool, error) {
	ref := s.archive.Item(claimsResource, namespace, name)
	if s.leavesOutNamespace(namespace) != "" || s.leavesOutKind(claimsResource) != "" {
		return false, nil
	}
	archived, err := ref.Read()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.leavesOut(ref, archived) == "", nil
}

// fillsVolumes reports whether the data of volumes is restored: both kinds must
// be in the lists, whatever is said about cluster-scoped ones (velero-facts §7.5).
func (s *selection) fillsVolumes() bool {
	return s.lists.Resource(s.kind(claimsResource)).Included && s.lists.Resource(s.kind(volumesResource)).Included
}

// touchesVolumes reports whether persistent volumes may be created and changed.
func (s *selection) touchesVolumes() bool { return s.filter.Related(s.kind(volumesResource)).Included }

// findNeeded marks what other items need and the lists do not ask for: the claims
// of selected pods, their priority classes, and the definitions of kinds. Volumes
// follow their claims.
func (s *selection) findNeeded() error {
	if err := s.findDefinitions(); err != nil {
		return err
	}
	if s.leavesOutKind(podsResource) != "" || !s.filter.SelectsByLabel() && !s.findsRelated(priorityClassesResource) {
		return nil
	}
	for ref, err := range s.archive.Items(podsResource) {
		if err != nil {
			return err
		}
		archived, err := ref.Read()
		if err != nil || s.leavesOut(ref, archived) != "" {
			continue // one that cannot be read is reported when it is restored
		}
		s.findNeededBy(archived)
	}
	return nil
}

// findsRelated reports whether items of a kind are restored only as far as others
// need them.
func (s *selection) findsRelated(gr schema.GroupResource) bool {
	_, archived := s.kinds[gr]
	return archived && s.filter.Related(s.kind(gr)).Included && (!s.filter.Resource(s.kind(gr)).Included || s.filter.SelectsByLabel())
}

func (s *selection) findNeededBy(archived *unstructured.Unstructured) {
	pod, err := toPod(archived)
	if err != nil {
		return // as above
	}
	if s.filter.Related(s.kind(claimsResource)).Included {
		for _, v := range pod.Spec.Volumes {
			if claim := claimOf(pod, v.Name); claim != "" {
				s.need(itemKey{claimsResource, pod.Namespace, claim})
			}
		}
	}
	if class := pod.Spec.PriorityClassName; class != "" && s.findsRelated(priorityClassesResource) {
		s.need(itemKey{resource: priorityClassesResource, name: class})
	}
}

// findDefinitions marks the definitions of the kinds that are restored. A
// definition is called like the resource it defines.
func (s *selection) findDefinitions() error {
	if !s.findsRelated(definitionsResource) {
		return nil
	}
	defined := map[string]bool{}
	for ref, err := range s.archive.Items(definitionsResource) {
		if err != nil {
			return err
		}
		defined[ref.Name] = true
	}
	for gr := range s.kinds {
		if defined[gr.String()] && s.leavesOutKind(gr) == "" {
			s.need(itemKey{resource: definitionsResource, name: gr.String()})
		}
	}
	return nil
}

// wantedNamespaces returns those namespaces of the archive that are restored:
// the selected ones, and when not everything in them is, those with something to
// restore. Sorted.
func (s *selection) wantedNamespaces(all []string) ([]string, error) {
	var wanted []string
	for _, name := range all {
		if s.leavesOutNamespace(name) != "" {
			continue
		}
		found, err := s.isWanted(name)
		if err != nil {
			return nil, err
		}
		if found {
			wanted = append(wanted, name)
		}
	}
	return wanted, nil
}

// isWanted looks for the first thing to restore in a namespace.
func (s *selection) isWanted(namespace string) (bool, error) {
	own := s.archive.Item(namespacesResource, "", namespace)
	if archived, err := own.Read(); err == nil && s.leavesOut(own, archived) == "" {
		return true, nil
	}
	for gr := range s.kinds {
		if s.leavesOutKind(gr) != "" {
			continue
		}
		for ref, err := range s.archive.ItemsIn(gr, namespace) {
			if err != nil {
				return false, err
			}
			if archived, err := ref.Read(); err == nil && s.leavesOut(ref, archived) == "" {
				return true, nil
			}
		}
	}
	return false, nil
}

// count returns how many items will be looked at, before labels are.
func (s *selection) count() (int, error) {
	n := 0
	for gr := range s.kinds {
		if s.leavesOutKind(gr) != "" {
			continue
		}
		for ref, err := range s.archive.Items(gr) {
			if err != nil {
				return 0, err
			}
			if s.leavesOutNamespace(ref.Namespace) == "" {
				n++
			}
		}
	}
	return n, nil
}

// readSelection decides what is restored, and warns of names in the spec that
// match nothing.
func (p *pass) readSelection(ctx context.Context) error {
	catalog, err := p.catalog(ctx)
	if err != nil {
		return err
	}
	if p.selection, err = newSelection(&p.restore.Spec, p.archive, catalog); err != nil {
		return outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
	}
	for _, note := range p.selection.filter.Notes() {
		if note.Harmless {
			p.log.Info("Name matches nothing", "note", note.Message)
			continue
		}
		p.log.Warn(itemlog.Entry{Message: note.Message})
	}
	return nil
}

// catalog asks the API server what it serves, when there is a name to resolve.
// Kinds that only the archive knows, as their definitions are in it, come last.
func (p *pass) catalog(ctx context.Context) (filter.Catalog, error) {
	if !namesKinds(&p.restore.Spec) {
		return filter.Catalog{}, nil
	}
	_, served, err := p.Discovery.ServerGroupsAndResourcesWithContext(ctx)
	if _, partial := discovery.GroupDiscoveryFailedErrorGroups(err); err != nil && !partial {
		return filter.Catalog{}, fmt.Errorf("discovering resources: %w", err)
	}
	resources := servedResources(served)
	for _, gr := range p.archive.Resources() {
		namespaces, err := p.archive.Namespaces(gr)
		if err != nil {
			return filter.Catalog{}, outcome.Terminalf(velerov1.ReasonArchiveUnreadable, "reading the archive: %w", err)
		}
		if !slices.ContainsFunc(resources, func(r filter.Resource) bool { return r.GroupResource == gr }) {
			resources = append(resources, filter.Resource{GroupResource: gr, Namespaced: len(namespaces) > 0})
		}
	}
	return filter.NewCatalog(resources), nil
}

// namesKinds reports whether a spec has names of kinds beyond those that every
// restore leaves out.
func namesKinds(spec *velerov1.RestoreSpec) bool {
	names := slices.Concat(spec.IncludedResources, spec.ExcludedResources)
	if s := spec.RestoreStatus; s != nil {
		names = slices.Concat(names, s.IncludedResources, s.ExcludedResources)
	}
	return slices.ContainsFunc(names, func(n string) bool { return n != everything && !slices.Contains(restorespec.NeverRestored, n) })
}

// servedResources turns discovery into kinds, each once, in the order of
// discovery with the core group first.
func servedResources(lists []*metav1.APIResourceList) []filter.Resource {
	var resources []filter.Resource
	seen := map[schema.GroupResource]bool{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // discovery does not serve such
		}
		for _, r := range list.APIResources {
			gr := schema.GroupResource{Group: gv.Group, Resource: r.Name}
			if strings.Contains(r.Name, "/") || seen[gr] {
				continue
			}
			seen[gr] = true
			resources = append(resources, filter.Resource{
				GroupResource: gr, Kind: r.Kind, Singular: r.SingularName, ShortNames: r.ShortNames, Namespaced: r.Namespaced,
			})
		}
	}
	slices.SortStableFunc(resources, func(a, b filter.Resource) int { return cmp.Compare(min(len(a.Group), 1), min(len(b.Group), 1)) })
	return resources
}

// wantsStatus reports whether the status of an object is restored. The object's
// own annotation decides before spec.restoreStatus; problem says what is wrong
// with it.
func (s *selection) wantsStatus(gr schema.GroupResource, archived *unstructured.Unstructured) (wanted bool, problem string) {
	wanted = s.status != nil && s.status.Resource(s.kind(gr)).Included
	value, ok := archived.GetAnnotations()[velerov1.RestoreStatusAnnotation]
	if !ok {
		return wanted, ""
	}
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "true":
		return true, ""
	case "false":
		return false, ""
	default:
		return wanted, fmt.Sprintf("metadata.annotations[%s]: Unsupported value: %q: supported values: true, false; spec.restoreStatus decides",
			velerov1.RestoreStatusAnnotation, value)
	}
}

// isPodWithGate reports whether a pod waits for volumes: its status is what the
// kubelet and the node agents go by.
func isPodWithGate(obj *unstructured.Unstructured) bool {
	return obj.GroupVersionKind() == corev1.SchemeGroupVersion.WithKind("Pod") && obj.GetAnnotations()[velerov1.RestoreVolumesAnnotation] != ""
}
