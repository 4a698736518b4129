package restore

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
)

// hookWorkers is how many commands may run at the same time. Each costs a
// connection and some goroutines; a command may take many minutes.
const hookWorkers = 32

// hookReconciler runs the hooks of one restored pod after another. What has been
// run is in the pod's record, a ConfigMap, which the pass makes; the Reconciler of
// restores waits for it and reads the results.
type hookReconciler struct {
	Client    client.Client
	Reader    client.Reader
	Clock     clock.PassiveClock
	Namespace string

	// FSBackupTimeout is that of Options.
	FSBackupTimeout time.Duration

	runner hookrun.Runner
}

// newHookReconciler makes the reconciler of the hooks of r's restores.
func newHookReconciler(r *Reconciler) *hookReconciler {
	return &hookReconciler{
		Client: r.Client, Reader: r.Reader, Clock: r.Clock, Namespace: r.Namespace, FSBackupTimeout: r.Options.FSBackupTimeout,
		runner: hookrun.Runner{Client: r.Client, Reader: r.Reader, Commands: r.Commands, Clock: r.Clock},
	}
}

// SetupWithManager registers the reconciler. Records are watched without their
// content, which is read when it is needed.
func (r *hookReconciler) SetupWithManager(mgr ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("restore-hooks").
		For(&corev1.ConfigMap{}, builder.OnlyMetadata, builder.WithPredicates(ours, isHookRecord())).
		Watches(&velerov1.PodVolumeRestore{}, handler.EnqueueRequestsFromMapFunc(recordOfVolume), builder.WithPredicates(ours, volumeFails())).
		Watches(&velerov1.Restore{}, handler.EnqueueRequestsFromMapFunc(r.recordsOf), builder.WithPredicates(ours, restoreStops())).
		WithOptions(controller.Options{MaxConcurrentReconciles: hookWorkers}).
		Complete(r)
}

// isHookRecord selects the records of restores.
func isHookRecord() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetLabels()[velerov1.HooksLabel] != "" && o.GetLabels()[velerov1.RestoreUIDLabel] != ""
	})
}

// hooksEnded lets a record through that has ended or is gone.
func hooksEnded() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetLabels()[velerov1.HooksLabel] != e.ObjectNew.GetLabels()[velerov1.HooksLabel]
		},
	}
}

// recordOfVolume returns the record of the pod of a volume, which may not exist.
func recordOfVolume(_ context.Context, o client.Object) []reconcile.Request {
	v, ok := o.(*velerov1.PodVolumeRestore)
	if !ok || len(v.OwnerReferences) == 0 {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{
		Namespace: v.Namespace, Name: nameOfHooks(v.OwnerReferences[0].Name, v.Spec.Pod.UID),
	}}}
}

// volumeFails selects the end of volumes that keeps their pod from starting.
func volumeFails() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.PodVolumeRestore)
			after, ok2 := e.ObjectNew.(*velerov1.PodVolumeRestore)
			return ok1 && ok2 && !before.IsFinished() && after.IsFinished() && after.Status.Phase != velerov1.PodVolumeRestorePhaseCompleted
		},
	}
}

// recordsOf returns the records of a restore.
func (r *hookReconciler) recordsOf(ctx context.Context, o client.Object) []reconcile.Request {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace), client.HasLabels{velerov1.HooksLabel},
		client.MatchingLabels{velerov1.RestoreUIDLabel: string(o.GetUID())})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Waking the hooks of a restore")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// restoreStops selects the events after which a restore does not go on.
func restoreStops() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.Restore)
			after, ok2 := e.ObjectNew.(*velerov1.Restore)
			return ok1 && ok2 && (before.IsFinished() != after.IsFinished() || cancelRequestedBy(before) != cancelRequestedBy(after) ||
				before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero())
		},
	}
}

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=pods/exec,verbs=get;create,roleName=podkeep-server

// Reconcile moves the hooks of one pod one step towards their end.
func (r *hookReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	cm := &corev1.ConfigMap{}
	if err := r.Reader.Get(ctx, req.NamespacedName, cm); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !isHookRecord().Generic(event.GenericEvent{Object: cm}) {
		return ctrl.Result{}, nil
	}
	book := hookrun.Open(cm)
	f, err := r.observe(ctx, book)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := planHooks(f)
	if err := r.act(ctx, book, f, s); err != nil {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: recordConflictPause}, nil
		}
		return ctrl.Result{}, fmt.Errorf("acting: %w", err)
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// recordConflictPause is how long after a write by somebody else a record is read
// again.
const recordConflictPause = 50 * time.Millisecond

