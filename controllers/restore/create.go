package restore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
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
	serviceKind        = schema.GroupVersionKind{Version: "v1", Kind: "Service"}
	serviceAccountKind = schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}
)

// createWorkers is how many items of one resource are written at the same time.
// A create takes 5 to 20 ms with its webhooks and the API server can do many at
// once; more would only queue at the client's rate limit.
const createWorkers = 8

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

// restoreRef brings one item on its way. Only errors that end the pass are
// returned.
func (p *pass) restoreRef(ctx context.Context, ref archive.ItemRef) error {
	if reason := p.selection.leavesOutNamespace(ref.Namespace); reason != "" {
		p.log.Info("Leaving out item", "item", ref.String(), "reason", reason)
		return nil
	}
	archived := p.readItem(ref)
	if archived == nil {
		return nil
	}
	if archived.GroupVersionKind() == volumeKind {
		return p.restoreVolume(ctx, item{ref: ref, archived: archived})
	}
	if reason := p.selection.leavesOut(ref, archived); reason != "" {
		p.log.Info("Leaving out item", "item", ref.String(), "reason", reason)
		p.podsSeen[types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}] = ref.GroupResource == podsResource
		return nil
	}
	return p.restoreSelected(ctx, item{ref: ref, archived: archived})
}

// restoreSelected brings an item on its way that the filters have selected.
func (p *pass) restoreSelected(ctx context.Context, i item) error {
	gvk, target := i.archived.GroupVersionKind(), p.target.Namespaces.Target(i.ref.Namespace)
	switch {
	case p.unusable[target]:
		p.done(gvk, target, i.ref.Name, layout.RestoreActionFailed) // refuseTerminating has said why
		return nil
	case p.blocked[owner{gvk.GroupKind(), i.ref.Namespace, i.ref.Name}]:
		p.refuseBlocked(i.ref, i.archived)
		return nil
	case p.unknown[gvk] > 0:
		p.leaveOutUnknown(i)
		return nil
	}
	i, reason := p.prepare(i)
	if reason != "" {
		p.log.Info("Leaving out item", "item", i.ref.String(), "reason", string(reason))
		p.done(gvk, target, i.ref.Name, layout.RestoreActionSkipped)
		return nil
	}
	if p.lacksClass(i) {
		return nil
	}
	if gvk == podKind {
		return p.restorePod(ctx, i)
	}
	if gvk == claimKind && p.fillsClaim(i.ref.Namespace, i.ref.Name) {
		items.SetAnnotation(i.prepared, velerov1.FilledByAnnotation, string(p.restore.UID))
	}
	return p.enqueue(ctx, creation{item: i, then: p.afterCreate(i)})
}

// afterCreate is what follows the creation of items of some kinds.
func (p *pass) afterCreate(i item) func(context.Context, fate) error {
	if i.ref.GroupResource != definitionsResource {
		return nil
	}
	return func(_ context.Context, f fate) error {
		if f.own != nil {
			p.definitions = append(p.definitions, newDefinition(i))
		}
		return nil
	}
}

