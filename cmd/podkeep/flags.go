package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The types of flags below have the names that they have in Velero's client.

// optionalBool is a flag that is nil until it is given.
type optionalBool struct{ value *bool }

// bind makes the bare flag mean true.
func (o *optionalBool) bind(fs *pflag.FlagSet, name, usage string) {
	fs.Var(o, name, usage)
	fs.Lookup(name).NoOptDefVal = "true"
}

// String is the value as text, for the help; "" when there is none.
func (o *optionalBool) String() string {
	if o.value == nil {
		return ""
	}
	return strconv.FormatBool(*o.value)
}

// Set parses a boolean. The empty text takes an earlier value back.
func (o *optionalBool) Set(text string) error {
	if text == "" {
		o.value = nil
		return nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	o.value = &b
	return nil
}

// Type is what the help shows as the value's type.
func (o *optionalBool) Type() string { return "optionalBool" }

// list is a flag with names, separated by commas. A flag that is given again adds
// to the list.
type list struct {
	values []string
	given  bool // values is not the default any more
}

func (l *list) bind(fs *pflag.FlagSet, name, usage string, defaults ...string) {
	l.values = defaults
	fs.Var(l, name, usage)
}

func (l *list) bindShort(fs *pflag.FlagSet, name, short, usage string) {
	fs.VarP(l, name, short, usage)
}

// String is the list as it is written on the command line.
func (l *list) String() string { return strings.Join(l.values, ",") }

// Set adds names.
func (l *list) Set(text string) error {
	if !l.given {
		l.values, l.given = nil, true
	}
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			l.values = append(l.values, name)
		}
	}
	return nil
}

// Type is what the help shows as the value's type.
func (l *list) Type() string { return "stringArray" }

// pairs is a flag with keys and values. An entry in quotes may hold commas.
type pairs struct {
	values    map[string]string
	separator string // between key and value
}

func (p *pairs) bind(fs *pflag.FlagSet, name, usage string) {
	if p.separator == "" {
		p.separator = "="
	}
	fs.Var(p, name, usage)
}

// String is the pairs as they are written on the command line, sorted.
func (p *pairs) String() string {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(p.values)) {
		texts = append(texts, key+p.separator+p.values[key])
	}
	return strings.Join(texts, ",")
}

// Set adds pairs.
func (p *pairs) Set(text string) error {
	entries, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return fmt.Errorf("%q has quotes that do not match", text)
	}
	if p.values == nil {
		p.values = map[string]string{}
	}
	for _, entry := range entries {
		key, value, ok := strings.Cut(entry, p.separator)
		if !ok || key == "" {
			return fmt.Errorf("%q must be key%svalue", entry, p.separator)
		}
		if previous, twice := p.values[key]; twice && previous != value {
			return fmt.Errorf("%q: %s has the value %s already", entry, key, previous)
		}
		p.values[key] = value
	}
	return nil
}

// Type is what the help shows as the value's type.
func (p *pairs) Type() string { return "mapStringString" }

// labelSelector is a flag that is nil until it is given.
type labelSelector struct{ value *metav1.LabelSelector }

// String is the selector as it is written on the command line.
func (l *labelSelector) String() string {
	if l.value == nil {
		return ""
	}
	return metav1.FormatLabelSelector(l.value)
}

// Set parses a selector.
func (l *labelSelector) Set(text string) error {
	s, err := metav1.ParseToLabelSelector(text)
	if err != nil {
		return fmt.Errorf("%q is no label selector: %w", text, err)
	}
	l.value = s
	return nil
}

// Type is what the help shows as the value's type.
func (l *labelSelector) Type() string { return "labelSelector" }

// selectorSeparator stands between the selectors of an orLabelSelector.
const selectorSeparator = " or "

// orLabelSelector is a flag with several selectors.
type orLabelSelector struct{ values []*metav1.LabelSelector }

// String is the selectors as they are written on the command line.
func (l *orLabelSelector) String() string {
	var texts []string
	for _, s := range l.values {
		texts = append(texts, metav1.FormatLabelSelector(s))
	}
	return strings.Join(texts, selectorSeparator)
}

// Set parses selectors.
func (l *orLabelSelector) Set(text string) error {
	l.values = nil
	for part := range strings.SplitSeq(text, selectorSeparator) {
		var one labelSelector
		if err := one.Set(part); err != nil {
			return err
		}
		l.values = append(l.values, one.value)
	}
	return nil
}

// Type is what the help shows as the value's type.
func (l *orLabelSelector) Type() string { return "orLabelSelector" }

func checkNotNegative(flag string, n int64) error {
	if n < 0 {
		return fmt.Errorf("--%s: Invalid value: must not be negative", flag)
	}
	return nil
}

// checkSelectors refuses both kinds of selectors together.
func checkSelectors(one labelSelector, or orLabelSelector) error {
	if one.value != nil && len(or.values) > 0 {
		return errors.New("--selector and --or-selector exclude each other; leave one of them out")
	}
	return nil
}

// checkIncludes refuses lists that contradict themselves. flags are the names of
// both flags without "include-" and "exclude-".
func checkIncludes(flags string, included, excluded []string) error {
	if len(included) > 1 && slices.Contains(included, "*") {
		return fmt.Errorf("--include-%s: Invalid value: %q: * stands for all and cannot have others beside it", flags, strings.Join(included, ","))
	}
	if slices.Contains(excluded, "*") {
		return fmt.Errorf("--exclude-%s: Invalid value: \"*\": would leave nothing; name what to leave out", flags)
	}
	for _, name := range excluded {
		if slices.Contains(included, name) {
			return fmt.Errorf("--exclude-%s: Invalid value: %q: is included, too; leave it out of one of the lists", flags, name)
		}
	}
	return nil
}
