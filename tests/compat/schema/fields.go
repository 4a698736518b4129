package schema

import (
	"bytes"
	_ "embed" // the fields
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// crdFields are the fields of Backup and PodVolumeBackup in Velero 1.18, taken
// from its CRDs.
//
//go:embed crd-fields.json
var crdFields []byte

// field is what a CRD says about one field. Paths are dotted, with [] for the
// items of a list and {} for the values of a map.
type field struct {
	Type     string   `json:"type"`
	Format   string   `json:"format"`
	Enum     []string `json:"enum"`
	Required []string `json:"required"`
	Nullable bool     `json:"nullable"`
}

var fieldsOf = sync.OnceValue(func() map[string]map[string]field {
	var kinds map[string]struct {
		Fields map[string]field `json:"fields"`
	}
	if err := json.Unmarshal(crdFields, &kinds); err != nil {
		panic(err)
	}
	fields := map[string]map[string]field{}
	for kind, k := range kinds {
		fields[kind] = k.Fields
	}
	// Enums that were shorter in 1.16: its CRD refuses what came later
	// (velero-facts §13).
	restrict(fields["Backup"], "status.phase", "Queued", "ReadyToStart")
	restrict(fields["PodVolumeBackup"], "status.phase", "Accepted", "Prepared", "Canceling", "Canceled")
	return fields
})

func restrict(fields map[string]field, path string, later ...string) {
	f := fields[path]
	f.Enum = slices.DeleteFunc(slices.Clone(f.Enum), func(v string) bool { return slices.Contains(later, v) })
	fields[path] = f
}

// ownFields are those that podkeep adds. A cluster with Velero's CRDs drops them
// without a word, and nothing depends on them there.
var ownFields = map[string][]string{
	"Backup":          {"status.conditions"},
	"PodVolumeBackup": {"status.conditions", "status.skippedFiles"},
}

// walk checks one object against the fields of its kind.
type walk struct {
	*checker

	key   string
	where string // the object, for people; "" when there is one only
	kind  string
}

// checkObject checks metadata, spec and status of an object.
func (c *checker) checkObject(key, where, kind string, content []byte) bool {
	w := walk{checker: c, key: key, where: where, kind: kind}
	var top object
	if !c.strict(key, content, &top) {
		return false
	}
	before := len(c.problems)
	for name, value := range top {
		switch name {
		case "kind", "apiVersion":
		case "metadata":
			c.strict(key, value, &metav1.ObjectMeta{})
		case "spec", "status":
			w.value(name, decodeAny(value))
		default:
			c.add(key, RuleField, "%s%s", where, name)
		}
	}
	c.requireKeys(key, where+kind, top, "metadata", "spec", "status")
	return len(c.problems) == before
}

// decodeAny decodes what has been decoded before.
func decodeAny(raw json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

func (w walk) add(rule Rule, path, format string, args ...any) {
	w.checker.add(w.key, rule, "%s%s: %s", w.where, path, fmt.Sprintf(format, args...))
}

// value checks the value of a field, and all below it.
func (w walk) value(path string, v any) {
	f, ok := fieldsOf()[w.kind][path]
	if !ok {
		w.add(RuleField, path, "Velero has no such field")
		return
	}
	if v == nil {
		if !f.Nullable {
			w.add(RuleType, path, "must not be null")
		}
		return
	}
	if got := typeOf(v); got != f.Type {
		w.add(RuleType, path, "is of type %s, not %s", got, f.Type)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		w.object(path, f, v)
	case []any:
		for _, item := range v {
			w.value(path+"[]", item)
		}
	case string:
		w.text(path, f, v)
	}
}

func (w walk) object(path string, f field, v map[string]any) {
	for _, name := range f.Required {
		if _, ok := v[name]; !ok {
			w.add(RuleRequired, path+"."+name, "is missing")
		}
	}
	_, isMap := fieldsOf()[w.kind][path+"{}"]
	for name, value := range v {
		switch {
		case isMap:
			w.value(path+"{}", value)
		case slices.Contains(ownFields[w.kind], path+"."+name):
		default:
			w.value(path+"."+name, value)
		}
	}
}

func (w walk) text(path string, f field, v string) {
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, v) {
		w.add(RuleEnum, path, "%q is none of %s", v, strings.Join(f.Enum, ", "))
	}
	if _, err := time.Parse(time.RFC3339, v); f.Format == "date-time" && err != nil {
		w.add(RuleType, path, "%v", err)
	}
}

func typeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		return "number"
	default:
		return fmt.Sprintf("%T", v)
	}
}
