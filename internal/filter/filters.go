package filter

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// everything is the list entry that matches every name.
const everything = "*"

// Lists are names and patterns of *, ? and [abc]. Excludes win. Empty Includes
// mean everything, except for cluster-scoped kinds (Filters.ClusterScoped).
type Lists struct {
	Includes []string
	Excludes []string
}

func (l Lists) empty() bool { return len(l.Includes)+len(l.Excludes) == 0 }

// isEverything reports whether the lists leave nothing out, whatever exists.
func (l Lists) isEverything() bool {
	return len(l.Excludes) == 0 && (len(l.Includes) == 0 || slices.Equal(l.Includes, []string{everything}))
}

// Filters are what a spec says about what is taken. The zero value takes
// everything.
type Filters struct {
	Namespaces Lists

	// Resources and IncludeClusterResources are the old style: one pair of lists for
	// all kinds.
	Resources               Lists
	IncludeClusterResources *bool

	// ClusterScoped and NamespaceScoped are the new style. Both styles together are
	// not valid. Empty ClusterScoped.Includes take what namespaced items need.
	ClusterScoped   Lists
	NamespaceScoped Lists

	// Policy adds to the new style what the spec says nothing about. nil adds
	// nothing; with the old style it is not valid.
	Policy *Policy

	// LabelSelector and OrLabelSelectors exclude each other. An item is taken when
	// one of the selectors matches, or when there are none.
	LabelSelector    *metav1.LabelSelector
	OrLabelSelectors []*metav1.LabelSelector
}

// Policy is the includeExcludePolicy of a ConfigMap of resource policies.
type Policy struct {
	ClusterScoped   Lists
	NamespaceScoped Lists
}

// ForBackup are the filters of a backup, without a policy.
func ForBackup(s *velerov1.BackupSpec) Filters {
	return Filters{
		Namespaces:              Lists{s.IncludedNamespaces, s.ExcludedNamespaces},
		Resources:               Lists{s.IncludedResources, s.ExcludedResources},
		IncludeClusterResources: s.IncludeClusterResources,
		ClusterScoped:           Lists{s.IncludedClusterScopedResources, s.ExcludedClusterScopedResources},
		NamespaceScoped:         Lists{s.IncludedNamespaceScopedResources, s.ExcludedNamespaceScopedResources},
		LabelSelector:           s.LabelSelector,
		OrLabelSelectors:        s.OrLabelSelectors,
	}
}

// ForRestore are the filters of a restore. They are always of the old style.
func ForRestore(s *velerov1.RestoreSpec) Filters {
	return Filters{
		Namespaces:              Lists{s.IncludedNamespaces, s.ExcludedNamespaces},
		Resources:               Lists{s.IncludedResources, s.ExcludedResources},
		IncludeClusterResources: s.IncludeClusterResources,
		LabelSelector:           s.LabelSelector,
		OrLabelSelectors:        s.OrLabelSelectors,
	}
}

// oldStyle reports whether the spec uses the old style. A restore whose lists are
// empty is of the new style then, where empty lists mean the same.
func (f Filters) oldStyle() bool { return !f.Resources.empty() || f.IncludeClusterResources != nil }

func (f Filters) newStyle() bool { return !f.ClusterScoped.empty() || !f.NamespaceScoped.empty() }
