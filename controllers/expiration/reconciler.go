package expiration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Reconciler looks after the Backups of one installation. SetupWithManager checks
// that every field is set.
type Reconciler struct {
	Client   client.Client
	Clock    clock.PassiveClock
	Recorder events.EventRecorder

	// Namespace is the install namespace; backups elsewhere are not looked at.
	Namespace string

	// Frequency is the time after which an expired backup that could not be removed
	// is looked at again, and all others at the latest; 0 means DefaultFrequency.
	Frequency time.Duration
}

// +kubebuilder:rbac:groups=velero.io,resources=backups,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=deletebackuprequests,verbs=get;list;watch;create,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server,namespace=velero

// Reconcile asks for the removal of a backup when its time is over, or when it is
// half gone and nobody removes the rest.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	b := &velerov1.Backup{}
	if err := r.Client.Get(ctx, req.NamespacedName, b); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := b.DeepCopy()

	o, err := r.observe(ctx, b)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	err = r.act(ctx, o, s)

	if err == nil {
		report(b, s)
	}
	if perr := r.patch(ctx, before, b); perr != nil {
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching: %w", perr))
	}
	r.tell(before, b)
	if err := errors.Join(err, o.locationErr); err != nil {
		return ctrl.Result{}, err // tried again, later and later
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, b *velerov1.Backup) (observed, error) {
	o := observed{backup: b, now: r.Clock.Now(), frequency: r.Frequency}
	if o.frequency <= 0 {
		o.frequency = DefaultFrequency
	}
	if !isExpired(b, o.now) && b.Status.Phase != velerov1.BackupPhaseDeleting {
		return o, nil
	}
	requests := &velerov1.DeleteBackupRequestList{}
	if err := r.Client.List(ctx, requests, client.InNamespace(r.Namespace)); err != nil {
		return o, fmt.Errorf("listing DeleteBackupRequests: %w", err)
	}
	o.requests = slices.DeleteFunc(requests.Items, func(d velerov1.DeleteBackupRequest) bool { return d.Spec.BackupName != b.Name })
	bsl := &velerov1.BackupStorageLocation{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: b.Spec.StorageLocation}, bsl)
	switch {
	case err == nil:
		o.location = bsl
	case !apierrors.IsNotFound(err):
		o.locationErr = fmt.Errorf("getting BackupStorageLocation %s: %w", b.Spec.StorageLocation, err)
	}
	return o, nil
}

// act carries out one step; a request that is already there is success.
func (r *Reconciler) act(ctx context.Context, o observed, s step) error {
	if s.action != actRequest {
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("Requesting the removal of a backup", "expired", isExpired(o.backup, o.now))
	request := &velerov1.DeleteBackupRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.backup.Namespace,
			Name:      requestName(o),
			Labels: map[string]string{
				velerov1.BackupNameLabel: velerov1.ValidLabelValue(o.backup.Name),
				velerov1.BackupUIDLabel:  string(o.backup.UID),
			},
		},
		Spec: velerov1.DeleteBackupRequestSpec{BackupName: o.backup.Name},
	}
	if err := r.Client.Create(ctx, request); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating DeleteBackupRequest %s: %w", request.Name, err)
	}
	return nil
}

// report says on the backup why it could not be removed. It is the only writer of
// that label. A backup that has not expired, or is being removed, has none.
func report(b *velerov1.Backup, s step) {
	if s.failure == "" {
		delete(b.Labels, velerov1.GCFailureLabel)
		return
	}
	if b.Labels == nil {
		b.Labels = map[string]string{}
	}
	b.Labels[velerov1.GCFailureLabel] = s.failure
}

// patch writes the label, and only when it changed.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.Backup) error {
	if equality.Semantic.DeepEqual(before.Labels, after.Labels) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Patch(ctx, after, client.MergeFrom(before)))
}

func (r *Reconciler) tell(before, after *velerov1.Backup) {
	reason := after.Labels[velerov1.GCFailureLabel]
	if reason == "" || reason == before.Labels[velerov1.GCFailureLabel] {
		return
	}
	r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, reason, "Expire",
		"Backup is to go and cannot be removed from location %s", after.Spec.StorageLocation)
}

// SetupWithManager registers the reconciler. It returns an error when a field is
// missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Clock": r.Clock == nil, "Recorder": r.Recorder == nil, "Namespace": r.Namespace == "",
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if missing[name] {
			return fmt.Errorf("setting up expiration controller: field %s is not set", name)
		}
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("expiration").
		For(&velerov1.Backup{}, builder.WithPredicates(ours, expirationChanged())).
		Watches(&velerov1.BackupStorageLocation{}, handler.EnqueueRequestsFromMapFunc(r.ofLocation), builder.WithPredicates(ours, locationChanged())).
		Watches(&velerov1.DeleteBackupRequest{}, handler.EnqueueRequestsFromMapFunc(ofRequest), builder.WithPredicates(ours, onlyGone())).
		Complete(r)
}

// expirationChanged drops progress of backups, which changes every second.
func expirationChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.Backup)
		after, okAfter := e.ObjectNew.(*velerov1.Backup)
		return !okBefore || !okAfter || before.Status.Phase != after.Status.Phase ||
			!before.Status.Expiration.Equal(after.Status.Expiration)
	}}
}

// locationChanged lets through what may allow or forbid a removal.
func locationChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.BackupStorageLocation)
		after, okAfter := e.ObjectNew.(*velerov1.BackupStorageLocation)
		return !okBefore || !okAfter || before.Status.Phase != after.Status.Phase || before.Spec.AccessMode != after.Spec.AccessMode
	}}
}

func onlyGone() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(event.UpdateEvent) bool { return false },
	}
}

// ofRequest returns the backup whose removal was requested.
func ofRequest(_ context.Context, o client.Object) []reconcile.Request {
	request, ok := o.(*velerov1.DeleteBackupRequest)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: request.Namespace, Name: request.Spec.BackupName}}}
}

// ofLocation returns the backups that could not be removed from a location.
func (r *Reconciler) ofLocation(ctx context.Context, bsl client.Object) []reconcile.Request {
	list := &velerov1.BackupList{}
	err := r.Client.List(ctx, list, client.InNamespace(r.Namespace), client.HasLabels{velerov1.GCFailureLabel})
	if err != nil {
		// A cached list fails only while the manager stops.
		ctrl.LoggerFrom(ctx).Error(err, "Listing backups")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if list.Items[i].Spec.StorageLocation == bsl.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}
