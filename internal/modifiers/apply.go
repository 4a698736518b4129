package modifiers

import (
	"errors"
	"fmt"
	"path"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// maxCopiedBytes bounds what the copy operations of one rule add to an object,
// which has at most 1.5 MiB in the API.
const maxCopiedBytes = 3 << 20

// Item is an object that is about to be restored.
type Item struct {
	Object        *unstructured.Unstructured
	GroupResource schema.GroupResource

	// Namespace is the one in the backup, "" for an object without one. Conditions
	// are about it; patches see the object with its new one.
	Namespace string
}

// Outcome is what rules did to an object.
type Outcome struct {
	// Object is the changed copy.
	Object *unstructured.Unstructured

	// Applied are the fields of the rules that changed something, in order.
	Applied []string

	// Untrue are the fields of the rules whose test operations did not hold, so that
	// nothing of them was applied.
	Untrue []string

	// Errors are rules that could not be applied. Nothing of them is in the object.
	Errors []error
}

// Apply applies all rules that fit, in order. A rule is applied as a whole or not
// at all. types says which fields of an object are lists by key, for strategic
// merge patches; the argument's object is not changed.
func (r *Rules) Apply(i Item, types *runtime.Scheme) Outcome {
	out := Outcome{Object: i.Object.DeepCopy()}
	if r == nil {
		return out
	}
	for _, c := range r.rules {
		fits, err := c.fits(i, out.Object)
		if err != nil {
			out.Errors = append(out.Errors, fmt.Errorf("%s.conditions: %w", c.field, err))
			continue
		}
		if !fits {
			continue
		}
		changed, err := c.apply(out.Object, types)
		switch {
		case errors.Is(err, jsonpatch.ErrTestFailed):
			out.Untrue = append(out.Untrue, c.field)
		case err != nil:
			out.Errors = append(out.Errors, err)
		default:
			out.Object = changed
			out.Applied = append(out.Applied, c.field)
		}
	}
	return out
}

// fits says whether a rule is for the object, as earlier rules have left it.
func (c compiled) fits(i Item, obj *unstructured.Unstructured) (bool, error) {
	if !c.fitsResource(i.GroupResource) || !c.fitsNamespace(i.Namespace) {
		return false, nil
	}
	if c.name != nil && !c.name.MatchString(i.Object.GetName()) {
		return false, nil
	}
	if c.selector != nil && !c.selector.Matches(labels.Set(obj.GetLabels())) {
		return false, nil
	}
	if len(c.matches) == 0 {
		return true, nil
	}
	text, err := obj.MarshalJSON()
	if err != nil {
		return false, fmt.Errorf("encoding the object: %w", err)
	}
	for _, m := range c.matches {
		if _, err := m.Apply(text); err != nil {
			return false, nil //nolint:nilerr // another value, or none: the rule does not apply
		}
	}
	return true, nil
}

func (c compiled) fitsResource(gr schema.GroupResource) bool {
	return like(c.resource, gr.Resource) && (c.anyGroup || (c.group == "") == (gr.Group == "") && like(c.group, gr.Group))
}

// fitsNamespace lets objects without a namespace through, as Velero does.
func (c compiled) fitsNamespace(namespace string) bool {
	return namespace == "" || len(c.namespaces) == 0 ||
		slices.ContainsFunc(c.namespaces, func(p string) bool { return like(p, namespace) })
}

func like(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

func (c compiled) apply(obj *unstructured.Unstructured, types *runtime.Scheme) (*unstructured.Unstructured, error) {
	text, err := obj.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("%s: encoding the object: %w", c.field, err)
	}
	for _, p := range c.patches {
		if text, err = p.apply(text, obj.GroupVersionKind(), types); err != nil {
			return nil, fmt.Errorf("%s: %w", p.field, err)
		}
	}
	changed := &unstructured.Unstructured{}
	if err := changed.UnmarshalJSON(text); err != nil {
		return nil, fmt.Errorf("%s: reading the changed object: %w", c.field, err)
	}
	if changed.GetNamespace() != obj.GetNamespace() {
		return nil, fmt.Errorf("%s: metadata.namespace: Forbidden: use spec.namespaceMapping of the restore", c.field)
	}
	return changed, nil
}

func (p patch) apply(text []byte, kind schema.GroupVersionKind, types *runtime.Scheme) ([]byte, error) {
	switch {
	case p.json != nil:
		options := jsonpatch.NewApplyOptions()
		options.AccumulatedCopySizeLimit = maxCopiedBytes
		return p.json.ApplyWithOptions(text, options)
	case p.merge != nil:
		return jsonpatch.MergePatch(text, p.merge)
	default:
		typed, err := types.New(kind)
		if err != nil {
			return nil, fmt.Errorf("strategic merge patches need a built-in kind, %s is none; use mergePatches", kind.Kind)
		}
		return strategicpatch.StrategicMergePatch(text, p.strategic, typed)
	}
}
