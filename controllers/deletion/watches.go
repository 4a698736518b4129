package deletion

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// notOurPatch drops the updates that the reconciler's own patches cause: what fails
// would be tried again at once. A request that moves on asks for its next step
// itself.
func notOurPatch() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.DeleteBackupRequest)
		after, okAfter := e.ObjectNew.(*velerov1.DeleteBackupRequest)
		return !okBefore || !okAfter || before.Spec != after.Spec || isProcessed(before) != isProcessed(after)
	}}
}

// backupTurned lets through what changes the next step of a request: a backup that
// stops, or goes, or is marked.
func backupTurned() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, okBefore := e.ObjectOld.(*velerov1.Backup)
			after, okAfter := e.ObjectNew.(*velerov1.Backup)
			return okBefore && okAfter && before.Status.Phase != after.Status.Phase
		},
	}
}

// restoreTurned lets through restores that end or go.
func restoreTurned() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, okBefore := e.ObjectOld.(*velerov1.Restore)
			after, okAfter := e.ObjectNew.(*velerov1.Restore)
			return okBefore && okAfter && (before.IsRunning() != after.IsRunning() ||
				before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero())
		},
	}
}

func locationTurned() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, okBefore := e.ObjectOld.(*velerov1.BackupStorageLocation)
			after, okAfter := e.ObjectNew.(*velerov1.BackupStorageLocation)
			return okBefore && okAfter && before.Status.Phase != after.Status.Phase
		},
	}
}

func (r *Reconciler) ofBackup(ctx context.Context, b client.Object) []reconcile.Request {
	return r.requests(ctx, func(request *velerov1.DeleteBackupRequest) bool { return request.Spec.BackupName == b.GetName() })
}

func (r *Reconciler) ofRestore(ctx context.Context, o client.Object) []reconcile.Request {
	restore, ok := o.(*velerov1.Restore)
	if !ok {
		return nil
	}
	return r.requests(ctx, func(request *velerov1.DeleteBackupRequest) bool {
		return request.Spec.BackupName == restore.Spec.BackupName
	})
}

// waiting are the requests that may wait for a location; which one is theirs is in
// their backup.
func (r *Reconciler) waiting(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx, isTaken)
}

// requests are those that are not processed and match.
func (r *Reconciler) requests(ctx context.Context, matches func(*velerov1.DeleteBackupRequest) bool) []reconcile.Request {
	list := &velerov1.DeleteBackupRequestList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		// A cached list fails only while the manager stops.
		ctrl.LoggerFrom(ctx).Error(err, "Listing DeleteBackupRequests")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if request := &list.Items[i]; !isProcessed(request) && matches(request) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(request)})
		}
	}
	return requests
}
