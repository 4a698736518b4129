package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

// hookWorkers is how many commands may run at the same time. Each costs a
// connection and some goroutines; a command may take many minutes.
const hookWorkers = 32

// hookReconciler runs the hooks of one block of pods after another. What has been
// run is in the block's record, a ConfigMap, which the collection makes; the
// Reconciler of backups gives the turn and reads the results. So a long command
// holds up neither the backup nor other blocks.
type hookReconciler struct {
	Client    client.Client
	Reader    client.Reader
	Clock     clock.PassiveClock
	Namespace string

	Recorder events.EventRecorder

	// FSBackupTimeout is that of Options.
	FSBackupTimeout time.Duration

	runner hookrun.Runner
}

// newHookReconciler makes the reconciler of the hooks of r's backups.
func newHookReconciler(r *Reconciler) *hookReconciler {
	return &hookReconciler{
		Client: r.Client, Reader: r.Reader, Clock: r.Clock, Namespace: r.Namespace, Recorder: r.Recorder,
		FSBackupTimeout: r.Options.FSBackupTimeout,
		runner:          hookrun.Runner{Client: r.Client, Reader: r.Reader, Commands: r.Commands, Clock: r.Clock},
	}
}

// SetupWithManager registers the reconciler. Records are watched without their
// content, which is read when it is needed.
func (r *hookReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("backup-hooks").
		For(&corev1.ConfigMap{}, builder.OnlyMetadata, builder.WithPredicates(inNamespace(r.Namespace), isHookRecord())).
		Watches(&velerov1.PodVolumeBackup{}, handler.EnqueueRequestsFromMapFunc(recordOfVolume), builder.WithPredicates(hookVolumeTurned())).
		Watches(&velerov1.Backup{}, handler.EnqueueRequestsFromMapFunc(r.recordsOf), builder.WithPredicates(inNamespace(r.Namespace), backupStops())).
		WithOptions(controller.Options{MaxConcurrentReconciles: hookWorkers}).
		Complete(r)
}

// isHookRecord selects the records of backups.
func isHookRecord() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return o.GetLabels()[velerov1.HooksLabel] != "" && o.GetLabels()[velerov1.BackupUIDLabel] != ""
	})
}

// hooksTurned lets a record through that has ended or is gone, which may give the
// turn to the next.
func hooksTurned() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetLabels()[velerov1.HooksLabel] != e.ObjectNew.GetLabels()[velerov1.HooksLabel]
	}}
}

func recordOfVolume(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetAnnotations()[velerov1.HookRecordAnnotation]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
}

// hookVolumeTurned lets the end of a volume through, that it is ready, and what was
// done to its hold: the cache has it only then.
func hookVolumeTurned() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.PodVolumeBackup)
			after, ok2 := e.ObjectNew.(*velerov1.PodVolumeBackup)
			return ok1 && ok2 && after.Annotations[velerov1.HookRecordAnnotation] != "" &&
				(before.IsFinished() != after.IsFinished() || waitsForHooks(*before) != waitsForHooks(*after) ||
					before.Annotations[velerov1.HoldAnnotation] != after.Annotations[velerov1.HoldAnnotation])
		},
	}
}

// recordsOf returns the records of a backup. One that has been collected and has
// none, which its status says, costs nothing.
func (r *hookReconciler) recordsOf(ctx context.Context, o client.Object) []reconcile.Request {
	if b, ok := o.(*velerov1.Backup); ok && isCollected(b) && b.Status.HookStatus == nil {
		return nil
	}
	records, err := listHookRecords(ctx, r.Reader, r.Namespace, client.MatchingLabels{velerov1.BackupUIDLabel: string(o.GetUID())})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Waking the hooks of a backup")
		return nil
	}
	var requests []reconcile.Request
	for i := range records {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&records[i])})
	}
	return requests
}

// backupStops selects the events after which a backup does not go on.
func backupStops() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*velerov1.Backup)
			after, ok2 := e.ObjectNew.(*velerov1.Backup)
			return ok1 && ok2 && (before.IsFinished() != after.IsFinished() || isCanceled(before) != isCanceled(after) ||
				before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero())
		},
	}
}

// listHookRecords lists records without their content.
func listHookRecords(ctx context.Context, reader client.Reader, namespace string, options ...client.ListOption) ([]metav1.PartialObjectMetadata, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	options = append(options, client.InNamespace(namespace), client.HasLabels{velerov1.HooksLabel, velerov1.BackupUIDLabel})
	if err := reader.List(ctx, list, options...); err != nil {
		return nil, fmt.Errorf("listing records of hooks: %w", err)
	}
	return list.Items, nil
}

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=pods/exec,verbs=get;create,roleName=podkeep-server

