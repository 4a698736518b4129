package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// definition is a custom resource definition that this restore has made.
type definition struct {
	item item
	kind schema.GroupKind

	// versions are those that the API server will serve.
	versions []string
}

func newDefinition(i item) definition {
	d := definition{item: i, kind: schema.GroupKind{
		Group: nestedString(i.archived, "spec", "group"), Kind: nestedString(i.archived, "spec", "names", "kind"),
	}}
	versions, _, _ := unstructured.NestedSlice(i.archived.Object, "spec", "versions") // the API server has accepted it
	for _, v := range versions {
		if version, ok := v.(map[string]any); ok && version["served"] == true {
			name, _ := version["name"].(string)
			d.versions = append(d.versions, name)
		}
	}
	return d
}

func nestedString(obj *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(obj.Object, path...) // as above
	return s
}

const (
	// definitionPoll is how often new definitions are looked at: the API server
	// takes some 100 ms to serve one.
	definitionPoll = 100 * time.Millisecond

	// definitionPatience is how long a pass waits for new definitions before it is
	// ended and repeated.
	definitionPatience = 10 * time.Second
)

// awaitDefinitions waits until the API server serves the kinds that this restore
// has defined, so that their objects can be created.
func (p *pass) awaitDefinitions(ctx context.Context) error {
	missing := p.definitions
	err := wait.PollUntilContextTimeout(ctx, definitionPoll, definitionPatience, true, func(ctx context.Context) (bool, error) {
		var left []definition
		for _, d := range missing {
			if p.explainMissing(ctx, d) != nil {
				left = append(left, d)
			}
		}
		missing = left
		return len(missing) == 0, p.tick(ctx)
	})
	if err != nil && !wait.Interrupted(err) || ctx.Err() != nil {
		return err
	}
	for _, d := range missing {
		p.postpone(velerov1.ReasonKindNotServed, d.item.entry("the custom resource definition is not available", p.explainMissing(ctx, d)))
	}
	return nil
}

// explainMissing says why a kind is not served, nil when it is.
func (p *pass) explainMissing(ctx context.Context, d definition) error {
	existing := &unstructured.Unstructured{}
	existing.SetGroupVersionKind(d.item.prepared.GroupVersionKind())
	if err := p.Reader.Get(ctx, client.ObjectKeyFromObject(d.item.prepared), existing); err != nil {
		return fmt.Errorf("getting it: %w", err)
	}
	if why := notEstablished(existing); why != nil {
		return why
	}
	for _, version := range d.versions {
		if _, err := p.Client.RESTMapper().RESTMapping(d.kind, version); err != nil {
			return fmt.Errorf("finding the kind %s in discovery: %w", d.kind, err)
		}
	}
	return nil
}

// notEstablished says what a definition lacks, in the words of the API server.
func notEstablished(obj *unstructured.Unstructured) error {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions") // missing is none
	missing := map[string]string{"NamesAccepted": "not looked at yet", "Established": "not looked at yet"}
	for _, c := range conditions {
		condition, ok := c.(map[string]any)
		if !ok {
			continue
		}
		name, _ := condition["type"].(string)
		if condition["status"] == string(corev1.ConditionTrue) {
			delete(missing, name)
		} else if _, wanted := missing[name]; wanted {
			missing[name], _ = condition["message"].(string)
		}
	}
	for _, name := range []string{"NamesAccepted", "Established"} {
		if message, ok := missing[name]; ok {
			return errors.New("it is not " + name + ": " + oneLine(message))
		}
	}
	return nil
}

// defines reports whether this restore has made the definition of a kind, so that
// the API server will serve it soon.
func (p *pass) defines(gvk schema.GroupVersionKind) bool {
	return slices.ContainsFunc(p.definitions, func(d definition) bool {
		return d.kind == gvk.GroupKind() && slices.Contains(d.versions, gvk.Version)
	})
}
