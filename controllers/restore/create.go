package restore

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
)

// Kinds that get more than a Create.
var (
	podKind            = schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
	claimKind          = schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}
	volumeKind         = schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolume"}
	serviceAccountKind = schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}
)

// item is one object of the archive on its way into the cluster.
type item struct {
	ref      archive.ItemRef
	archived *unstructured.Unstructured
	prepared *unstructured.Unstructured
}

// entry begins an entry of the results about the item, filed under its target
// namespace.
func (i item) entry(message string, err error) itemlog.Entry {
	e := itemlog.Entry{Resource: i.ref.GroupResource.String(), Name: i.ref.Name, Message: message, Err: err}
	if i.prepared != nil {
		e.Namespace = i.prepared.GetNamespace()
	}
	e.Cluster = e.Namespace == ""
	return e
}

// restoreRef writes one item. Only errors that end the pass are returned.
func (p *pass) restoreRef(ctx context.Context, ref archive.ItemRef) error {
	target := p.target.Namespaces.Target(ref.Namespace)
	archived := p.readItem(ref)
	if archived == nil {
		return nil
	}
	gvk := archived.GroupVersionKind()
	if p.unusable[target] {
		p.done(gvk, target, ref.Name, layout.RestoreActionFailed) // refuseTerminating has said why
		return nil
	}
	if gvk == volumeKind {
		return p.restoreVolume(ctx, item{ref: ref, archived: archived})
	}
	if p.blocked[owner{gvk.GroupKind(), ref.Namespace, ref.Name}] {
		p.refuseBlocked(ref, archived)
		return nil
	}
	prepared, reason := p.target.Prepare(archived)
	if reason != "" {
		p.log.Info("Leaving out item", "item", ref.String(), "reason", string(reason))
		p.done(gvk, target, ref.Name, layout.RestoreActionSkipped)
		return nil
	}
	i := item{ref: ref, archived: archived, prepared: prepared}
	if gvk == podKind {
		return p.restorePod(ctx, i)
	}
	_, err := p.ensure(ctx, i)
	return err
}

// readItem reads an item of the archive; nil is in the results.
func (p *pass) readItem(ref archive.ItemRef) *unstructured.Unstructured {
	archived, err := ref.Read()
	if err != nil {
		p.log.Error(itemlog.Entry{
			Namespace: p.target.Namespaces.Target(ref.Namespace), Cluster: ref.Namespace == "",
			Resource: ref.GroupResource.String(), Name: ref.Name, Message: "not restored", Err: err,
		})
	}
	return archived
}

// fate is what became of an item.
type fate struct {
	// own is the object in the cluster when it is this restore's, else nil.
	own *unstructured.Unstructured

	// foreign: an object of that name was there before.
	foreign bool
}

// ensure creates an item, or finds it. Only errors that end the pass are
// returned.
func (p *pass) ensure(ctx context.Context, i item) (fate, error) {
	obj := i.prepared.DeepCopy()
	err := p.Client.Create(ctx, obj)
	switch {
	case err == nil:
		p.log.Info("Created item", "item", i.ref.String(), "namespace", obj.GetNamespace())
		p.found(i, obj, layout.RestoreActionCreated)
		return fate{own: obj}, nil
	case apierrors.IsAlreadyExists(err):
		return p.inspect(ctx, i)
	case ctx.Err() != nil:
		return fate{}, fmt.Errorf("creating %s: %w", i.ref, err)
	case meta.IsNoMatchError(err):
		p.log.Warn(i.entry(fmt.Sprintf("not restored: this cluster does not know the kind %s", i.prepared.GroupVersionKind()), nil))
		p.done(i.archived.GroupVersionKind(), obj.GetNamespace(), obj.GetName(), layout.RestoreActionSkipped)
		return fate{}, nil
	}
	p.refuse(i, err)
	return fate{}, nil
}

// refuse records an item that could not be created, or leaves it to the next
// pass.
func (p *pass) refuse(i item, err error) {
	reason := postponeReason(err, i.prepared.GroupVersionKind() == podKind)
	if reason == velerov1.ReasonWebhookUnavailable {
		p.webhookErr = err
	}
	if reason != "" {
		p.postpone(reason, i.entry("not restored", err))
	} else {
		p.log.Error(i.entry("not restored", err))
	}
	p.done(i.archived.GroupVersionKind(), i.prepared.GetNamespace(), i.prepared.GetName(), layout.RestoreActionFailed)
}

// inspect looks at an object that was there before. It is changed only when it is
// a service account that lacks something.
func (p *pass) inspect(ctx context.Context, i item) (fate, error) {
	existing := &unstructured.Unstructured{}
	existing.SetGroupVersionKind(i.prepared.GroupVersionKind())
	if err := p.Client.Get(ctx, client.ObjectKeyFromObject(i.prepared), existing); err != nil {
		// Gone again since Create: the next pass makes it.
		p.postpone(velerov1.ReasonRetrying, i.entry("not restored", fmt.Errorf("getting the existing object: %w", err)))
		return fate{}, ctx.Err()
	}
	switch {
	case p.isOurs(existing):
		p.found(i, existing, layout.RestoreActionCreated)
		return fate{own: existing}, nil
	case i.prepared.GroupVersionKind() == serviceAccountKind:
		return fate{foreign: true}, p.mergeServiceAccount(ctx, i, existing)
	case existing.GetDeletionTimestamp() != nil:
		p.postpone(velerov1.ReasonRetrying, i.entry("not restored", errors.New("an object of this name is being deleted")))
		p.done(existing.GroupVersionKind(), existing.GetNamespace(), existing.GetName(), layout.RestoreActionFailed)
		return fate{}, nil
	case !p.target.Same(i.prepared, existing):
		p.log.Warn(i.entry("not restored: it exists and differs from the backup; it is left as it is", nil))
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
		p.log.Error(i.entry("not merged into the existing one", err))
		p.done(existing.GroupVersionKind(), existing.GetNamespace(), existing.GetName(), layout.RestoreActionFailed)
		return ctx.Err()
	}
	p.found(i, merged, layout.RestoreActionUpdated)
	return nil
}

// found records an object that is in the cluster now.
func (p *pass) found(i item, obj *unstructured.Unstructured, action layout.RestoreAction) {
	p.done(i.archived.GroupVersionKind(), obj.GetNamespace(), obj.GetName(), action)
	if obj.GroupVersionKind() == claimKind {
		p.claims[types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}] = obj.GetUID()
	}
}

// done counts an item and lists it.
func (p *pass) done(gvk schema.GroupVersionKind, namespace, name string, action layout.RestoreAction) {
	p.list.Add(gvk, layout.RestoredItem(namespace, name, action))
	p.progress.TotalItems++
	if action != layout.RestoreActionFailed {
		p.progress.ItemsRestored++
	}
}

// undo takes back the last done of a kind.
func (p *pass) undo(gvk schema.GroupVersionKind) {
	key := gvk.GroupVersion().String() + "/" + gvk.Kind
	p.list[key] = p.list[key][:len(p.list[key])-1]
	p.progress.TotalItems--
	p.progress.ItemsRestored--
}