// lacksClass refuses an item whose new storage class is not in the cluster: its
// claim would wait for ever.
func (p *pass) lacksClass(i item) bool {
	for _, class := range p.target.NewClasses(i.archived) {
		if _, exists := p.classes[class]; !exists {
			p.log.Error(i.entry(fmt.Sprintf("not restored: it is to get the storage class %q, which is not in this cluster; "+
				"create it or correct the ConfigMap", class), nil))
			p.done(i.archived.GroupVersionKind(), i.prepared.GetNamespace(), i.ref.Name, layout.RestoreActionFailed)
			return true
		}
	}
	return false
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

// creation is an item that is being written.
type creation struct {
	item

	// then goes on with what became of the item; nil when nothing follows.
	then func(context.Context, fate) error

	// What write found: the object that was created, the one that was there before,
	// or why there is neither.
	created, existing *unstructured.Unstructured
	err               error

	// warnings are what could not be added to the created object.
	warnings []error
}

// fate is what became of an item.
type fate struct {
	// own is the object in the cluster when it is this restore's, else nil.
	own *unstructured.Unstructured

	// foreign: an object of that name was there before.
	foreign bool
}

// enqueue adds an item to the batch, which is written when it is full and at the
// end of each resource.
func (p *pass) enqueue(ctx context.Context, c creation) error {
	p.batch = append(p.batch, c)
	if len(p.batch) < createWorkers {
		return nil
	}
	return p.flush(ctx)
}

// flush writes the batch at once and then goes through what came of it in order,
// so that all that a pass remembers has one writer.
func (p *pass) flush(ctx context.Context) error {
	batch := p.batch
	p.batch = nil
	if err := p.findMade(ctx, batch); err != nil {
		return err
	}
	workqueue.ParallelizeUntil(ctx, createWorkers, len(batch), func(n int) { p.write(ctx, &batch[n]) })
	for _, c := range batch {
		f, err := p.settle(ctx, c)
		if err != nil {
			return err
		}
		if c.then == nil {
			continue
		}
		if err := c.then(ctx, f); err != nil {
			return err
		}
	}
	return p.createFills(ctx)
}

// write creates one item, or reads what is there. It changes nothing of the pass.
func (p *pass) write(ctx context.Context, c *creation) {
	gvk := c.prepared.GroupVersionKind()
	if own, ok := p.made[gvk].find(c.prepared); ok {
		c.existing = own
		return
	}
	if p.webhookErr != nil && gvk == podKind {
		c.err = p.webhookErr // every try would take its timeout again
		return
	}
	obj, err := p.create(ctx, c.prepared)
	switch {
	case err == nil:
		c.created = obj
		p.complete(ctx, c)
	case apierrors.IsAlreadyExists(err), gvk == serviceKind && isPortTaken(err):
		c.existing, c.err = p.findExisting(ctx, c.prepared, err)
	default:
		c.err = err
	}
}

// forbiddenPatience is how long an API server that has just been started may refuse
// what it allows once it has read its roles.
const forbiddenPatience = 3 * time.Second

// create creates an object. What the roles forbid is tried again for a moment, once
// for each kind.
func (p *pass) create(ctx context.Context, prepared *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	var obj *unstructured.Unstructured
	var err error
	patience := forbiddenPatience
	if p.forbidden[prepared.GroupVersionKind()] {
		patience = 0
	}
	_ = wait.PollUntilContextTimeout(ctx, forbiddenPatience/3, patience, true, func(ctx context.Context) (bool, error) {
		obj = prepared.DeepCopy()
		err = p.Client.Create(ctx, obj)
		return !isForbiddenByRoles(err), nil
	}) // err is what the last try said
	return obj, err
}

// findExisting reads the object that is in the way of an item. refused is why the
// item could not be created.
func (p *pass) findExisting(ctx context.Context, prepared *unstructured.Unstructured, refused error) (*unstructured.Unstructured, error) {
	existing := &unstructured.Unstructured{}
	existing.SetGroupVersionKind(prepared.GroupVersionKind())
	err := p.Client.Get(ctx, client.ObjectKeyFromObject(prepared), existing)
	switch {
	case err == nil:
		return existing, nil
	case apierrors.IsNotFound(err) && !apierrors.IsAlreadyExists(refused):
		return nil, refused // the port belongs to another service
	default:
		return nil, existingUnreadError{err} // gone again, or not readable now: the next pass sees
	}
}

// existingUnreadError is an object that was in the way and could not be read.
type existingUnreadError struct{ err error }

func (e existingUnreadError) Error() string { return "getting the existing object: " + e.err.Error() }
func (e existingUnreadError) Unwrap() error { return e.err }

// settle records what became of an item. Only errors that end the pass are
// returned.
func (p *pass) settle(ctx context.Context, c creation) (fate, error) {
	switch {
	case c.created != nil:
		p.log.Info("Created item", "item", c.ref.String(), "namespace", c.created.GetNamespace())
		for _, warning := range c.warnings {
			p.log.Warn(c.entry("restored, but not completely", warning))
		}
		p.found(c.item, c.created, layout.RestoreActionCreated)
		return fate{own: c.created}, nil
	case c.existing != nil:
		return p.inspect(ctx, c.item, c.existing)
	case ctx.Err() != nil:
		return fate{}, fmt.Errorf("creating %s: %w", c.ref, ctx.Err())
	case meta.IsNoMatchError(c.err) && !p.defines(c.prepared.GroupVersionKind()):
		p.leaveOutUnknown(c.item)
		return fate{}, nil
	}
	p.refuse(c.item, c.err)
	return fate{}, nil
}

// leaveOutUnknown counts an item of a kind that the cluster does not know.
func (p *pass) leaveOutUnknown(i item) {
	gvk := i.archived.GroupVersionKind()
	p.unknown[gvk]++
	p.log.Info("Leaving out item", "item", i.ref.String(), "reason", "UnknownKind")
	p.done(gvk, p.target.Namespaces.Target(i.ref.Namespace), i.ref.Name, layout.RestoreActionSkipped)
}

// reportUnknown warns of each kind of a resource that the cluster does not know.
func (p *pass) reportUnknown(gr schema.GroupResource) {
	kinds := slices.SortedFunc(maps.Keys(p.unknown), func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) })
	for _, gvk := range kinds {
		if n := p.unknown[gvk]; n > 0 {
			p.log.Warn(itemlog.Entry{Cluster: true, Resource: gr.String(),
				Message: fmt.Sprintf("%d items are not restored: this cluster does not know the kind %s", n, gvk)})
		}
	}
	clear(p.unknown)
}

// refuse records an item that could not be created, or leaves it to the next
// pass.
func (p *pass) refuse(i item, err error) {
	reason := p.postponeReason(i, err)
	if reason == velerov1.ReasonWebhookUnavailable {
		p.webhookErr = err
	}
	if isForbiddenByRoles(err) {
		p.forbidden[i.prepared.GroupVersionKind()] = true
	}
	if reason != "" {
		p.postpone(reason, i.entry("not restored", err))
	} else {
		p.log.Error(i.entry("not restored", err))
	}
	p.done(i.archived.GroupVersionKind(), i.prepared.GetNamespace(), i.prepared.GetName(), layout.RestoreActionFailed)
}

// found records an object that is in the cluster now.
func (p *pass) found(i item, obj *unstructured.Unstructured, action layout.RestoreAction) {
	p.done(i.archived.GroupVersionKind(), obj.GetNamespace(), obj.GetName(), action)
	if obj.GroupVersionKind() == claimKind {
		claim := types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
		p.claims[claim] = obj.GetUID()
		p.marked[claim] = obj.GetAnnotations()[velerov1.FilledByAnnotation] == string(p.restore.UID)
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
