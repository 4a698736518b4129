package location

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// maxConcurrentChecks keeps one storage that does not answer, which takes about
// 15 s to find out, from delaying the checks of the others.
const maxConcurrentChecks = 4

// conflictRetry is the time after which a check is repeated whose result could
// not be written, because the sync of backups wrote its own meanwhile.
const conflictRetry = time.Second

// opener opens the store of a location, with a fingerprint of all it was made
// from (locationaccess.Resolver).
type opener interface {
	Open(ctx context.Context, bsl *velerov1.BackupStorageLocation) (objectstore.Store, string, error)
}

// Reconciler reconciles the BackupStorageLocations of one installation.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock

	// Namespace is the install namespace; locations elsewhere are not touched.
	Namespace string

	// Access opens locations.
	Access opener

	// DefaultValidationFrequency is for locations that do not say it; nil means
	// DefaultValidationFrequency, 0 that they are checked until they are available
	// and then not any more.
	DefaultValidationFrequency *time.Duration

	// checked holds the fingerprints of the last checks. Losing it, at a restart,
	// means one more check.
	checked fingerprints
}

// fingerprints are those of locations, by name.
type fingerprints struct {
	mu     sync.Mutex
	byName map[string]string // guarded by mu
}

func (f *fingerprints) get(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byName[name]
}

func (f *fingerprints) set(name, fingerprint string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byName == nil {
		f.byName = map[string]string{}
	}
	f.byName[name] = fingerprint
}

func (f *fingerprints) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.byName, func(n, _ string) bool { return n == name })
}

// +kubebuilder:rbac:groups=velero.io,resources=backupstoragelocations,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch,roleName=podkeep-server,namespace=velero

// Reconcile checks one location when a check is due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	l := &velerov1.BackupStorageLocation{}
	if err := r.Client.Get(ctx, req.NamespacedName, l); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.checked.forget(req.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := l.DeepCopy()

	o, store, err := r.observe(ctx, l)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	r.act(ctx, o, s, store)

	err = locationaccess.Patch(ctx, r.Client, before, l)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("patching status: %w", err)
	}
	if s.action == actValidate {
		r.checked.set(l.Name, store.fingerprint)
		o.changed = false // what is in l now is the result of this check
		return ctrl.Result{RequeueAfter: plan(o).after}, nil
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// opened is the store of the location, or why there is none.
type opened struct {
	store       objectstore.Store
	fingerprint string
	err         error
}

// observe reads the cluster. It decides nothing. That the location cannot be
// opened is an observation, not an error.
func (r *Reconciler) observe(ctx context.Context, l *velerov1.BackupStorageLocation) (observed, opened, error) {
	o := observed{location: l, now: r.Clock.Now(), defaultFrequency: DefaultValidationFrequency}
	if r.DefaultValidationFrequency != nil {
		o.defaultFrequency = *r.DefaultValidationFrequency
	}
	list := &velerov1.BackupStorageLocationList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return o, opened{}, fmt.Errorf("listing locations: %w", err)
	}
	o.all = list.Items

	var s opened
	s.store, s.fingerprint, s.err = r.Access.Open(ctx, l)
	if s.err != nil && s.fingerprint == "" {
		// Without a fingerprint the error stands for what could not be read.
		s.fingerprint = s.err.Error()
	}
	o.changed = r.checked.get(l.Name) != s.fingerprint
	return o, s, nil
}

// act carries out one step, in memory only; patch writes it.
func (r *Reconciler) act(ctx context.Context, o observed, s step, store opened) {
	switch s.action {
	case actUnsetDefault:
		ctrl.LoggerFrom(ctx).Info("Unsetting the default of a location, a newer one is the default")
		o.location.Spec.Default = false
	case actValidate:
		report(o.location, o.now, validate(ctx, store))
	default:
	}
}

// validate asks the storage whether the location can be used.
func validate(ctx context.Context, s opened) error {
	if s.err != nil {
		return s.err
	}
	prefixes, err := s.store.CommonPrefixes(ctx, "")
	if err != nil {
		return err
	}
	return layout.ValidateTopLevel(prefixes)
}

// SetupWithManager starts the reconciler with a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("backupstoragelocation").
		For(&velerov1.BackupStorageLocation{}, builder.WithPredicates(ours, specChanged())).
		Watches(&velerov1.BackupStorageLocation{}, handler.EnqueueRequestsFromMapFunc(r.otherDefaults), builder.WithPredicates(ours, specChanged())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.usersOfSecret), builder.WithPredicates(ours)).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentChecks}).
		Complete(r)
}

// specChanged drops the updates that the reconciler's own patches cause.
func specChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.BackupStorageLocation)
		after, okAfter := e.ObjectNew.(*velerov1.BackupStorageLocation)
		return !okBefore || !okAfter ||
			!equality.Semantic.DeepEqual(before.Spec, after.Spec) ||
			!before.DeletionTimestamp.Equal(after.DeletionTimestamp) ||
			after.Status.LastValidationTime == nil
	}}
}

// otherDefaults are the locations that may not be the default any more because
// this one is.
func (r *Reconciler) otherDefaults(ctx context.Context, o client.Object) []reconcile.Request {
	l, ok := o.(*velerov1.BackupStorageLocation)
	if !ok || !l.Spec.Default {
		return nil
	}
	return r.requests(ctx, func(other *velerov1.BackupStorageLocation) bool {
		return other.Spec.Default && other.Name != l.Name
	})
}

// usersOfSecret are the locations whose keys or certificates are in a Secret.
func (r *Reconciler) usersOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	return r.requests(ctx, func(l *velerov1.BackupStorageLocation) bool {
		if c := l.Spec.Credential; c != nil && c.Name == secret.GetName() {
			return true
		}
		s := l.Spec.ObjectStorage
		return s != nil && s.CACertRef != nil && s.CACertRef.Name == secret.GetName()
	})
}

func (r *Reconciler) requests(ctx context.Context, match func(*velerov1.BackupStorageLocation) bool) []reconcile.Request {
	list := &velerov1.BackupStorageLocationList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		// A cached list fails only while the manager stops.
		ctrl.LoggerFrom(ctx).Error(err, "Listing locations")
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
