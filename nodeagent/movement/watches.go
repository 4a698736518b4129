package movement

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
)

// Workers is how many objects of a kind are reconciled at once. A reconcile waits
// for two or three writes to the API, about 10 ms each; eight keep a queue of ten
// small volumes from waiting for each other, and cost eight idle goroutines.
const Workers = 8

// MoverHandler maps a mover pod to the object of the kind that it works for.
func MoverHandler(kind wire.Kind) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		pod, ok := obj.(*corev1.Pod)
		if !ok {
			return nil
		}
		key, ok := KeyOf(pod)
		if !ok || key.Kind != kind {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: key.Name}}}
	})
}

// IsMover selects mover pods.
func IsMover() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(obj client.Object) bool {
		return obj.GetLabels()[velerov1.MoverNodeLabel] != ""
	})
}

// PodTurned selects the events of application pods after which their volumes may
// have to be looked at again: they came, went, began to go, or their containers
// changed.
func PodTurned() predicate.Predicate {
	return predicate.And(predicate.Not(IsMover()), predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*corev1.Pod)
			after, isPod := e.ObjectNew.(*corev1.Pod)
			return ok && isPod && (before.UID != after.UID ||
				before.Status.Phase != after.Status.Phase ||
				before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
				countRunning(before.Status.ContainerStatuses) != countRunning(after.Status.ContainerStatuses) ||
				countRunning(before.Status.InitContainerStatuses) != countRunning(after.Status.InitContainerStatuses))
		},
	})
}

func countRunning(statuses []corev1.ContainerStatus) int {
	n := 0
	for _, s := range statuses {
		if s.State.Running != nil {
			n++
		}
	}
	return n
}

// RepositoryTurned selects the events after which a repository may be used, or may
// not be any more.
func RepositoryTurned() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*velerov1.BackupRepository)
			after, isRepository := e.ObjectNew.(*velerov1.BackupRepository)
			return ok && isRepository &&
				(before.Status.Phase != after.Status.Phase || before.Status.Message != after.Status.Message)
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}
