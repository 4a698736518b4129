package maintenance

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// SetupWithManager registers the reconciler. It returns an error when a field is
// missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := r.prepare(); err != nil {
		return err
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	isMaintenance := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetLabels()[velerov1.RepositoryNameLabel] != "" })
	return ctrl.NewControllerManagedBy(mgr).
		Named("maintenance").
		For(&velerov1.BackupRepository{}, builder.WithPredicates(ours)).
		Watches(&batchv1.Job{}, handler.EnqueueRequestsFromMapFunc(r.ofJob), builder.WithPredicates(ours, isMaintenance)).
		Watches(&velerov1.BackupStorageLocation{}, handler.EnqueueRequestsFromMapFunc(r.ofLocation), builder.WithPredicates(ours, locationTurned())).
		Complete(r)
}

func locationTurned() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.BackupStorageLocation)
		after, okAfter := e.ObjectNew.(*velerov1.BackupStorageLocation)
		return !okBefore || !okAfter || isWritable(before) != isWritable(after)
	}}
}

// ofJob returns the repository of a Job and, when the Job has ended, the one that
// has waited longest for its slot.
func (r *Reconciler) ofJob(ctx context.Context, o client.Object) []reconcile.Request {
	label := o.GetLabels()[velerov1.RepositoryNameLabel]
	repositories := r.list(ctx)
	var requests []reconcile.Request
	var next *velerov1.BackupRepository
	for i := range repositories {
		repo := &repositories[i]
		switch {
		case velerov1.RepositoryNameLabelValue(repo.Name) == label:
			requests = append(requests, requestFor(repo))
		case repo.Status.Phase == velerov1.BackupRepositoryPhaseReady && !r.Clock.Now().Before(nextTry(repo)) &&
			(next == nil || nextTry(repo).Before(nextTry(next))):
			next = repo
		}
	}
	if j, ok := o.(*batchv1.Job); ok && isFinished(j) && next != nil {
		requests = append(requests, requestFor(next))
	}
	return requests
}

func (r *Reconciler) ofLocation(ctx context.Context, bsl client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, repo := range r.list(ctx) {
		if repo.Spec.BackupStorageLocation == bsl.GetName() {
			requests = append(requests, requestFor(&repo))
		}
	}
	return requests
}

func (r *Reconciler) list(ctx context.Context) []velerov1.BackupRepository {
	list := &velerov1.BackupRepositoryList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		// A cached list fails only while the manager stops.
		ctrl.LoggerFrom(ctx).Error(err, "Listing repositories")
	}
	return list.Items
}

func requestFor(repo *velerov1.BackupRepository) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(repo)}
}
