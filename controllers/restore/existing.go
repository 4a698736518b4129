package restore

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/layout"
)

// differsFormat is what Velero says of an object that is there already. It is
// looked for in results.
const differsFormat = "could not restore, %s %q already exists. Warning: the in-cluster version is different than the backed-up version."

// inspect looks at an object that was there before. It is changed only when it is
// a service account that lacks something, or when the restore says so.
func (p *pass) inspect(ctx context.Context, i item, existing *unstructured.Unstructured) (fate, error) {
	switch {
	case p.isOurs(existing):
		p.found(i, existing, layout.RestoreActionCreated)
		return fate{own: existing}, nil
	case existing.GetDeletionTimestamp() != nil:
		p.postpone(velerov1.ReasonRetrying, i.entry("not restored", errors.New("an object of this name is being deleted")))
		p.done(existing.GroupVersionKind(), existing.GetNamespace(), existing.GetName(), layout.RestoreActionFailed)
		return fate{}, nil
	case i.prepared.GroupVersionKind() == serviceAccountKind:
		return fate{foreign: true}, p.mergeServiceAccount(ctx, i, existing)
	case p.restore.Spec.ExistingResourcePolicy == velerov1.PolicyTypeUpdate:
		return fate{foreign: true}, p.update(ctx, i, existing)
	case !p.target.Same(i.prepared, existing):
		p.log.Warn(i.entry(fmt.Sprintf(differsFormat, existing.GetKind(), existing.GetName()), nil))
	}
	p.found(i, existing, layout.RestoreActionSkipped)
	return fate{foreign: true}, nil
}

// isOurs reports whether an earlier pass of this restore made the object. One of
// a former restore with the same name is older than this restore.
func (p *pass) isOurs(obj metav1.Object) bool {
	created := obj.GetCreationTimestamp()
	return obj.GetLabels()[velerov1.RestoreNameLabel] == velerov1.ValidLabelValue(p.restore.Name) &&
		!created.Before(&p.restore.CreationTimestamp) && obj.GetDeletionTimestamp() == nil
}

func (p *pass) mergeServiceAccount(ctx context.Context, i item, existing *unstructured.Unstructured) error {
	merged, changed := items.MergeServiceAccount(existing, i.prepared)
	if !changed {
		p.found(i, existing, layout.RestoreActionSkipped)
		return nil
	}
	if err := p.Client.Patch(ctx, merged, client.MergeFrom(existing)); err != nil {
		return p.failUpdate(ctx, i, fmt.Errorf("merging it into the existing one: %w", err))
	}
	p.found(i, merged, layout.RestoreActionUpdated)
	return nil
}

// update makes an existing object what the backup holds. When it cannot be, that
// is a warning, and it gets the labels of the restore all the same.
func (p *pass) update(ctx context.Context, i item, existing *unstructured.Unstructured) error {
	from, to, ok := p.target.Update(i.prepared, existing)
	if !ok {
		p.log.Info("Leaving item as it is", "item", i.ref.String(), "reason", "its controller decides about it")
		p.found(i, existing, layout.RestoreActionSkipped)
		return nil
	}
	err := p.patchExisting(ctx, from, to)
	if err != nil && p.postponeReason(i, err) != "" {
		return p.failUpdate(ctx, i, err)
	}
	if err != nil {
		p.log.Warn(i.entry("not updated to what the backup holds", err))
		labeled := from.DeepCopy()
		labeled.SetLabels(addLabels(from.GetLabels(), to.GetLabels()))
		if err := p.patchExisting(ctx, from, labeled); err != nil {
			return p.failUpdate(ctx, i, fmt.Errorf("labelling it: %w", err))
		}
		p.found(i, existing, layout.RestoreActionSkipped)
		return nil
	}
	p.log.Info("Updated item", "item", i.ref.String(), "namespace", existing.GetNamespace())
	p.found(i, existing, layout.RestoreActionUpdated)
	return nil
}

// addLabels returns the labels of an object with those of a restore.
func addLabels(own, more map[string]string) map[string]string {
	all := map[string]string{}
	for key, value := range own {
		all[key] = value
	}
	for _, key := range []string{velerov1.BackupNameLabel, velerov1.RestoreNameLabel} {
		all[key] = more[key]
	}
	return all
}

func (p *pass) patchExisting(ctx context.Context, from, to *unstructured.Unstructured) error {
	if equality.Semantic.DeepEqual(from, to) {
		return nil
	}
	return p.Client.Patch(ctx, to.DeepCopy(), client.MergeFrom(from))
}

// failUpdate records an existing object that could not be changed, or leaves it to
// the next pass.
func (p *pass) failUpdate(ctx context.Context, i item, err error) error {
	p.refuse(i, err)
	return ctx.Err()
}
