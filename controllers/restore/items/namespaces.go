package items

import (
	"path"
	"slices"
)

// Namespaces says which namespaces of a backup are restored, and under which
// names. The zero value restores all under their own names.
type Namespaces struct {
	// Included and Excluded are names or patterns with *, ? and [abc]. Included
	// may be empty or hold "*" for all. Excluded wins.
	Included, Excluded []string

	// Mapping gives new names; a namespace without an entry keeps its own.
	Mapping map[string]string
}

// Target returns the name that a namespace of the backup gets.
func (n Namespaces) Target(source string) string {
	if target, ok := n.Mapping[source]; ok {
		return target
	}
	return source
}

// Selects reports whether items of a namespace of the backup are restored.
func (n Namespaces) Selects(source string) bool {
	if matchesAny(n.Excluded, source) {
		return false
	}
	return len(n.Included) == 0 || matchesAny(n.Included, source)
}

// Unmatched returns the entries of Included that select none of the namespaces
// of a backup.
func (n Namespaces) Unmatched(inBackup []string) []string {
	return slices.DeleteFunc(slices.Clone(n.Included), func(pattern string) bool {
		return pattern == "*" || slices.ContainsFunc(inBackup, func(ns string) bool {
			return matchesAny([]string{pattern}, ns)
		})
	})
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name) // patterns are checked by the restore's validation
		return err == nil && ok
	})
}

// Collision returns two namespaces of a backup that would become one; ok is false
// when there are none.
func (n Namespaces) Collision(selected []string) (a, b string, ok bool) {
	sources := map[string]string{}
	for _, source := range selected {
		target := n.Target(source)
		if other, taken := sources[target]; taken {
			return other, source, true
		}
		sources[target] = source
	}
	return "", "", false
}
