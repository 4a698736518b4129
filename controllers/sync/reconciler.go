package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	"k8s.io/client-go/util/workqueue"
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
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

const (
	// maxConcurrentSyncs keeps a large location, or one that answers slowly, from
	// holding up the others.
	maxConcurrentSyncs = 2

	// retryMin and retryMax bound the pause before a sync that failed is tried
	// again; it doubles from try to try.
	retryMin = 5 * time.Second
	retryMax = time.Minute
)

// opener opens the store of a location (locationaccess.Resolver).
type opener interface {
	Open(ctx context.Context, bsl *velerov1.BackupStorageLocation) (objectstore.Store, string, error)
}

// Reconciler syncs the BackupStorageLocations of one installation.
type Reconciler struct {
	// Client writes, and reads from the cache. A cache that is behind does no harm:
	// what it lacks exists already when it is created, and what changed since is not
	// deleted.
	Client client.Client

	// Reader reads from the API server: the location whose status is written, and a
	// volume that exists already.
	Reader client.Reader

	Access   opener
	Clock    clock.PassiveClock
	Recorder events.EventRecorder

	// Namespace is the install namespace; locations elsewhere are not touched.
	Namespace string

	// Period is the time between two syncs of locations that do not say it; nil means
	// DefaultPeriod, 0 that such locations are not synced.
	Period *time.Duration

	unusable unusable
}

// +kubebuilder:rbac:groups=velero.io,resources=backupstoragelocations,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backups,verbs=get;list;watch;create;patch;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=podvolumebackups,verbs=get;create;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=schedules;deletebackuprequests,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get,roleName=podkeep-server
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server,namespace=velero

// Reconcile syncs one location when it is due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	l := &velerov1.BackupStorageLocation{}
	if err := r.Client.Get(ctx, req.NamespacedName, l); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	o, err := r.observe(ctx, l)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	if s.action != actSync {
		return ctrl.Result{RequeueAfter: s.after}, nil
	}

	res, err := r.sync(ctx, l)
	if err != nil && ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // the server stops; that says nothing about the location
	}
	res.failure = err
	if perr := r.write(ctx, l, res); perr != nil {
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching status: %w", perr))
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("syncing: %w", err) // tried again, later and later
	}
	return ctrl.Result{RequeueAfter: period(l, o.defaultPeriod)}, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, l *velerov1.BackupStorageLocation) (observed, error) {
	o := observed{location: l, now: r.Clock.Now(), defaultPeriod: DefaultPeriod}
	if r.Period != nil {
		o.defaultPeriod = *r.Period
	}
	list := &velerov1.BackupStorageLocationList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return o, fmt.Errorf("listing locations: %w", err)
	}
	o.all = list.Items
	return o, nil
}

// write reports on the location as it is now: a sync may have taken minutes.
func (r *Reconciler) write(ctx context.Context, l *velerov1.BackupStorageLocation, res result) error {
	now := r.Clock.Now()
	var before, after *velerov1.BackupStorageLocation
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		after = &velerov1.BackupStorageLocation{}
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(l), after); err != nil {
			return err
		}
		before = after.DeepCopy()
		if after.UID != l.UID {
			return nil // another one of the same name; it has its own turn
		}
		report(after, res, now)
		return locationaccess.Patch(ctx, r.Client, before, after)
	})
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	r.tell(before, after, res)
	return nil
}

// tell emits events about what has changed.
func (r *Reconciler) tell(before, after *velerov1.BackupStorageLocation, res result) {
	if len(res.imported) > 0 {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, velerov1.ReasonBackupsSynced, "Sync", "%s", "Backups came from the location: "+someOf(res.imported))
	}
	if len(res.removed) > 0 {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, velerov1.ReasonBackupsRemoved, "Sync", "%s",
			"Backups went because they are gone from the location: "+someOf(res.removed))
	}
	if len(res.swept) > 0 {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, velerov1.ReasonInterimFilesRemoved, "Sync", "%s",
			"Files of backups that were deleted before they were complete are removed: "+someOf(res.swept))
	}
	if reason, message := newComplaint(before, after); reason != "" {
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, reason, "Sync", "%s", message)
	}
}

// SetupWithManager starts the reconciler with a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Access": r.Access == nil,
		"Clock": r.Clock == nil, "Recorder": r.Recorder == nil, "Namespace": r.Namespace == "",
	}
	for field, isMissing := range missing {
		if isMissing {
			return fmt.Errorf("setting up backup sync: field %s is not set", field)
		}
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("backupsync").
		For(&velerov1.BackupStorageLocation{}, builder.WithPredicates(ours, locationTurned())).
		Watches(&velerov1.BackupStorageLocation{}, handler.EnqueueRequestsFromMapFunc(r.othersOfDefault), builder.WithPredicates(ours, defaultTried())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: maxConcurrentSyncs,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
		}).
		Complete(r)
}

// locationTurned drops the updates that checks and syncs cause.
func locationTurned() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.BackupStorageLocation)
		after, okAfter := e.ObjectNew.(*velerov1.BackupStorageLocation)
		return !okBefore || !okAfter ||
			!equality.Semantic.DeepEqual(before.Spec, after.Spec) ||
			before.Status.Phase != after.Status.Phase || isConfirmed(after) ||
			(before.Status.LastSyncedTime != nil && after.Status.LastSyncedTime == nil)
	}}
}

// defaultTried lets through the first sync of a default location, and what ends
// the waiting for it.
func defaultTried() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.BackupStorageLocation)
		after, okAfter := e.ObjectNew.(*velerov1.BackupStorageLocation)
		return !okBefore || !okAfter || isTried(before) != isTried(after) || before.Status.Phase != after.Status.Phase ||
			!equality.Semantic.DeepEqual(before.Spec, after.Spec)
	}}
}

// othersOfDefault are the locations that have not been synced and may have waited
// for this one.
func (r *Reconciler) othersOfDefault(ctx context.Context, o client.Object) []reconcile.Request {
	list := &velerov1.BackupStorageLocationList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		// A cached list fails only while the manager stops.
		ctrl.LoggerFrom(ctx).Error(err, "Listing locations")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if l := &list.Items[i]; l.Name != o.GetName() && !isTried(l) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(l)})
		}
	}
	return requests
}
