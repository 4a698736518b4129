package filter

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// namespacesResource are the namespaces themselves. The new style takes them
// unless they are excluded.
var namespacesResource = schema.GroupResource{Resource: "namespaces"}

// Filter judges. It is made by New and not changed after.
type Filter struct {
	filters   Filters
	old       bool
	resources Lists // of the old style, resolved
	cluster   Lists // of the new style, resolved, with the policy
	namespace Lists
	selectors []labels.Selector // none: every label will do
	notes     []Note
}

// Note is something about a list that its writer should hear of.
type Note struct {
	// Message names the field, the value and what is wrong with it.
	Message string

	// Harmless says that the list excludes: what it does not match stays in.
	Harmless bool
}

// New resolves the names in valid filters. Names that the catalog does not have
// are kept as they are, and match a kind of exactly that name, or as a pattern.
func New(f Filters, c Catalog) *Filter {
	n := &Filter{filters: f, old: f.oldStyle()}
	n.resources = n.resolve(c, inSpec, anyScope, f.Resources)
	n.cluster = n.resolve(c, inSpec, clusterScope, f.ClusterScoped)
	n.namespace = n.resolve(c, inSpec, namespaceScope, f.NamespaceScoped)
	if f.Policy != nil && !n.old {
		addPolicy(&n.cluster, n.resolve(c, inPolicy, clusterScope, f.Policy.ClusterScoped))
		addPolicy(&n.namespace, n.resolve(c, inPolicy, namespaceScope, f.Policy.NamespaceScoped))
	}
	n.selectors = selectorsOf(f)
	return n
}

// Where lists are written.
const (
	inSpec   = "spec"
	inPolicy = "includeExcludePolicy"
)

// scope is the scope that the kinds in a list must have.
type scope string

const (
	anyScope       scope = ""
	clusterScope   scope = "cluster-scoped"
	namespaceScope scope = "namespaced"
)

func scopeOf(r Resource) scope {
	if r.Namespaced {
		return namespaceScope
	}
	return clusterScope
}

// suffixes are what the names of the fields with lists of a scope end with.
var suffixes = map[scope]string{
	anyScope:       "Resources",
	clusterScope:   "ClusterScopedResources",
	namespaceScope: "NamespaceScopedResources",
}

// resolve replaces names by full names.
func (n *Filter) resolve(c Catalog, where string, s scope, l Lists) Lists {
	return Lists{
		Includes: n.resolveNames(c, list{field: where + ".included", scope: s, names: l.Includes}),
		Excludes: n.resolveNames(c, list{field: where + ".excluded", scope: s, names: l.Excludes, excludes: true}),
	}
}

// list is one list of names.
type list struct {
	field    string // without its suffix
	scope    scope
	names    []string
	excludes bool
}

// resolveNames keeps a kind of the wrong scope, which matches nothing: without
// it, the list could become empty, and empty means everything.
func (n *Filter) resolveNames(c Catalog, l list) []string {
	var full []string
	for _, name := range l.names {
		r, ok := c.Resolve(name)
		switch {
		case isPattern(name):
			full = append(full, name)
		case !ok:
			n.note(l, fmt.Sprintf("no kind of the cluster is called %q", name))
			full = append(full, name)
		case l.scope != anyScope && l.scope != scopeOf(r):
			n.note(l, fmt.Sprintf("%q is %s and matches nothing here; list it in %s", name, scopeOf(r), l.field+suffixes[scopeOf(r)]))
			full = append(full, name)
		default:
			full = append(full, r.String())
		}
	}
	return full
}

func (n *Filter) note(l list, text string) {
	n.notes = append(n.notes, Note{Message: l.field + suffixes[l.scope] + ": " + text, Harmless: l.excludes})
}

// addPolicy adds the lists of a policy to those of the spec, which win: what the
// spec names on either side, the policy does not change. Within the policy,
// excludes win.
func addPolicy(to *Lists, policy Lists) {
	isNew := func(name string) bool { return !matchesAny(to.Includes, name) && !matchesAny(to.Excludes, name) }
	for _, name := range policy.Excludes {
		if isNew(name) {
			to.Excludes = append(to.Excludes, name)
		}
	}
	for _, name := range policy.Includes {
		if isNew(name) {
			to.Includes = append(to.Includes, name)
		}
	}
}

// selectorsOf returns the selectors, none when one of them takes everything. Those
// that do not parse were refused before.
func selectorsOf(f Filters) []labels.Selector {
	var selectors []labels.Selector
	for _, s := range slices.Concat([]*metav1.LabelSelector{f.LabelSelector}, f.OrLabelSelectors) {
		if s == nil {
			continue
		}
		parsed, err := metav1.LabelSelectorAsSelector(s)
		switch {
		case err != nil:
		case parsed.Empty():
			return nil
		default:
			selectors = append(selectors, parsed)
		}
	}
	return selectors
}

