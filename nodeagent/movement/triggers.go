package movement

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/moverlog"
	"github.com/podkeep/podkeep/nodeagent/slots"
)

// triggerBuffer holds what is said before the controllers listen; a node has far
// fewer movers.
const triggerBuffer = 1024

// Triggers wake the reconcilers for reasons that are not in the API: a slot
// became free, or a mover said something.
type Triggers struct {
	namespace string
	channels  map[wire.Kind]chan event.TypedGenericEvent[types.NamespacedName]
}

// NewTriggers returns triggers for the objects of the install namespace.
func NewTriggers(namespace string) *Triggers {
	return &Triggers{
		namespace: namespace,
		channels: map[wire.Kind]chan event.TypedGenericEvent[types.NamespacedName]{
			wire.KindBackup:  make(chan event.TypedGenericEvent[types.NamespacedName], triggerBuffer),
			wire.KindRestore: make(chan event.TypedGenericEvent[types.NamespacedName], triggerBuffer),
		},
	}
}

// Wake lets the reconcilers look at these objects again, in this order.
func (t *Triggers) Wake(ctx context.Context, keys []Key) {
	for _, key := range keys {
		name := types.NamespacedName{Namespace: t.namespace, Name: key.Name}
		select {
		case t.channels[key.Kind] <- event.TypedGenericEvent[types.NamespacedName]{Object: name}:
		case <-ctx.Done():
			return
		}
	}
}

// Source is what the controller of a kind watches.
func (t *Triggers) Source(kind wire.Kind) source.Source {
	return source.Channel(t.channels[kind], handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
		GenericFunc: func(
			_ context.Context,
			e event.TypedGenericEvent[types.NamespacedName],
			queue workqueue.TypedRateLimitingInterface[reconcile.Request],
		) {
			queue.Add(reconcile.Request{NamespacedName: e.Object})
		},
	})
}

// Listener returns what a moverlog.Follower calls. The slot of a mover that ended
// goes to the next before anything else happens.
func Listener(ledger *slots.Ledger[Key], triggers *Triggers) func(context.Context, moverlog.Target, moverlog.State) {
	return func(ctx context.Context, t moverlog.Target, s moverlog.State) {
		key := Key{Kind: t.Kind, Name: t.Name}
		if s.Result != nil {
			triggers.Wake(ctx, ledger.Release(key))
		}
		triggers.Wake(ctx, []Key{key})
	}
}
