package modifiers

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

func object(g *WithT, text string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(u.UnmarshalJSON(raw)).To(Succeed())
	return u
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: new, name: web, labels: {tier: front}}
spec:
  replicas: 3
  template:
    spec:
      containers:
      - {name: web, image: repo1/web}
      - {name: side, image: repo1/side}
`

var deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}

func rules(conditions, patches string) string {
	return "version: v1\nresourceModifierRules:\n- conditions: {" + conditions + "}\n  " + strings.ReplaceAll(patches, "\n", "\n  ") + "\n"
}

func TestApply(t *testing.T) {
	t.Parallel()
	setReplicas := "patches:\n- {operation: replace, path: /spec/replicas, value: \"1\"}"
	mine := "groupResource: deployments.apps"
	changed := `{"replicas":1}`
	for name, tc := range map[string]struct {
		rules string
		want  string // merged into the object by a merge patch; "" means no change
		err   string
	}{
		"a number in a string is a number":             {rules: rules(mine, setReplicas), want: changed},
		"a number is a number":                         {rules: rules(mine, "patches:\n- {operation: replace, path: /spec/replicas, value: 1}"), want: changed},
		"names are regular expressions":                {rules: rules(mine+`, resourceNameRegex: "^w.b$"`, setReplicas), want: changed},
		"another name":                                 {rules: rules(mine+`, resourceNameRegex: "^b"`, setReplicas)},
		"namespaces are those of the backup":           {rules: rules(mine+`, namespaces: [old]`, setReplicas), want: changed},
		"not those of the restore":                     {rules: rules(mine+`, namespaces: [new]`, setReplicas)},
		"namespaces may be patterns":                   {rules: rules(mine+`, namespaces: ["o*"]`, setReplicas), want: changed},
		"labels":                                       {rules: rules(mine+`, labelSelector: {matchLabels: {tier: front}}`, setReplicas), want: changed},
		"other labels":                                 {rules: rules(mine+`, labelSelector: {matchLabels: {tier: back}}`, setReplicas)},
		"all resources of a group":                     {rules: rules(`groupResource: "*.apps"`, setReplicas), want: changed},
		"all resources of all groups":                  {rules: rules(`groupResource: "*.*"`, setReplicas), want: changed},
		"all resources of the core group":              {rules: rules(`groupResource: "*"`, setReplicas)},
		"another group":                                {rules: rules(`groupResource: deployments.extensions`, setReplicas)},
		"a value that matches":                         {rules: rules(mine+`, matches: [{path: /spec/replicas, value: "3"}]`, setReplicas), want: changed},
		"one of two values does not match":             {rules: rules(mine+`, matches: [{path: /spec/replicas, value: "3"}, {path: /metadata/name, value: x}]`, setReplicas)},
		"a value that is not there does not match":     {rules: rules(mine+`, matches: [{path: /spec/a/b/c, value: x}]`, setReplicas)},
		"a test that fails leaves all of the rule out": {rules: rules(mine, setReplicas+"\n- {operation: test, path: /metadata/name, value: x}")},
		"a merge patch":                                {rules: rules(mine, "mergePatches:\n- patchData: |\n    {\"spec\": {\"replicas\": 1}}"), want: changed},
		"a merge patch in YAML":                        {rules: rules(mine, "mergePatches:\n- patchData: |\n    spec:\n      replicas: 1"), want: changed},
		"later patches see earlier ones":               {rules: rules(mine, "mergePatches:\n- patchData: '{\"spec\": {\"replicas\": 2}}'\n- patchData: '{\"spec\": {\"replicas\": 1}}'"), want: changed},
		"a strategic patch merges lists by key": {
			rules: rules(mine, "strategicPatches:\n- patchData: |\n    spec: {template: {spec: {containers: [{name: side, image: repo2/side}]}}}"),
			want:  `{"template":{"spec":{"containers":[{"name":"web","image":"repo1/web"},{"name":"side","image":"repo2/side"}]}}}`,
		},
		"what cannot be removed is an error":  {rules: rules(mine, "patches:\n- {operation: remove, path: /spec/none}"), err: "resourceModifierRules[0].patches: "},
		"the namespace is not for modifiers":  {rules: rules(mine, "patches:\n- {operation: replace, path: /metadata/namespace, value: other}"), err: "metadata.namespace: Forbidden"},
		"an object without kind is no object": {rules: rules(mine, "patches:\n- {operation: remove, path: /kind}"), err: "reading the changed object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r, problems := Parse(tc.rules)
			g.Expect(problems).To(BeEmpty())
			obj := object(g, deployment)
			before := obj.DeepCopy()

			out := r.Apply(Item{Object: obj, GroupResource: deployments, Namespace: "old"}, scheme.Scheme)

			g.Expect(obj).To(Equal(before), "the argument is not changed")
			if tc.err != "" {
				g.Expect(out.Errors).To(ContainElement(MatchError(ContainSubstring(tc.err))))
				g.Expect(out.Object).To(Equal(before))
				return
			}
			g.Expect(out.Errors).To(BeEmpty())
			want := before
			if tc.want != "" {
				spec := object(g, "kind: x\nspec: "+tc.want).Object["spec"].(map[string]any)
				for k, v := range spec {
					want.Object["spec"].(map[string]any)[k] = v
				}
			}
			g.Expect(out.Object).To(Equal(want))
			g.Expect(len(out.Applied) > 0).To(Equal(tc.want != ""))
		})
	}
}

func TestStrategicPatchOfAnUnknownKind(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r, problems := Parse(rules(`groupResource: "*.example.com"`, "strategicPatches:\n- patchData: '{\"spec\": {}}'"))
	g.Expect(problems).To(BeEmpty())

	out := r.Apply(Item{
		Object:        object(g, "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}"),
		GroupResource: schema.GroupResource{Group: "example.com", Resource: "widgets"},
	}, scheme.Scheme)

	g.Expect(out.Errors).To(ConsistOf(MatchError(ContainSubstring("use mergePatches"))))
}

func TestNamespacesDoNotKeepRulesFromObjectsWithoutOne(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r, problems := Parse(rules(`groupResource: "*.apps", namespaces: [a]`, "mergePatches:\n- patchData: '{\"x\": 1}'"))
	g.Expect(problems).To(BeEmpty())

	out := r.Apply(Item{Object: object(g, "apiVersion: v1\nkind: X\nmetadata: {name: x}"), GroupResource: deployments}, scheme.Scheme)

	g.Expect(out.Applied).To(ConsistOf("resourceModifierRules[0]"))
}

func TestParseNamesTheField(t *testing.T) {
	t.Parallel()
	ok := "groupResource: pods"
	remove := "patches:\n- {operation: remove, path: /spec/x}"
	for name, tc := range map[string]struct{ text, want string }{
		"no YAML":                   {"\t", "reading the rules: "},
		"a key twice":               {"version: v1\nversion: v1", `already set`},
		"another version":           {"version: v2\nresourceModifierRules: []", `version: Invalid value: "v2": must be v1`},
		"no rules":                  {"version: v1", "resourceModifierRules: Required value"},
		"an unknown field":          {rules(ok+", namespace: x", remove), `unknown field "resourceModifierRules[0].conditions.namespace"`},
		"the old name of the field": {rules("groupKind: pods", remove), `unknown field "resourceModifierRules[0].conditions.groupKind"`},
		"no resource":               {rules("namespaces: [a]", remove), "resourceModifierRules[0].conditions.groupResource: Required value"},
		"a bad resource":            {rules("groupResource: pods.", remove), `resourceModifierRules[0].conditions.groupResource: Invalid value: "pods."`},
		"a bad name":                {rules(ok+`, resourceNameRegex: "("`, remove), `resourceModifierRules[0].conditions.resourceNameRegex: Invalid value: "("`},
		"a bad namespace":           {rules(ok+`, namespaces: [a, "["]`, remove), `resourceModifierRules[0].conditions.namespaces[1]: Invalid value: "["`},
		"a bad selector": {
			rules(ok+`, labelSelector: {matchExpressions: [{key: a, operator: Like}]}`, remove),
			"resourceModifierRules[0].conditions.labelSelector: Invalid value",
		},
		"a match without path":  {rules(ok+", matches: [{value: x}]", remove), "resourceModifierRules[0].conditions.matches[0].path: Required value"},
		"no patches":            {rules(ok, ""), "must have exactly one of patches, mergePatches and strategicPatches"},
		"two kinds of patches":  {rules(ok, remove+"\nmergePatches:\n- patchData: '{}'"), "must have exactly one of"},
		"an unknown operation":  {rules(ok, "patches:\n- {operation: delete, path: /a}"), `resourceModifierRules[0].patches[0].operation: Invalid value: "delete": must be add`},
		"no path":               {rules(ok, "patches:\n- {operation: remove}"), "resourceModifierRules[0].patches[0].path: Required value"},
		"a path with dots":      {rules(ok, "patches:\n- {operation: remove, path: spec.x}"), `resourceModifierRules[0].patches[0].path: Invalid value: "spec.x"`},
		"a move without source": {rules(ok, "patches:\n- {operation: move, path: /a}"), "resourceModifierRules[0].patches[0].from: Required value"},
		"a value that looks like JSON": {
			rules(ok, "patches:\n- {operation: add, path: /a, value: '{\"b\"'}"), "resourceModifierRules[0].patches[0].value: Invalid value",
		},
		"an empty patch":         {rules(ok, "mergePatches:\n- {}"), "resourceModifierRules[0].mergePatches[0].patchData: Required value"},
		"a patch that is a list": {rules(ok, "strategicPatches:\n- patchData: '[]'"), "resourceModifierRules[0].strategicPatches[0].patchData: Invalid value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			r, problems := Parse(tc.text)

			g.Expect(r).To(BeNil())
			g.Expect(problems).To(ContainElement(ContainSubstring(tc.want)))
		})
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"premium"`: `"premium"`, `""`: `""`, `"null"`: `null`, `null`: `null`, `"true"`: `true`, `"True"`: `"True"`, `"1.5"`: `1.5`, `"007"`: `"007"`,
		`"\"5\""`: `"5"`, `"{\"a\": 1}"`: `{"a": 1}`, `"[1]"`: `[1]`, `{"a":1}`: `{"a":1}`, `"NaN"`: `"NaN"`, ``: `""`,
	} {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			got, err := valueOf([]byte(in))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(want))
		})
	}
}

