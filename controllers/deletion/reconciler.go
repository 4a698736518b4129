package deletion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/wire"
)

// Locations makes locations usable (locationaccess.Resolver).
type Locations interface {
	Store(ctx context.Context, name string) (objectstore.Store, *velerov1.BackupStorageLocation, error)
	Resolve(ctx context.Context, bsl *velerov1.BackupStorageLocation) (location.Location, error)
	RepositoryPasswordFile(ctx context.Context) (string, error)
}

// Repositories removes snapshots (mover/repository).
type Repositories struct {
	// DeleteSnapshots removes snapshots from one repository; missing ones are
	// success.
	DeleteSnapshots func(ctx context.Context, r wire.Repository, ids []string) error

	// Reason is the condition reason for its errors, or "".
	Reason func(err error) string

	// IsTerminal reports whether a new try cannot help until somebody repairs
	// something.
	IsTerminal func(err error) bool
}

// Reconciler reconciles the DeleteBackupRequests of one installation.
// SetupWithManager checks that every field is set.
type Reconciler struct {
	// Client writes, and reads from the cache.
	Client client.Client

	// Reader reads from the API server what the removal of data depends on.
	Reader client.Reader

	Locations    Locations
	Repositories Repositories
	Clock        clock.PassiveClock
	Recorder     events.EventRecorder

	// Namespace is the install namespace; requests elsewhere are not looked at.
	Namespace string

	// ScratchDir is where repositories keep files while they are open.
	ScratchDir string

	// RetryTimeout is how long storage may fail before a request ends with an error.
	// Defaults to 5m.
	RetryTimeout time.Duration
}

const (
	defaultRetryTimeout = 5 * time.Minute

	// retryMin and retryMax bound the pause before what failed is tried again; it
	// doubles from try to try.
	retryMin = time.Second
	retryMax = time.Minute

	// workers bounds memory: deriving the key of one repository takes 64 MiB for a
	// moment (scrypt-65536-8-1).
	workers = 2
)

// +kubebuilder:rbac:groups=velero.io,resources=deletebackuprequests,verbs=get;list;watch;patch;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backups,verbs=get;list;watch;patch;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=restores,verbs=get;list;watch;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=podvolumebackups;backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server,namespace=velero

// Reconcile moves one request one step towards its end.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	request, err := r.get(ctx, req)
	if err != nil || request == nil {
		return ctrl.Result{}, err
	}
	before := request.DeepCopy()

	o, err := r.observe(ctx, request)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	err = r.act(ctx, o, s)
	if err != nil && ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // the server stops; that says nothing about the request
	}

	report(o, s, err)
	if perr := r.patch(ctx, before, request); perr != nil {
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching: %w", perr))
	}
	r.tell(before, o)
	if outcome.IsTerminal(err) {
		return ctrl.Result{RequeueAfter: keepProcessed}, nil // it is written down
	}
	if err != nil {
		return ctrl.Result{}, err // tried again, later and later
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// get returns the request as the API server has it, or nil when it is gone. With a
// cache that is behind, steps that open repositories would be taken twice.
func (r *Reconciler) get(ctx context.Context, req ctrl.Request) (*velerov1.DeleteBackupRequest, error) {
	request := &velerov1.DeleteBackupRequest{}
	if err := r.Client.Get(ctx, req.NamespacedName, request); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if isProcessed(request) {
		return request, nil
	}
	if err := r.Reader.Get(ctx, req.NamespacedName, request); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return request, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, request *velerov1.DeleteBackupRequest) (observed, error) {
	o := observed{request: request, now: r.Clock.Now(), retryTimeout: cmp.Or(r.RetryTimeout, defaultRetryTimeout)}
	if isProcessed(request) || request.Spec.BackupName == "" {
		return o, nil
	}
	var err error
	if o.others, err = r.othersOf(ctx, request); err != nil {
		return o, err
	}
	b := &velerov1.Backup{}
	err = r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: request.Spec.BackupName}, b)
	if apierrors.IsNotFound(err) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("getting Backup %s: %w", request.Spec.BackupName, err)
	}
	o.backup = b
	if o.restores, err = r.restoresOf(ctx, b); err != nil {
		return o, err
	}
	bsl := &velerov1.BackupStorageLocation{}
	err = r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: b.Spec.StorageLocation}, bsl)
	if b.Spec.StorageLocation == "" || apierrors.IsNotFound(err) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("getting BackupStorageLocation %s: %w", b.Spec.StorageLocation, err)
	}
	o.location = bsl
	return o, nil
}

func (r *Reconciler) othersOf(ctx context.Context, request *velerov1.DeleteBackupRequest) ([]velerov1.DeleteBackupRequest, error) {
	list := &velerov1.DeleteBackupRequestList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("listing DeleteBackupRequests: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(other velerov1.DeleteBackupRequest) bool {
		return other.Name == request.Name || other.Spec.BackupName != request.Spec.BackupName
	}), nil
}

