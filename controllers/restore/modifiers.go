package restore

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/modifiers"
	"github.com/podkeep/podkeep/internal/outcome"
)

// modifierKind is the only kind that spec.resourceModifier refers to. Case does not
// matter, as in Velero.
const modifierKind = "configmap"

// readModifiers returns the rules that a restore refers to, and what is wrong with
// them. Without a reference there are none.
func (r *Reconciler) readModifiers(ctx context.Context, restore *velerov1.Restore) (*modifiers.Rules, []string, error) {
	ref := restore.Spec.ResourceModifier
	if ref == nil {
		return nil, nil, nil
	}
	const field = "spec.resourceModifier"
	if !strings.EqualFold(ref.Kind, modifierKind) || (ref.APIGroup != nil && *ref.APIGroup != "") {
		return nil, []string{fmt.Sprintf("%s.kind: Unsupported value: %q: must be ConfigMap", field, ref.Kind)}, nil
	}
	cm := &corev1.ConfigMap{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: restore.Namespace, Name: ref.Name}, cm)
	if apierrors.IsNotFound(err) {
		return nil, []string{fmt.Sprintf("%s.name: Not found: %q: must be a ConfigMap in namespace %s", field, ref.Name, restore.Namespace)}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("getting ConfigMap %s: %w", ref.Name, err)
	}
	rules, problems := modifiers.FromConfigMap(cm)
	for i, p := range problems {
		problems[i] = fmt.Sprintf("%s: ConfigMap %s: %s", field, ref.Name, p)
	}
	return rules, problems, nil
}

// readModifiers reads the rules for a pass. They were right when the restore
// started; it ends when they are not any more.
func (p *pass) readModifiers(ctx context.Context) error {
	rules, problems, err := p.Reconciler.readModifiers(ctx, p.restore)
	if len(problems) > 0 {
		return outcome.Terminalf(velerov1.ReasonInvalidSpec, "reading the resource modifiers: %s", strings.Join(problems, "; "))
	}
	p.modifiers = rules
	return err
}

// prepare returns an item in the form in which it is created: as its kind demands,
// and then as the resource modifiers say. A rule that cannot be applied is in the
// results, and the item is restored without it, as in Velero.
func (p *pass) prepare(i item) (item, items.Reason) {
	prepared, reason := p.target.Prepare(i.archived)
	i.prepared = prepared
	if reason != "" || p.modifiers == nil {
		return i, reason
	}
	out := p.modifiers.Apply(modifiers.Item{Object: prepared, GroupResource: i.ref.GroupResource, Namespace: i.ref.Namespace}, p.Client.Scheme())
	i.prepared = out.Object
	for _, err := range out.Errors {
		p.log.Error(i.entry("resource modifier is not applied", err))
	}
	for _, field := range out.Untrue {
		p.log.Info("Leaving out resource modifier", "item", i.ref.String(), "rule", field, "reason", "its test operation does not hold")
	}
	if len(out.Applied) > 0 {
		p.log.Info("Applied resource modifiers", "item", i.ref.String(), "rules", strings.Join(out.Applied, ","))
		p.target.Label(i.prepared)
	}
	return i, ""
}