// observe reads the cluster. It decides nothing.
func (r *hookReconciler) observe(ctx context.Context, book *hookrun.Book) (hookFacts, error) {
	f := hookFacts{
		now: r.Clock.Now(), created: book.Object.CreationTimestamp.Time, phase: book.Phase(), record: book.Record, broken: book.Broken,
	}
	restore, err := r.restoreOf(ctx, book.Object)
	if err != nil {
		return f, err
	}
	f.over = restore == nil || restore.IsFinished()
	f.stop = r.stopReason(restore, f.now)
	if f.phase == velerov1.HooksEnded || f.stop != "" || len(f.record.Pods) == 0 {
		return f, nil
	}
	ref := f.record.Pods[0]
	pod := &corev1.Pod{}
	err = r.Reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, pod)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return f, fmt.Errorf("getting pod %s: %w", ref, err)
	case err == nil && pod.UID == ref.UID:
		f.pod = pod
	}
	f.lost, err = r.lostReason(ctx, f.pod)
	return f, err
}

// lostReason says why the containers of a pod will never run; "" when they may.
func (r *hookReconciler) lostReason(ctx context.Context, pod *corev1.Pod) (string, error) {
	switch {
	case pod == nil:
		return "the pod does not exist any more", nil
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return fmt.Sprintf("the pod has ended (%s)", pod.Status.Phase), nil
	}
	volumes := &velerov1.PodVolumeRestoreList{}
	err := r.Client.List(ctx, volumes, client.InNamespace(r.Namespace), client.MatchingLabels{velerov1.PodUIDLabel: string(pod.UID)})
	if err != nil {
		return "", fmt.Errorf("listing PodVolumeRestores: %w", err)
	}
	for _, v := range volumes.Items {
		if v.IsFinished() && v.Status.Phase != velerov1.PodVolumeRestorePhaseCompleted {
			return fmt.Sprintf("volume %s of the pod was not restored, so the pod does not start", v.Spec.Volume), nil
		}
	}
	return "", nil
}

// restoreOf returns the restore of a record, or nil when it is gone.
func (r *hookReconciler) restoreOf(ctx context.Context, cm *corev1.ConfigMap) (*velerov1.Restore, error) {
	restore := &velerov1.Restore{}
	if found, err := r.runner.Owner(ctx, cm, "Restore", restore); err != nil || !found {
		return nil, err
	}
	return restore, nil
}

// stopReason says why a restore does not go on; "" when it does.
func (r *hookReconciler) stopReason(restore *velerov1.Restore, now time.Time) string {
	switch {
	case restore == nil || restore.DeletionTimestamp != nil:
		return "the restore was deleted"
	case cancelRequestedBy(restore) != "":
		return canceledMessage(restore)
	case restore.IsFinished() || isOthers(restore):
		return "the restore has ended"
	case isStarted(restore) && !now.Before(restore.Status.StartTimestamp.Add(volumeTimeoutOf(restore, r.FSBackupTimeout))):
		return fmt.Sprintf("timed out after %s", volumeTimeoutOf(restore, r.FSBackupTimeout))
	default:
		return ""
	}
}

// act carries out one step. Every action is idempotent, but for running a command,
// of which the record says that it was begun.
func (r *hookReconciler) act(ctx context.Context, book *hookrun.Book, f hookFacts, s hookStep) error {
	switch s.action {
	case hooksForget:
		return client.IgnoreNotFound(r.Client.Delete(ctx, book.Object, client.Preconditions{UID: &book.Object.UID}))
	case hooksEnd:
		return hookrun.Save(ctx, r.Client, book, func(b *hookrun.Book) { hookrun.SetPhase(b.Object, velerov1.HooksEnded) })
	case hooksMark:
		return hookrun.Save(ctx, r.Client, book, func(b *hookrun.Book) { b.Mark(s.marks, f.now) })
	case hooksRun:
		return r.runner.Run(ctx, book, s.run, func(ctx context.Context) string {
			restore, err := r.restoreOf(ctx, book.Object)
			if err != nil {
				return "" // the next time it may be known
			}
			return r.stopReason(restore, r.Clock.Now())
		})
	default:
		return nil
	}
}
