package restore

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/movement"
)

// SetupWithManager registers the reconciler. Everything it waits for wakes it: the
// object, its mover and what that says, its pod, its repository, and its place in
// the node's ledger.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("podvolumerestore").
		For(&velerov1.PodVolumeRestore{}, builder.WithPredicates(r.concernsUs())).
		Watches(&corev1.Pod{}, movement.MoverHandler(wire.KindRestore), builder.WithPredicates(movement.IsMover())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.ofPod), builder.WithPredicates(movement.PodTurned())).
		Watches(&velerov1.BackupRepository{}, handler.EnqueueRequestsFromMapFunc(r.ofRepository),
			builder.WithPredicates(movement.RepositoryTurned())).
		WatchesRawSource(r.Actor.Triggers.Source(wire.KindRestore)).
		WithOptions(controller.Options{MaxConcurrentReconciles: movement.Workers, NeedLeaderElection: ptr.To(false)}).
		Complete(r)
}

// concernsUs selects the restores that are not finished, whose pod may come to
// this node yet, and finished ones of this node or with a finalizer.
func (r *Reconciler) concernsUs() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(obj client.Object) bool {
		v, ok := obj.(*velerov1.PodVolumeRestore)
		if !ok {
			return false
		}
		return !v.IsFinished() || v.Status.Node == r.Node || len(v.Finalizers) > 0
	})
}

// ofPod returns the unfinished restores into a pod's volumes.
func (r *Reconciler) ofPod(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.unfinished(ctx, func(v *velerov1.PodVolumeRestore) bool {
		return v.Spec.Pod.Namespace == obj.GetNamespace() && v.Spec.Pod.Name == obj.GetName()
	})
}

// ofRepository returns the unfinished restores from a repository.
func (r *Reconciler) ofRepository(ctx context.Context, obj client.Object) []reconcile.Request {
	repository, ok := obj.(*velerov1.BackupRepository)
	if !ok {
		return nil
	}
	return r.unfinished(ctx, func(v *velerov1.PodVolumeRestore) bool {
		return v.Spec.SourceNamespace == repository.Spec.VolumeNamespace &&
			v.Spec.BackupStorageLocation == repository.Spec.BackupStorageLocation
	})
}

// unfinished returns the unfinished restores that match. A cache that cannot be
// read has nothing to wake.
func (r *Reconciler) unfinished(ctx context.Context, matches func(*velerov1.PodVolumeRestore) bool) []reconcile.Request {
	list := &velerov1.PodVolumeRestoreList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing pod volume restores")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		v := &list.Items[i]
		if !v.IsFinished() && matches(v) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(v)})
		}
	}
	return requests
}
