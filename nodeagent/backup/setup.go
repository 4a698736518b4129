package backup

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
		Named("podvolumebackup").
		For(&velerov1.PodVolumeBackup{}, builder.WithPredicates(r.concernsUs())).
		Watches(&corev1.Pod{}, movement.MoverHandler(wire.KindBackup), builder.WithPredicates(movement.IsMover())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.ofPod), builder.WithPredicates(movement.PodTurned())).
		Watches(&velerov1.BackupRepository{}, handler.EnqueueRequestsFromMapFunc(r.ofRepository),
			builder.WithPredicates(movement.RepositoryTurned())).
		WatchesRawSource(r.Actor.Triggers.Source(wire.KindBackup)).
		WithOptions(controller.Options{MaxConcurrentReconciles: movement.Workers, NeedLeaderElection: ptr.To(false)}).
		Complete(r)
}

// concernsUs selects the backups of this node, and finished ones that nobody has
// freed of their finalizer.
func (r *Reconciler) concernsUs() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(obj client.Object) bool {
		b, ok := obj.(*velerov1.PodVolumeBackup)
		if !ok {
			return false
		}
		return b.Spec.Node == r.Node || (b.IsFinished() && len(b.Finalizers) > 0)
	})
}

// ofPod returns the unfinished backups of a pod's volumes.
func (r *Reconciler) ofPod(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.unfinished(ctx, func(b *velerov1.PodVolumeBackup) bool {
		return b.Spec.Pod.Namespace == obj.GetNamespace() && b.Spec.Pod.Name == obj.GetName()
	})
}

// ofRepository returns the unfinished backups into a repository.
func (r *Reconciler) ofRepository(ctx context.Context, obj client.Object) []reconcile.Request {
	repository, ok := obj.(*velerov1.BackupRepository)
	if !ok {
		return nil
	}
	return r.unfinished(ctx, func(b *velerov1.PodVolumeBackup) bool {
		return b.Spec.Pod.Namespace == repository.Spec.VolumeNamespace &&
			b.Spec.BackupStorageLocation == repository.Spec.BackupStorageLocation
	})
}

// unfinished returns the unfinished backups of this node that match. A cache that
// cannot be read has nothing to wake.
func (r *Reconciler) unfinished(ctx context.Context, matches func(*velerov1.PodVolumeBackup) bool) []reconcile.Request {
	list := &velerov1.PodVolumeBackupList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing pod volume backups")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		b := &list.Items[i]
		if b.Spec.Node == r.Node && !b.IsFinished() && matches(b) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(b)})
		}
	}
	return requests
}
