package repository

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// repositoryChanged drops the updates that the reconciler's own patches of the
// status cause; otherwise each failure would be tried again at once. Setting the
// phase back to New, or removing it, asks for a new try.
func repositoryChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.BackupRepository)
		after, okAfter := e.ObjectNew.(*velerov1.BackupRepository)
		return !okBefore || !okAfter ||
			!equality.Semantic.DeepEqual(before.Spec, after.Spec) ||
			!before.DeletionTimestamp.Equal(after.DeletionTimestamp) ||
			(before.Status.Phase != after.Status.Phase && isNew(after))
	}}
}

func isNew(r *velerov1.BackupRepository) bool {
	return r.Status.Phase == "" || r.Status.Phase == velerov1.BackupRepositoryPhaseNew
}

// locationChanged drops the updates that every check of a location causes.
func locationChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.BackupStorageLocation)
		after, okAfter := e.ObjectNew.(*velerov1.BackupStorageLocation)
		return !okBefore || !okAfter ||
			!equality.Semantic.DeepEqual(before.Spec, after.Spec) ||
			before.Status.Phase != after.Status.Phase
	}}
}

func (r *Reconciler) repositoriesOfLocation(ctx context.Context, bsl client.Object) []reconcile.Request {
	return r.requests(ctx, func(repo *velerov1.BackupRepository) bool {
		return repo.Spec.BackupStorageLocation == bsl.GetName()
	})
}

func (r *Reconciler) allRepositories(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx, func(*velerov1.BackupRepository) bool { return true })
}

func (r *Reconciler) requests(ctx context.Context, match func(*velerov1.BackupRepository) bool) []reconcile.Request {
	list := &velerov1.BackupRepositoryList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		// A cached list fails only while the manager stops.
		ctrl.LoggerFrom(ctx).Error(err, "Listing repositories")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if match(&list.Items[i]) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}
