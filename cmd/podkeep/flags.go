package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// optionalBool is a flag that is nil until it is given. The bare flag is true.
type optionalBool struct{ value *bool }

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

// Set parses a boolean.
func (o *optionalBool) Set(text string) error {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	o.value = &b
	return nil
}

// Type is what the help shows as the value's type.
func (o *optionalBool) Type() string { return "optionalBool" }

// parseMappings reads pairs "old:new" into a map.
func parseMappings(flag string, pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	m := map[string]string{}
	for _, pair := range pairs {
		from, to, ok := strings.Cut(pair, ":")
		if !ok || from == "" || to == "" || strings.Contains(to, ":") {
			return nil, fmt.Errorf("--%s: Invalid value: %q: must be old:new", flag, pair)
		}
		if previous, twice := m[from]; twice && previous != to {
			return nil, fmt.Errorf("--%s: Invalid value: %q: %s is mapped to %s already", flag, pair, from, previous)
		}
		m[from] = to
	}
	return m, nil
}

func checkNotNegative(flag string, n int64) error {
	if n < 0 {
		return fmt.Errorf("--%s: Invalid value: must not be negative", flag)
	}
	return nil
}