func TestConfigMapHasOneKey(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	text := rules("groupResource: pods", "patches:\n- {operation: remove, path: /spec/x}")

	r, problems := FromConfigMap(&corev1.ConfigMap{Data: map[string]string{"any": text}})
	g.Expect(problems).To(BeEmpty())
	g.Expect(r.rules).To(HaveLen(1))

	for _, data := range []map[string]string{nil, {"a": text, "b": text}} {
		_, problems := FromConfigMap(&corev1.ConfigMap{Data: data})
		g.Expect(problems).To(ConsistOf(ContainSubstring("must be one key")))
	}
}

// FuzzApply expects that no rules and no object make it panic, and that an object
// stays where it is.
func FuzzApply(f *testing.F) {
	for _, seed := range []string{
		rules("groupResource: '*.*'", "patches:\n- {operation: copy, from: /spec, path: /spec/x}"),
		rules("groupResource: '*.*', matches: [{path: /spec/replicas, value: '3'}]", "patches:\n- {operation: move, from: /spec, path: /spec/x}"),
		rules("groupResource: '*.*'", "mergePatches:\n- patchData: '{\"spec\": null}'"),
		rules("groupResource: '*.*'", "strategicPatches:\n- patchData: '{\"spec\": {\"template\": {\"$patch\": \"replace\"}}}'"),
		rules("groupResource: '*.*'", "strategicPatches:\n- patchData: '{\"metadata\": {\"$retainKeys\": [1], \"labels\": []}}'"),
		rules("groupResource: '*.*'", "patches:\n- {operation: add, path: /spec/template/spec/containers/-, value: '{}'}"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, problems := Parse(text)
		if len(problems) > 0 {
			return
		}
		g := NewWithT(t)
		out := r.Apply(Item{Object: object(g, deployment), GroupResource: deployments, Namespace: "old"}, scheme.Scheme)
		g.Expect(out.Object.GetNamespace()).To(Equal("new"))
		g.Expect(out.Object.GetKind()).NotTo(BeEmpty())
	})
}
