package modifiers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// supportedVersion is the only version of the format.
const supportedVersion = "v1"

// document is the text of the ConfigMap.
type document struct {
	Version string `json:"version"`
	Rules   []rule `json:"resourceModifierRules"`
}

type rule struct {
	Conditions       conditions   `json:"conditions"`
	Patches          []operation  `json:"patches"`
	MergePatches     []patchEntry `json:"mergePatches"`
	StrategicPatches []patchEntry `json:"strategicPatches"`
}

type conditions struct {
	GroupResource     string                `json:"groupResource"`
	ResourceNameRegex string                `json:"resourceNameRegex"`
	Namespaces        []string              `json:"namespaces"`
	LabelSelector     *metav1.LabelSelector `json:"labelSelector"`
	Matches           []match               `json:"matches"`
}

type match struct {
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

type operation struct {
	Operation string          `json:"operation"`
	From      string          `json:"from"`
	Path      string          `json:"path"`
	Value     json.RawMessage `json:"value"`
}

type patchEntry struct {
	PatchData string `json:"patchData"`
}

// Rules are the rules of one ConfigMap. The zero value changes nothing.
type Rules struct{ rules []compiled }

// compiled is a rule that can be applied.
type compiled struct {
	field      string // of the rule, for messages
	resource   string // pattern of resource names
	group      string // pattern of group names
	anyGroup   bool
	name       *regexp.Regexp // nil means every name
	namespaces []string       // patterns; none means every namespace
	selector   labels.Selector
	matches    []jsonpatch.Patch
	patches    []patch
}

// patch is one patch of a rule, in the form in which it is applied.
type patch struct {
	field     string
	json      jsonpatch.Patch // nil for the others
	merge     []byte
	strategic []byte
}

// FromConfigMap reads the rules of a ConfigMap, which has one key with any name.
// The problems, nil when there are none, name their fields.
func FromConfigMap(cm *corev1.ConfigMap) (*Rules, []string) {
	if len(cm.Data) != 1 || len(cm.BinaryData) > 0 {
		return nil, []string{fmt.Sprintf("data: Invalid value: %d keys: must be one key with the rules as text", len(cm.Data)+len(cm.BinaryData))}
	}
	for _, key := range slices.Collect(maps.Keys(cm.Data)) {
		return Parse(cm.Data[key])
	}
	return &Rules{}, nil
}

// Parse reads rules in YAML or JSON. The problems, nil when there are none, name
// their fields.
func Parse(text string) (*Rules, []string) {
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, []string{oneLine("reading the rules: " + err.Error())}
	}
	var d document
	unknown, err := kjson.UnmarshalStrict(raw, &d)
	if err != nil {
		return nil, []string{oneLine("reading the rules: " + err.Error())}
	}
	p := &parser{}
	for _, err := range unknown {
		p.problems = append(p.problems, oneLine(err.Error()))
	}
	rules := p.document(d)
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return rules, nil
}

// parser collects what is wrong.
type parser struct{ problems []string }

func (p *parser) invalid(field, value, rule string) {
	p.problems = append(p.problems, fmt.Sprintf("%s: Invalid value: %q: %s", field, shorten(value), oneLine(rule)))
}

func (p *parser) required(field, rule string) {
	p.problems = append(p.problems, fmt.Sprintf("%s: Required value: %s", field, rule))
}

func (p *parser) document(d document) *Rules {
	if d.Version != supportedVersion {
		p.invalid("version", d.Version, "must be "+supportedVersion)
	}
	if len(d.Rules) == 0 {
		p.required("resourceModifierRules", "at least one rule")
	}
	rules := &Rules{}
	for i, r := range d.Rules {
		rules.rules = append(rules.rules, p.rule(fmt.Sprintf("resourceModifierRules[%d]", i), r))
	}
	return rules
}

func (p *parser) rule(field string, r rule) compiled {
	c := p.conditions(field+".conditions", r.Conditions)
	c.field = field
	kinds := 0
	for _, n := range []int{len(r.Patches), len(r.MergePatches), len(r.StrategicPatches)} {
		if n > 0 {
			kinds++
		}
	}
	if kinds != 1 {
		p.invalid(field, fmt.Sprintf("%d kinds of patches", kinds), "must have exactly one of patches, mergePatches and strategicPatches")
	}
	if len(r.Patches) > 0 {
		c.patches = append(c.patches, patch{field: field + ".patches", json: p.operations(field+".patches", r.Patches)})
	}
	for i, e := range r.MergePatches {
		f := fmt.Sprintf("%s.mergePatches[%d]", field, i)
		c.patches = append(c.patches, patch{field: f, merge: p.patchData(f, e)})
	}
	for i, e := range r.StrategicPatches {
		f := fmt.Sprintf("%s.strategicPatches[%d]", field, i)
		c.patches = append(c.patches, patch{field: f, strategic: p.patchData(f, e)})
	}
	return c
}

