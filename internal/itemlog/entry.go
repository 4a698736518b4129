package itemlog

import (
	"maps"
	"slices"
	"strings"

	"github.com/podkeep/podkeep/internal/layout"
)

// Entry is a warning or an error about one item, a namespace, the cluster or the
// whole run.
type Entry struct {
	// Namespace files the entry under that namespace. Empty files it under the
	// cluster when Cluster is set, else under the run itself ("velero").
	Namespace string
	Cluster   bool

	// Resource and Name say which item, such as "pods" and "web-0". Both may be
	// empty.
	Resource string
	Name     string

	// Message says what happened. It is the message of the log line too.
	Message string

	// Err is the cause, or nil.
	Err error
}

// String returns the text in the results: " resource: /X name: /Y message: /M
// error: /E", without the parts that are empty.
func (e Entry) String() string {
	var b strings.Builder
	part := func(key, value string) {
		if value != "" {
			b.WriteString(" " + key + ": /" + value)
		}
	}
	part("resource", e.Resource)
	part("name", e.Name)
	part("message", e.Message)
	if e.Err != nil {
		part("error", e.Err.Error())
	}
	return b.String()
}

// fields are the keys and values of the log line.
func (e Entry) fields() []any {
	var fields []any
	add := func(key, value string) {
		if value != "" {
			fields = append(fields, key, value)
		}
	}
	add("namespace", e.Namespace)
	add("resource", e.Resource)
	add("name", e.Name)
	if e.Err != nil {
		add("error", e.Err.Error())
	}
	return fields
}

func (e Entry) addTo(s *layout.ResultSet) {
	if e.Namespace == "" && !e.Cluster {
		s.AddGeneral(e.String())
		return
	}
	s.Add(e.Namespace, e.String())
}

// in reports whether the set has the entry already.
func (e Entry) in(s layout.ResultSet) bool {
	switch {
	case e.Namespace != "":
		return slices.Contains(s.Namespaces[e.Namespace], e.String())
	case e.Cluster:
		return slices.Contains(s.Cluster, e.String())
	default:
		return slices.Contains(s.Velero, e.String())
	}
}

func clone(r layout.Results) layout.Results {
	return layout.Results{Errors: cloneSet(r.Errors), Warnings: cloneSet(r.Warnings)}
}

func cloneSet(s layout.ResultSet) layout.ResultSet {
	c := layout.ResultSet{
		Velero:     slices.Clone(s.Velero),
		Cluster:    slices.Clone(s.Cluster),
		Namespaces: maps.Clone(s.Namespaces),
	}
	for ns, texts := range c.Namespaces {
		c.Namespaces[ns] = slices.Clone(texts)
	}
	return c
}
