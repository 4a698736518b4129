package filter

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestValidate(t *testing.T) {
	t.Parallel()

	namespaces := func(in, ex []string) Filters { return Filters{Namespaces: Lists{in, ex}} }
	tests := map[string]struct {
		filters Filters
		want    []string // beginnings
	}{
		"everything":                   {filters: Filters{}},
		"patterns of namespaces":       {filters: namespaces([]string{"a*", "?b", "c[de]", "f[0-9]*"}, []string{"x-*"})},
		"asterisk beside a name":       {namespaces([]string{"*", "a"}, nil), []string{`spec.includedNamespaces: Invalid value: "*": must be the only entry`}},
		"everything excluded":          {namespaces(nil, []string{"*"}), []string{`spec.excludedNamespaces: Invalid value: "*": must not exclude everything`}},
		"in both lists":                {namespaces([]string{"a"}, []string{"a"}), []string{`spec.excludedNamespaces: Invalid value: "a": must not be in includedNamespaces too`}},
		"no name of a namespace":       {namespaces([]string{"A_b"}, nil), []string{`spec.includedNamespaces: Invalid value: "A_b": must be the name of a namespace`}},
		"empty name":                   {namespaces([]string{""}, nil), []string{`spec.includedNamespaces: Invalid value: "": must be the name of a namespace`}},
		"two asterisks":                {namespaces([]string{"a**"}, nil), []string{`spec.includedNamespaces: Invalid value: "a**": must be a pattern`}},
		"alternatives":                 {namespaces([]string{"{a,b}*"}, nil), []string{`spec.includedNamespaces: Invalid value: "{a,b}*": must be a pattern`}},
		"negation":                     {namespaces(nil, []string{"[!a]"}), []string{`spec.excludedNamespaces: Invalid value: "[!a]": must be a pattern`}},
		"negation of another kind":     {namespaces(nil, []string{"[^a]"}), []string{`spec.excludedNamespaces: Invalid value: "[^a]": must be a pattern that names`}},
		"open bracket":                 {namespaces([]string{"a[b"}, nil), []string{`spec.includedNamespaces: Invalid value: "a[b": must be a pattern with complete`}},
		"closed bracket":               {namespaces([]string{"ab]"}, nil), []string{`spec.includedNamespaces: Invalid value: "ab]": must be a pattern with complete`}},
		"empty brackets":               {namespaces([]string{"a[]"}, nil), []string{`spec.includedNamespaces: Invalid value: "a[]": must be a pattern without empty`}},
		"pattern no name can fit":      {namespaces([]string{"A*"}, nil), []string{`spec.includedNamespaces: Invalid value: "A*": must be a pattern that names`}},
		"kinds that may not exist":     {filters: Filters{Resources: Lists{Includes: []string{"pods", "*.example.com", "typo"}}}},
		"empty kind":                   {Filters{Resources: Lists{Includes: []string{""}}}, []string{`spec.includedResources: Invalid value: "": must be the name of a kind`}},
		"all kinds excluded":           {Filters{Resources: Lists{Excludes: []string{"*"}}}, []string{`spec.excludedResources: Invalid value: "*"`}},
		"all of a scope excluded":      {filters: Filters{ClusterScoped: Lists{Excludes: []string{"*"}}, NamespaceScoped: Lists{Excludes: []string{"*"}}}},
		"all of a scope and one more":  {Filters{ClusterScoped: Lists{Excludes: []string{"*", "pv"}}}, []string{`spec.excludedClusterScopedResources: Invalid value: "*": must be the only entry`}},
		"include beside all excluded":  {Filters{NamespaceScoped: Lists{Includes: []string{"pods"}, Excludes: []string{"*"}}}, []string{`spec.includedNamespaceScopedResources: Invalid value: "pods": must be absent`}},
		"both styles":                  {Filters{IncludeClusterResources: ptr.To(true), NamespaceScoped: Lists{Includes: []string{"pods"}}}, []string{`spec.includedResources, excludedResources and includeClusterResources: Forbidden`}},
		"old style and a policy":       {Filters{Resources: Lists{Includes: []string{"pods"}}, Policy: &Policy{}}, []string{`spec.resourcePolicy: Forbidden`}},
		"both kinds of selectors":      {Filters{LabelSelector: selector("a", "1"), OrLabelSelectors: []*metav1.LabelSelector{selector("a", "2")}}, []string{`spec.orLabelSelectors: Forbidden`}},
		"selector that does not parse": {Filters{OrLabelSelectors: []*metav1.LabelSelector{selector("a", "1"), selector("a", "not valid")}}, []string{`spec.orLabelSelectors[1]: Invalid value: values[0][a]: Invalid value: "not valid"`}},
		"all problems at once": {
			Filters{Namespaces: Lists{Includes: []string{"A"}}, Resources: Lists{Excludes: []string{"*"}}, LabelSelector: selector("-", "")},
			[]string{`spec.includedNamespaces:`, `spec.excludedResources:`, `spec.labelSelector:`},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := tc.filters.Validate()

			g.Expect(got).To(HaveLen(len(tc.want)), "%q", got)
			for i := range got {
				g.Expect(got[i]).To(HavePrefix(tc.want[i]))
			}
		})
	}
}