func (p *parser) conditions(field string, c conditions) compiled {
	var out compiled
	resource, group, hasGroup := strings.Cut(c.GroupResource, ".")
	out.resource, out.group, out.anyGroup = resource, group, c.GroupResource == "*.*"
	switch {
	case c.GroupResource == "":
		p.required(field+".groupResource", "a resource such as deployments.apps, *.apps, * (the core group) or *.* (all)")
	case resource == "" || (hasGroup && group == "") || !isPattern(resource) || !isPattern(group):
		p.invalid(field+".groupResource", c.GroupResource, "must be a resource such as deployments.apps, *.apps, * (the core group) or *.* (all)")
	}
	if c.ResourceNameRegex != "" {
		var err error
		if out.name, err = regexp.Compile(c.ResourceNameRegex); err != nil {
			p.invalid(field+".resourceNameRegex", c.ResourceNameRegex, "must be a regular expression: "+err.Error())
		}
	}
	for i, n := range c.Namespaces {
		if n == "" || !isPattern(n) {
			p.invalid(fmt.Sprintf("%s.namespaces[%d]", field, i), n, "must be the name of a namespace or a pattern of *, ? and [abc]")
		}
	}
	out.namespaces = c.Namespaces
	if c.LabelSelector != nil {
		var err error
		if out.selector, err = metav1.LabelSelectorAsSelector(c.LabelSelector); err != nil {
			p.invalid(field+".labelSelector", metav1.FormatLabelSelector(c.LabelSelector), err.Error())
		}
	}
	for i, m := range c.Matches {
		f := fmt.Sprintf("%s.matches[%d]", field, i)
		out.matches = append(out.matches, p.operations(f, []operation{{Operation: "test", Path: m.Path, Value: m.Value}}))
	}
	return out
}

func isPattern(s string) bool {
	_, err := path.Match(s, "")
	return err == nil
}

// needs are the fields that each operation has beside path (RFC 6902, §4).
var needs = map[string]struct{ from, value bool }{
	"add": {value: true}, "replace": {value: true}, "test": {value: true},
	"remove": {}, "move": {from: true}, "copy": {from: true},
}

func (p *parser) operations(field string, ops []operation) jsonpatch.Patch {
	encoded := make([]map[string]json.RawMessage, 0, len(ops))
	before := len(p.problems)
	for i, o := range ops {
		f := field
		if o.Operation != "test" || len(ops) > 1 {
			f = fmt.Sprintf("%s[%d]", field, i)
		}
		encoded = append(encoded, p.operation(f, o))
	}
	if len(p.problems) > before {
		return nil
	}
	text, err := json.Marshal(encoded)
	if err != nil {
		p.invalid(field, "", err.Error())
		return nil
	}
	decoded, err := jsonpatch.DecodePatch(text)
	if err != nil {
		p.invalid(field, string(text), err.Error())
	}
	return decoded
}

func (p *parser) operation(field string, o operation) map[string]json.RawMessage {
	need, known := needs[o.Operation]
	if !known {
		p.invalid(field+".operation", o.Operation, "must be add, remove, replace, move, copy or test")
		return nil
	}
	p.pointer(field+".path", o.Path)
	out := map[string]json.RawMessage{"op": quote(o.Operation), "path": quote(o.Path)}
	if need.from {
		p.pointer(field+".from", o.From)
		out["from"] = quote(o.From)
	}
	if need.value {
		value, err := valueOf(o.Value)
		if err != nil {
			p.invalid(field+".value", string(o.Value), err.Error())
		}
		out["value"] = value
	}
	return out
}

// pointer wants a JSON pointer (RFC 6901) to a field: no patch replaces the whole
// object.
func (p *parser) pointer(field, value string) {
	switch {
	case value == "":
		p.required(field, `a JSON pointer such as /spec/replicas`)
	case !strings.HasPrefix(value, "/"):
		p.invalid(field, value, `must be a JSON pointer such as /spec/replicas`)
	}
}

func (p *parser) patchData(field string, e patchEntry) []byte {
	if strings.TrimSpace(e.PatchData) == "" {
		p.required(field+".patchData", "a patch in YAML or JSON")
		return nil
	}
	data, err := yaml.YAMLToJSONStrict([]byte(e.PatchData))
	if err != nil {
		p.invalid(field+".patchData", e.PatchData, "must be YAML or JSON: "+err.Error())
		return nil
	}
	if !bytes.HasPrefix(data, []byte("{")) {
		p.invalid(field+".patchData", e.PatchData, "must be an object")
	}
	return data
}

// valueOf is the JSON that a value stands for. Velero's values are strings: one
// that is null, a boolean, a number, an object, an array or a quoted string in JSON
// stands for that, any other for itself. YAML that is no string stands for itself
// too, which Velero refuses. No value is the empty string.
func valueOf(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return quote(""), nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || string(raw) == "null" {
		return raw, nil //nolint:nilerr // what is no string stands for itself
	}
	trimmed := strings.TrimSpace(text)
	if json.Valid([]byte(trimmed)) {
		return json.RawMessage(trimmed), nil
	}
	if strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		return nil, fmt.Errorf("must be JSON, because it begins with a bracket; a string that does is written as %s", quote(string(quote(text))))
	}
	return quote(text), nil
}

func quote(s string) json.RawMessage {
	text, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage(`""`) // a string is always JSON
	}
	return text
}

// maxShownBytes bounds how much of a value a problem shows.
const maxShownBytes = 200

func shorten(s string) string {
	if len(s) > maxShownBytes {
		return strings.ToValidUTF8(s[:maxShownBytes], "") + "…"
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
