package gate

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/gatedpods"
)

// SetupWithManager registers the reconciler. It returns an error when a field is
// missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Pods": r.Pods == nil, "Clock": r.Clock == nil,
		"Recorder": r.Recorder == nil, "Namespace": r.Namespace == "",
	}
	for _, field := range slices.Sorted(maps.Keys(missing)) {
		if missing[field] {
			return fmt.Errorf("setting up gate controller: field %s is not set", field)
		}
	}
	here := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("gate").
		WatchesRawSource(r.Pods.Source(ofPod)).
		Watches(&velerov1.Restore{}, handler.EnqueueRequestsFromMapFunc(ofRestore), builder.WithPredicates(here, restoreTurned())).
		Watches(&velerov1.PodVolumeRestore{}, handler.EnqueueRequestsFromMapFunc(ofVolume), builder.WithPredicates(here, volumeEnded())).
		Complete(r)
}

func requestFor(restore types.UID) []reconcile.Request {
	if restore == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: string(restore)}}}
}

func ofPod(_ context.Context, pod *corev1.Pod) []reconcile.Request {
	return requestFor(gatedpods.RestoreOf(pod))
}

func ofRestore(_ context.Context, o client.Object) []reconcile.Request { return requestFor(o.GetUID()) }

func ofVolume(_ context.Context, o client.Object) []reconcile.Request {
	return requestFor(types.UID(o.GetLabels()[velerov1.RestoreUIDLabel]))
}

// restoreTurned lets through the end of restores, well or not, and that all their
// items are there.
func restoreTurned() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.Restore)
			after, ok2 := e.ObjectNew.(*velerov1.Restore)
			return ok1 && ok2 && (before.IsFinished() != after.IsFinished() || areItemsRestored(before) != areItemsRestored(after))
		},
	}
}

// volumeEnded lets through the end of volumes.
func volumeEnded() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.PodVolumeRestore)
			after, ok2 := e.ObjectNew.(*velerov1.PodVolumeRestore)
			return ok1 && ok2 && before.IsFinished() != after.IsFinished()
		},
	}
}

func isItemsRestored(c metav1.Condition) bool {
	return c.Type == velerov1.ConditionItemsRestored && c.Status == metav1.ConditionTrue
}

// ignoreGone drops the error of a pod that does not exist any more, or whose name
// another one has.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
