package backup

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Why a long action of a backup ends before it is done.
var (
	// errGone is a backup that has been deleted.
	errGone = errors.New("backup was deleted")

	// errCanceled is a backup that somebody wants to end.
	errCanceled = errors.New("backup was canceled")
)

// interrupts ends actions that take minutes when their backup is canceled or
// deleted meanwhile. It knows only actions that run now: after a restart of the
// server none does.
type interrupts struct {
	mu      sync.Mutex // guards running
	running map[types.UID]context.CancelCauseFunc
}

// begin returns a context for an action, which ends early with errGone or
// errCanceled as its cause. The caller calls end when the action is over.
func (i *interrupts) begin(ctx context.Context, b *velerov1.Backup) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()

	if i.running == nil {
		i.running = map[types.UID]context.CancelCauseFunc{}
	}
	i.running[b.UID] = cancel
	return ctx, func() {
		i.mu.Lock()
		defer i.mu.Unlock()

		delete(i.running, b.UID)
		cancel(nil)
	}
}

// look ends the action of a backup if this state of it says so.
func (i *interrupts) look(b *velerov1.Backup) {
	cause := interruption(b)
	if cause == nil {
		return
	}
	i.end(b.UID, cause)
}

func (i *interrupts) end(uid types.UID, cause error) {
	i.mu.Lock()
	defer i.mu.Unlock()

	if cancel := i.running[uid]; cancel != nil {
		cancel(cause)
	}
}

// interruption is why an action on the backup must not go on; nil when it may.
func interruption(b *velerov1.Backup) error {
	switch {
	case b.DeletionTimestamp != nil:
		return errGone
	case isCanceled(b):
		return errCanceled
	default:
		return nil
	}
}

// interruptionOf is errGone or errCanceled when an action ended for that reason,
// else nil; err is what the action returned.
func interruptionOf(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	for _, cause := range []error{errGone, errCanceled} {
		if errors.Is(err, cause) || errors.Is(context.Cause(ctx), cause) {
			return cause
		}
	}
	return nil
}

// handler looks at every change of a backup. It enqueues nothing.
func (i *interrupts) handler() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) {
			if b, ok := e.ObjectNew.(*velerov1.Backup); ok {
				i.look(b)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) { i.end(e.Object.GetUID(), errGone) },
	}
}

// interruptible begins an action on a backup. What was asked for before the action
// began, and after the backup was read, is in the cache.
func (r *Reconciler) interruptible(ctx context.Context, b *velerov1.Backup) (_ context.Context, end func()) {
	ctx, end = r.interrupts.begin(ctx, b)
	now := &velerov1.Backup{}
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(b), now); err == nil && now.UID == b.UID {
		r.interrupts.look(now)
	}
	return ctx, end
}
