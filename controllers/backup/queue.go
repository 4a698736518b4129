package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// queue decides which of the Backups that wait may start. It looks at all of them
// at once, and one after the other: two that decide at the same time would start
// too many.
//
// It reads from the cache. A cache that is behind does not know that a backup has
// been let go: the same backup is then let go again, before any other, and the
// write is refused because the object has changed.
type queue struct {
	client    client.Client
	reader    client.Reader
	namespace string
	limit     int
}

const (
	// queueInterval is how often the queue looks again although no backup has
	// changed: namespaces come and go.
	queueInterval = time.Minute

	// conflictPause lets the cache catch up.
	conflictPause = 100 * time.Millisecond
)

func (q *queue) setUp(mgr ctrl.Manager) error {
	one := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: q.namespace, Name: "queue"}}
	return ctrl.NewControllerManagedBy(mgr).
		Named("backup-queue").
		Watches(&velerov1.Backup{},
			handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{one} }),
			builder.WithPredicates(inNamespace(q.namespace), queueMoves())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(q)
}

// queueMoves lets through what can change a place in the queue.
func queueMoves() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.Backup)
			after, ok2 := e.ObjectNew.(*velerov1.Backup)
			return !ok1 || !ok2 || before.Status.Phase != after.Status.Phase || isCanceled(before) != isCanceled(after) ||
				(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil)
		},
	}
}

// Reconcile gives every waiting backup its place.
func (q *queue) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	f := queueFacts{limit: q.limit}
	list := &velerov1.BackupList{}
	if err := q.client.List(ctx, list, client.InNamespace(q.namespace)); err != nil {
		return ctrl.Result{}, fmt.Errorf("listing backups: %w", err)
	}
	f.backups = list.Items
	if needsNamespaces(f) {
		var err error
		if f.namespaces, err = listNamespaces(ctx, q.reader); err != nil {
			return ctrl.Result{}, err
		}
	}
	var errs []error
	after := time.Duration(0)
	for _, p := range planQueue(f) {
		err := q.patch(ctx, p)
		switch {
		case apierrors.IsConflict(err):
			after = conflictPause
		case client.IgnoreNotFound(err) != nil:
			errs = append(errs, fmt.Errorf("patching backup %s: %w", p.backup.Name, err))
		case !p.ready && after == 0:
			after = queueInterval
		}
	}
	if len(errs) > 0 {
		return ctrl.Result{}, errors.Join(errs...)
	}
	return ctrl.Result{RequeueAfter: after}, nil
}

// patch writes a place, when it has changed, unless somebody else has changed the
// backup.
func (q *queue) patch(ctx context.Context, p place) error {
	before, b := p.backup, p.backup.DeepCopy()
	b.Status.Phase, b.Status.QueuePosition = velerov1.BackupPhaseQueued, p.number
	reason := velerov1.ReasonQueued
	if p.ready {
		b.Status.Phase, reason = velerov1.BackupPhaseReadyToStart, velerov1.ReasonCollecting
		ctrl.LoggerFrom(ctx).Info("Letting backup start", "Backup", b.Name)
	}
	set(b, velerov1.ConditionCompleted, metav1.ConditionUnknown, reason, p.message)
	if equality.Semantic.DeepEqual(before, b) {
		return nil
	}
	return q.client.Patch(ctx, b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// listNamespaces returns the names of all namespaces.
func listNamespaces(ctx context.Context, reader client.Reader, options ...client.ListOption) ([]string, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := reader.List(ctx, list, options...); err != nil {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	names := make([]string, 0, len(list.Items))
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return names, nil
}