// Notes says which names in the lists match nothing. That is a typing error more
// often than not, and worth a warning unless it is harmless.
func (n *Filter) Notes() []Note { return slices.Clone(n.notes) }

// Namespace judges the items of a namespace, and the namespace itself as far as
// its name goes.
func (n *Filter) Namespace(name string) Verdict {
	switch l := n.filters.Namespaces; {
	case matchesAny(l.Excludes, name):
		return not(ReasonNamespaceExcluded)
	case len(l.Includes) == 0 || matchesAny(l.Includes, name):
		return included
	default:
		return not(ReasonNamespaceNotIncluded)
	}
}

// NamesNoNamespace reports whether namespaces are taken without being named.
// Some may be excluded all the same.
func (n *Filter) NamesNoNamespace() bool {
	in := n.filters.Namespaces.Includes
	return len(in) == 0 || slices.Contains(in, everything)
}

// TakesAllNamespaces reports whether no namespace is left out.
func (n *Filter) TakesAllNamespaces() bool { return n.filters.Namespaces.isEverything() }

// MissingNamespaces returns the included names, not patterns, that are not among
// the existing ones.
func (n *Filter) MissingNamespaces(existing []string) []string {
	var missing []string
	for _, name := range n.filters.Namespaces.Includes {
		if !isPattern(name) && !slices.Contains(existing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// Resource judges a kind: whether its items are taken by themselves. For kinds
// that are not, Related may still let in what others need.
func (n *Filter) Resource(r Resource) Verdict {
	switch {
	case n.old:
		return n.oldResource(r)
	case r.Namespaced:
		return judge(n.namespace, r)
	default:
		return n.clusterResource(r)
	}
}

func (n *Filter) oldResource(r Resource) Verdict {
	cluster := n.filters.IncludeClusterResources
	switch {
	case !r.Namespaced && cluster != nil && !*cluster:
		return not(ReasonClusterResourcesExcluded)
	case !r.Namespaced && cluster == nil && r.GroupResource != namespacesResource && !n.TakesAllNamespaces():
		return not(ReasonNotFullSelection)
	default:
		return judge(n.resources, r)
	}
}

// clusterResource takes what is listed, the namespaces, and everything when the
// selection is full in all other respects.
func (n *Filter) clusterResource(r Resource) Verdict {
	full := n.cluster.empty() && n.TakesAllNamespaces() && n.namespace.isEverything()
	switch {
	case matchesAny(n.cluster.Excludes, r.String()):
		return not(ReasonResourceExcluded)
	case full, matchesAny(n.cluster.Includes, r.String()), r.GroupResource == namespacesResource:
		return included
	case n.cluster.empty():
		return not(ReasonNotFullSelection)
	default:
		return not(ReasonResourceNotIncluded)
	}
}

// judge applies lists in which empty includes mean everything.
func judge(l Lists, r Resource) Verdict {
	switch {
	case matchesAny(l.Excludes, r.String()):
		return not(ReasonResourceExcluded)
	case len(l.Includes) == 0 || matchesAny(l.Includes, r.String()):
		return included
	default:
		return not(ReasonResourceNotIncluded)
	}
}

// Related judges a kind of which an included item needs an item, such as the
// volume of a claim. Labels have no say in that. Namespaced kinds are judged as by
// Resource; cluster-scoped ones are taken unless they are left out on purpose.
func (n *Filter) Related(r Resource) Verdict {
	direct := n.Resource(r)
	if direct.Included || r.Namespaced {
		return direct
	}
	cluster := n.filters.IncludeClusterResources
	switch {
	case n.old && matchesAny(n.resources.Excludes, r.String()), !n.old && matchesAny(n.cluster.Excludes, r.String()):
		return not(ReasonResourceExcluded)
	case n.old && cluster != nil && !*cluster:
		return not(ReasonClusterResourcesExcluded)
	case n.old && cluster == nil && !judge(n.resources, r).Included:
		return not(ReasonResourceNotIncluded)
	default:
		return Verdict{Included: true, Reason: ReasonNeeded}
	}
}

// SelectsByLabel reports whether there are label selectors.
func (n *Filter) SelectsByLabel() bool { return len(n.selectors) > 0 }

// Labels judges the labels of an item.
func (n *Filter) Labels(of map[string]string) Verdict {
	if len(n.selectors) == 0 {
		return included
	}
	for _, s := range n.selectors {
		if s.Matches(labels.Set(of)) {
			return included
		}
	}
	return not(ReasonLabelsDoNotMatch)
}

// ListSelector is what a list request can ask the API server to select by, or ""
// when the caller must ask Labels for each item: a request has one selector.
func (n *Filter) ListSelector() string {
	if len(n.selectors) != 1 {
		return ""
	}
	return n.selectors[0].String()
}
