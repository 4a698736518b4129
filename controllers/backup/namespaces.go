package backup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// everything is the list entry that matches every name.
const everything = "*"

// namespaceFilter says which namespaces a backup contains. Excludes win. The
// zero value contains all.
type namespaceFilter struct {
	includes []string // names and patterns; empty or "*" means all
	excludes []string // names and patterns
}

// includesAll reports whether namespaces are listed without naming any, so that
// one list of the whole cluster is cheaper than one for each namespace.
func (f namespaceFilter) includesAll() bool {
	return len(f.includes) == 0 || slices.Contains(f.includes, everything)
}

// matches reports whether the namespace is in the backup.
func (f namespaceFilter) matches(namespace string) bool {
	if matchesAny(f.excludes, namespace) {
		return false
	}
	return f.includesAll() || matchesAny(f.includes, namespace)
}

// missing returns the included names, not patterns, that do not exist.
func (f namespaceFilter) missing(existing []string) []string {
	var m []string
	for _, name := range f.includes {
		if !isPattern(name) && !slices.Contains(existing, name) {
			m = append(m, name)
		}
	}
	return m
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		// Patterns are validated before the start; a malformed one matches nothing.
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}

// isPattern reports whether the name has wildcards.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// validateNamespaces says what is wrong with the two lists (velero-facts §11.1).
func validateNamespaces(f namespaceFilter) []string {
	var problems []string
	complain := func(field, value, why string) {
		problems = append(problems, fmt.Sprintf("spec.%s: Invalid value: %q: %s", field, value, why))
	}
	if slices.Contains(f.includes, everything) && len(f.includes) > 1 {
		complain("includedNamespaces", everything, "must be the only entry, or absent")
	}
	if slices.Contains(f.excludes, everything) {
		complain("excludedNamespaces", everything, "must not exclude every namespace")
	}
	for _, name := range f.includes {
		if name != everything && slices.Contains(f.excludes, name) {
			complain("excludedNamespaces", name, "must not be in includedNamespaces too")
		}
		if err := validateNamespace(name); err != nil {
			complain("includedNamespaces", name, err.Error())
		}
	}
	for _, name := range f.excludes {
		if err := validateNamespace(name); err != nil {
			complain("excludedNamespaces", name, err.Error())
		}
	}
	return problems
}

// validateNamespace accepts names of namespaces, and patterns of *, ? and [abc].
func validateNamespace(name string) error {
	if !isPattern(name) {
		if why := validation.IsDNS1123Label(name); len(why) > 0 {
			return errors.New("must be the name of a namespace: " + strings.Join(why, ", "))
		}
		return nil
	}
	if strings.Contains(name, "**") || strings.ContainsAny(name, "|()!{},") {
		return errors.New("must be a pattern of *, ? and [abc], without ** and any of | ( ) ! { } ,")
	}
	if _, err := path.Match(name, ""); err != nil {
		return errors.New("must be a pattern with complete brackets")
	}
	return nil
}
