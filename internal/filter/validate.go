package filter

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Validate says what is wrong with the filters; nil when New may be called. Each
// problem names its field below spec, its value and what is allowed.
func (f Filters) Validate() []string {
	c := &complaints{}
	c.namespaces(f.Namespaces)
	c.unscoped("Resources", f.Resources)
	c.scoped("ClusterScopedResources", f.ClusterScoped)
	c.scoped("NamespaceScopedResources", f.NamespaceScoped)
	if f.oldStyle() && f.newStyle() {
		c.add("includedResources, excludedResources and includeClusterResources", "Forbidden",
			"must not be used together with included… and excludedClusterScopedResources or …NamespaceScopedResources")
	}
	if f.oldStyle() && f.Policy != nil {
		c.add("resourcePolicy", "Forbidden",
			"its includeExcludePolicy must not be used together with includedResources, excludedResources and includeClusterResources")
	}
	c.selectors(f)
	return c.problems
}

type complaints struct{ problems []string }

func (c *complaints) add(field, kind, why string) {
	c.problems = append(c.problems, fmt.Sprintf("spec.%s: %s: %s", field, kind, why))
}

func (c *complaints) invalid(field, value, why string) {
	c.add(field, fmt.Sprintf("Invalid value: %q", value), why)
}

func (c *complaints) namespaces(l Lists) {
	c.unscopedRules("Namespaces", l)
	c.each("includedNamespaces", l.Includes, checkNamespace)
	c.each("excludedNamespaces", l.Excludes, checkNamespace)
}

func (c *complaints) unscoped(suffix string, l Lists) {
	c.unscopedRules(suffix, l)
	c.each("included"+suffix, l.Includes, checkResource)
	c.each("excluded"+suffix, l.Excludes, checkResource)
}

// unscopedRules are those of lists in which * cannot be excluded.
func (c *complaints) unscopedRules(suffix string, l Lists) {
	c.lonely("included"+suffix, l.Includes)
	if slices.Contains(l.Excludes, everything) {
		c.invalid("excluded"+suffix, everything, "must not exclude everything")
	}
	c.overlap(suffix, l)
}

func (c *complaints) scoped(suffix string, l Lists) {
	c.lonely("included"+suffix, l.Includes)
	c.lonely("excluded"+suffix, l.Excludes)
	if slices.Contains(l.Excludes, everything) && len(l.Includes) > 0 {
		c.invalid("included"+suffix, l.Includes[0], "must be absent when excluded"+suffix+" is "+everything)
	}
	c.overlap(suffix, l)
	c.each("included"+suffix, l.Includes, checkResource)
	c.each("excluded"+suffix, l.Excludes, checkResource)
}

func (c *complaints) lonely(field string, names []string) {
	if len(names) > 1 && slices.Contains(names, everything) {
		c.invalid(field, everything, "must be the only entry, or absent")
	}
}

func (c *complaints) overlap(suffix string, l Lists) {
	for _, name := range l.Includes {
		if name != everything && slices.Contains(l.Excludes, name) {
			c.invalid("excluded"+suffix, name, "must not be in included"+suffix+" too")
		}
	}
}

func (c *complaints) each(field string, names []string, check func(string) error) {
	for _, name := range names {
		if err := check(name); err != nil {
			c.invalid(field, name, err.Error())
		}
	}
}

// checkResource accepts anything that could be a name: that a cluster has no such
// kind is a note, not an error (Filter.Notes).
func checkResource(name string) error {
	if name == "" {
		return fmt.Errorf("must be the name of a kind such as pods or deployments.apps")
	}
	return checkPattern(name)
}

func (c *complaints) selectors(f Filters) {
	if f.LabelSelector != nil && len(f.OrLabelSelectors) > 0 {
		c.add("orLabelSelectors", "Forbidden", "must not be used together with labelSelector")
	}
	c.selector("labelSelector", f.LabelSelector)
	for i, s := range f.OrLabelSelectors {
		c.selector(fmt.Sprintf("orLabelSelectors[%d]", i), s)
	}
}

func (c *complaints) selector(field string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		c.add(field, "Invalid value", err.Error())
	}
}