// Reconcile moves one block one step towards its end.
func (r *hookReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	cm := &corev1.ConfigMap{}
	if err := r.Reader.Get(ctx, req.NamespacedName, cm); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	book := hookrun.Open(cm)
	f, err := r.observe(ctx, book)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := planBlock(f)
	if err := r.act(ctx, book, f, s); err != nil {
		if apierrors.IsConflict(err) {
			return ctrl.Result{RequeueAfter: recordConflictPause}, nil
		}
		return ctrl.Result{}, fmt.Errorf("acting: %w", err)
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// recordConflictPause is how long after a write by somebody else a record is read again.
const recordConflictPause = 50 * time.Millisecond

// observe reads the cluster. It decides nothing.
func (r *hookReconciler) observe(ctx context.Context, book *hookrun.Book) (blockFacts, error) {
	f := blockFacts{now: r.Clock.Now(), phase: book.Phase(), record: book.Record, broken: book.Broken}
	b, err := r.backupOf(ctx, book.Object)
	if err != nil {
		return f, err
	}
	f.over = b == nil || b.IsFinished()
	f.stop = r.stopReason(b, f.now)
	if b != nil && isStarted(b) {
		f.deadline = b.Status.StartTimestamp.Add(volumeTimeoutOf(b, r.FSBackupTimeout))
	}
	for _, name := range book.Record.Volumes {
		v := velerov1.PodVolumeBackup{}
		key := client.ObjectKey{Namespace: r.Namespace, Name: name}
		err := r.Client.Get(ctx, key, &v)
		if apierrors.IsNotFound(err) {
			err = r.Reader.Get(ctx, key, &v) // a cache that is behind does not make a volume disappear
		}
		if client.IgnoreNotFound(err) != nil {
			return f, fmt.Errorf("getting pod volume backup %s: %w", name, err)
		}
		if err == nil {
			f.volumes = append(f.volumes, v)
		}
	}
	return f, nil
}

// backupOf returns the backup of a record, or nil when it is gone.
func (r *hookReconciler) backupOf(ctx context.Context, cm *corev1.ConfigMap) (*velerov1.Backup, error) {
	b := &velerov1.Backup{}
	if found, err := r.runner.Owner(ctx, cm, "Backup", b); err != nil || !found {
		return nil, err
	}
	return b, nil
}

// stopReason says why a backup does not go on; "" when it does. Its pods are thawed
// then.
func (r *hookReconciler) stopReason(b *velerov1.Backup, now time.Time) string {
	switch {
	case b == nil || b.DeletionTimestamp != nil:
		return "the backup was deleted"
	case isCanceled(b):
		return "canceled by " + canceler(b)
	case b.IsFinished() || isOthers(b):
		return "the backup has ended"
	case isStarted(b) && !now.Before(b.Status.StartTimestamp.Add(volumeTimeoutOf(b, r.FSBackupTimeout))):
		return fmt.Sprintf("timed out after %s", volumeTimeoutOf(b, r.FSBackupTimeout))
	default:
		return ""
	}
}

// act carries out one step. Every action is idempotent, but for running a command,
// of which the record says that it was begun.
func (r *hookReconciler) act(ctx context.Context, book *hookrun.Book, f blockFacts, s blockStep) error {
	switch s.action {
	case blockForget:
		return r.forget(ctx, book.Object)
	case blockEnd:
		return hookrun.Save(ctx, r.Client, book, func(b *hookrun.Book) { hookrun.SetPhase(b.Object, velerov1.HooksEnded) })
	case blockMark:
		return hookrun.Save(ctx, r.Client, book, func(b *hookrun.Book) { b.Mark(s.marks, f.now) })
	case blockPrepare:
		return r.patchVolumes(ctx, unpreparedVolumes(f), func(v *velerov1.PodVolumeBackup) {
			v.Annotations[velerov1.HoldAnnotation] = velerov1.HoldData
		})
	case blockRelease:
		return r.release(ctx, f, s.failed)
	case blockRun:
		return errors.Join(r.runner.Run(ctx, book, s.run, r.unwanted(book, s.run)), r.tell(ctx, book, s.run))
	default:
		return nil
	}
}

// unwanted asks whether a backup still goes on, for commands that are run before
// its volumes. Those after are run whatever happens.
func (r *hookReconciler) unwanted(book *hookrun.Book, run int) func(context.Context) string {
	if book.Record.Runs[run].Stage != hooks.Pre {
		return nil
	}
	return func(ctx context.Context) string {
		b, err := r.backupOf(ctx, book.Object)
		if err != nil {
			return "" // the next time it may be known
		}
		return r.stopReason(b, r.Clock.Now())
	}
}

// tell emits an event for a hook that failed: a backup that was canceled or deleted
// has no results to look it up in.
func (r *hookReconciler) tell(ctx context.Context, book *hookrun.Book, i int) error {
	run := book.Record.Runs[i]
	if run.State != hooks.Failed {
		return nil
	}
	b, err := r.backupOf(ctx, book.Object)
	if err != nil || b == nil {
		return err
	}
	r.Recorder.Eventf(b, nil, corev1.EventTypeWarning, velerov1.ReasonHookFailed, "RunHook", "The %s of pod %s failed: %s",
		run.Hook, book.Record.Pods[run.Pod], run.Message)
	return nil
}

// release lets the held volumes of a block move, and ends those that must not.
func (r *hookReconciler) release(ctx context.Context, f blockFacts, failed map[string]string) error {
	return r.patchVolumes(ctx, heldVolumes(f), func(v *velerov1.PodVolumeBackup) {
		delete(v.Annotations, velerov1.HoldAnnotation)
		if why, ok := failed[v.Name]; ok {
			failVolume(v, f.now, why)
		}
	})
}

func (r *hookReconciler) patchVolumes(ctx context.Context, volumes []velerov1.PodVolumeBackup, change func(*velerov1.PodVolumeBackup)) error {
	var errs []error
	for i := range volumes {
		v := volumes[i].DeepCopy()
		before := v.DeepCopy()
		change(v)
		if err := r.Client.Patch(ctx, v, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("patching pod volume backup %s: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

// forget deletes a record. Its finalizer goes first, so that nobody waits for it.
func (r *hookReconciler) forget(ctx context.Context, cm *corev1.ConfigMap) error {
	before := cm.DeepCopy()
	if controllerutil.RemoveFinalizer(cm, velerov1.HooksFinalizer) {
		if err := r.Client.Patch(ctx, cm, client.MergeFrom(before)); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	if cm.DeletionTimestamp != nil {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, cm, client.Preconditions{UID: &cm.UID}))
}
