package filter

import (
	"errors"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// isPattern reports whether a name has wildcards.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// matches reports whether a name or pattern fits. Patterns are validated before
// they are used; a malformed one fits nothing.
func matches(pattern, name string) bool {
	if !isPattern(pattern) {
		return pattern == name
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// wildcards are replaced by a letter to see whether the rest could be a name.
var wildcards = strings.NewReplacer("*", "x", "?", "x", "[", "x", "]", "x")

// checkNamespace accepts names of namespaces and patterns of *, ? and [abc]
// (velero-facts §11.1).
func checkNamespace(name string) error {
	if !isPattern(name) && !strings.Contains(name, "]") {
		if why := validation.IsDNS1123Label(name); len(why) > 0 {
			return errors.New("must be the name of a namespace: " + strings.Join(why, ", "))
		}
		return nil
	}
	if err := checkPattern(name); err != nil {
		return err
	}
	if why := validation.IsDNS1123Label(wildcards.Replace(name)); len(why) > 0 {
		return errors.New("must be a pattern that names of namespaces can fit: " + strings.Join(why, ", "))
	}
	return nil
}

// checkPattern accepts *, ? and [abc] anywhere in a text.
func checkPattern(pattern string) error {
	switch {
	case strings.Contains(pattern, "**"), strings.ContainsAny(pattern, `|()!{},\/ `):
		return errors.New("must be a pattern of *, ? and [abc], without ** and any of | ( ) ! { } ,")
	case strings.Contains(pattern, "[]"):
		return errors.New("must be a pattern without empty brackets")
	case !hasPairedBrackets(pattern):
		return errors.New("must be a pattern with complete brackets")
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return errors.New("must be a pattern with complete brackets")
	}
	return nil
}

func hasPairedBrackets(pattern string) bool {
	open := false
	for _, r := range pattern {
		switch {
		case r == '[' && open, r == ']' && !open:
			return false
		case r == '[':
			open = true
		case r == ']':
			open = false
		}
	}
	return !open
}
