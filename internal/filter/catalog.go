package filter

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Resource is what discovery says of a kind. GroupResource is required; the zero
// value of the others says that they are not known.
type Resource struct {
	schema.GroupResource

	Kind       string
	Singular   string // "" means the kind in lower case
	ShortNames []string
	Namespaced bool
}

// Catalog finds kinds by the names that people write.
type Catalog struct {
	resources []Resource
}

// NewCatalog takes the kinds in the order of discovery, the core group first: of
// two groups with a kind of the same name, the first is meant by a name without a
// group, as with kubectl. Each kind is given once, whatever its versions.
func NewCatalog(resources []Resource) Catalog { return Catalog{resources: resources} }

// Resolve finds the kind of a name: plural, singular, short name or kind, alone or
// followed by a dot and the group, of which a beginning is enough. ok is false
// when there is none.
func (c Catalog) Resolve(name string) (_ Resource, ok bool) {
	word, group, hasGroup := strings.Cut(strings.ToLower(name), ".")
	byBeginning := -1
	for i, r := range c.resources {
		if !r.isCalled(word) {
			continue
		}
		if !hasGroup || r.Group == group {
			return r, true
		}
		if byBeginning < 0 && strings.HasPrefix(r.Group, group) {
			byBeginning = i
		}
	}
	if byBeginning < 0 {
		return Resource{}, false
	}
	return c.resources[byBeginning], true
}

// isCalled compares with a word in lower case.
func (r Resource) isCalled(word string) bool {
	switch word {
	case "":
		return false
	case r.Resource, r.Singular, strings.ToLower(r.Kind):
		return true
	}
	for _, short := range r.ShortNames {
		if short == word {
			return true
		}
	}
	return false
}