// restoresOf asks the API server: data is removed only when nobody reads it.
func (r *Reconciler) restoresOf(ctx context.Context, b *velerov1.Backup) ([]velerov1.Restore, error) {
	list := &velerov1.RestoreList{}
	if err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("listing Restores: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(restore velerov1.Restore) bool { return restore.Spec.BackupName != b.Name }), nil
}

// act carries out one step. Every action is idempotent: a crash between act and
// report repeats it.
func (r *Reconciler) act(ctx context.Context, o observed, s step) error {
	switch s.action {
	case actRemoveRequest:
		return r.remove(ctx, o.request)
	case actTake:
		return r.removeAll(ctx, o.others)
	case actCancelBackup:
		return r.patchBackup(ctx, o.backup, func(b *velerov1.Backup) {
			if b.Annotations == nil {
				b.Annotations = map[string]string{}
			}
			b.Annotations[velerov1.CancelRequestedByAnnotation] = "DeleteBackupRequest " + o.request.Name
		})
	case actMarkDeleting:
		return r.patchBackup(ctx, o.backup, func(b *velerov1.Backup) { b.Status.Phase = velerov1.BackupPhaseDeleting })
	case actDeleteSnapshots:
		return r.deleteSnapshots(ctx, o)
	case actDeleteObjects:
		return r.deleteObjects(ctx, o)
	case actDeleteRestores:
		return r.deleteRestores(ctx, o)
	case actDeleteBackup:
		return r.remove(ctx, o.backup)
	case actRemoveRequests:
		return errors.Join(r.removeAll(ctx, o.others), r.remove(ctx, o.request))
	default:
		return nil
	}
}

// patchBackup changes the Backup that was observed, and not another one of its
// name.
func (r *Reconciler) patchBackup(ctx context.Context, b *velerov1.Backup, change func(*velerov1.Backup)) error {
	after := b.DeepCopy()
	change(after)
	err := r.Client.Patch(ctx, after, client.MergeFromWithOptions(b, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("patching Backup %s: %w", b.Name, err)
	}
	return nil
}

// remove deletes this very object, and not one that has taken its name since.
func (r *Reconciler) remove(ctx context.Context, obj client.Object) error {
	uid := obj.GetUID()
	err := r.Client.Delete(ctx, obj, client.Preconditions{UID: &uid})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting %T %s: %w", obj, obj.GetName(), err)
	}
	return nil
}

func (r *Reconciler) removeAll(ctx context.Context, requests []velerov1.DeleteBackupRequest) error {
	var errs []error
	for i := range requests {
		errs = append(errs, r.remove(ctx, &requests[i]))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) deleteRestores(ctx context.Context, o observed) error {
	var errs []error
	for i := range o.restores {
		if o.restores[i].DeletionTimestamp.IsZero() {
			errs = append(errs, r.remove(ctx, &o.restores[i]))
		}
	}
	return errors.Join(errs...)
}

// patch writes labels and status once per reconcile, and only when they changed. A
// request that has removed itself needs none.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.DeleteBackupRequest) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Patch(ctx, after, client.MergeFrom(before)))
}

// tell emits the events of what has been written.
func (r *Reconciler) tell(before *velerov1.DeleteBackupRequest, o observed) {
	if isProcessed(before) || !isProcessed(o.request) || o.backup == nil {
		return
	}
	r.Recorder.Eventf(o.backup, o.request, corev1.EventTypeWarning, "DeletionFailed", "Delete", "Backup was not deleted: %s", o.request.Status.Errors[0])
}

// SetupWithManager registers the reconciler. It returns an error when a field is
// missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Locations": r.Locations == nil, "Clock": r.Clock == nil,
		"Recorder": r.Recorder == nil, "Namespace": r.Namespace == "", "Repositories": r.Repositories.DeleteSnapshots == nil,
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if missing[name] {
			return fmt.Errorf("setting up deletion controller: field %s is not set", name)
		}
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("deletebackuprequest").
		For(&velerov1.DeleteBackupRequest{}, builder.WithPredicates(ours, notOurPatch())).
		Watches(&velerov1.Backup{}, handler.EnqueueRequestsFromMapFunc(r.ofBackup), builder.WithPredicates(ours, backupTurned())).
		Watches(&velerov1.Restore{}, handler.EnqueueRequestsFromMapFunc(r.ofRestore), builder.WithPredicates(ours, restoreTurned())).
		Watches(&velerov1.BackupStorageLocation{}, handler.EnqueueRequestsFromMapFunc(r.waiting), builder.WithPredicates(ours, locationTurned())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: workers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
		}).
		Complete(r)
}
