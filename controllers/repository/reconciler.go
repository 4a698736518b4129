package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/repositories"
	"github.com/podkeep/podkeep/internal/repositoryconfig"
	"github.com/podkeep/podkeep/internal/wire"
)

const (
	// DefaultMaintenanceFrequency is Velero's for kopia repositories.
	DefaultMaintenanceFrequency = time.Hour

	// retryMin and retryMax bound the pause before a repository that is not ready
	// is tried again; it doubles from try to try.
	retryMin = 2 * time.Second
	retryMax = 5 * time.Minute

	// storageTimeoutSeconds bounds one operation of the storage. Movers wait
	// longer; here the next try comes anyway.
	storageTimeoutSeconds = 20

	// maxConcurrentPrepares bounds memory: deriving the key of one repository takes
	// 64 MiB for a moment (scrypt-65536-8-1).
	maxConcurrentPrepares = 2
)

// resolver makes a location usable (locationaccess.Resolver).
type resolver interface {
	Resolve(ctx context.Context, bsl *velerov1.BackupStorageLocation) (location.Location, error)
	RepositoryPasswordFile(ctx context.Context) (string, error)
	RepositoryPasswordVersion(ctx context.Context) (string, error)
}

// Reconciler reconciles the BackupRepositories of one installation.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock

	// Namespace is the install namespace; repositories elsewhere are not touched.
	Namespace string

	// Access resolves locations and the password.
	Access resolver

	// Ensure creates the repository or checks that it opens
	// (mover/repository.Ensure).
	Ensure func(ctx context.Context, r wire.Repository) error

	// EnsureReason is the condition reason for an error of Ensure, or ""
	// (mover/repository.Reason).
	EnsureReason func(err error) string

	// ScratchDir is where Ensure keeps files while it runs.
	ScratchDir string

	// Reader reads the ConfigMap from the API server.
	Reader client.Reader

	// ConfigMap is the name of the ConfigMap with spec.repositoryConfig of new
	// repositories; "" means none.
	ConfigMap string

	// MaintenanceFrequency is for repositories that do not say it; 0 means
	// DefaultMaintenanceFrequency.
	MaintenanceFrequency time.Duration
}

// +kubebuilder:rbac:groups=velero.io,resources=backuprepositories,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get,roleName=podkeep-server,namespace=velero

// Reconcile moves one repository one step towards Ready.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	repo := &velerov1.BackupRepository{}
	if err := r.Client.Get(ctx, req.NamespacedName, repo); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := repo.DeepCopy()

	o, err := r.observe(ctx, repo)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	f := r.act(ctx, o, s)
	if f != nil && ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // the server stops; that says nothing about the repository
	}

	report(o, s, f, r.Clock.Now())
	if err := r.patch(ctx, before, repo); err != nil {
		return ctrl.Result{}, fmt.Errorf("patching status: %w", err)
	}
	if f != nil && (s.action == actPrepare || s.action == actSetDefaults) {
		return ctrl.Result{}, fmt.Errorf("preparing repository: %w", f.err) // tried again, later and later
	}
	return ctrl.Result{}, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, repo *velerov1.BackupRepository) (observed, error) {
	o := observed{repository: repo}
	bsl := &velerov1.BackupStorageLocation{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: repo.Spec.BackupStorageLocation}, bsl)
	if apierrors.IsNotFound(err) {
		return o, nil
	}
	if err != nil {
		return o, fmt.Errorf("getting BackupStorageLocation %s: %w", repo.Spec.BackupStorageLocation, err)
	}
	o.bsl = bsl
	version, err := r.Access.RepositoryPasswordVersion(ctx)
	if err != nil {
		return o, err
	}
	o.location, o.accessErr = r.Access.Resolve(ctx, bsl)
	if o.accessErr == nil {
		o.hash, o.accessErr = repositories.Hash(o.location, version)
	}
	return o, nil
}

// act carries out one step. Preparing is idempotent: a crash before report
// repeats it.
func (r *Reconciler) act(ctx context.Context, o observed, s step) *failure {
	switch s.action {
	case actSetDefaults:
		return r.setDefaults(ctx, o.repository)
	case actRefuse:
		return refusalOf(o, s)
	case actPrepare:
		return r.prepare(ctx, o)
	default:
		return nil
	}
}

// prepare makes the repository ready, or says why it is not.
func (r *Reconciler) prepare(ctx context.Context, o observed) *failure {
	if o.accessErr != nil {
		return &failure{reason: locationaccess.Reason(o.accessErr), err: o.accessErr}
	}
	tuning, err := repositoryconfig.Tune(o.repository.Spec.RepositoryConfig, "spec.repositoryConfig")
	if err != nil {
		return &failure{reason: velerov1.ReasonInvalidSpec, err: err}
	}
	passwordFile, err := r.Access.RepositoryPasswordFile(ctx)
	if err != nil {
		return &failure{reason: locationaccess.Reason(err), err: err}
	}
	scratch, err := os.MkdirTemp(r.ScratchDir, "repository-*")
	if err != nil {
		return &failure{reason: velerov1.ReasonRepositoryNotReady, err: fmt.Errorf("making a scratch directory: %w", err)}
	}
	ctrl.LoggerFrom(ctx).Info("Preparing repository")
	err = r.Ensure(ctx, wire.Repository{
		Location:              o.location,
		Namespace:             o.repository.Spec.VolumeNamespace,
		PasswordFile:          passwordFile,
		CacheDir:              scratch,
		CacheLimitMB:          tuning.CacheLimitMB,
		StorageTimeoutSeconds: storageTimeoutSeconds,

		FullMaintenanceSeconds: tuning.FullMaintenanceHours * 3600,
	})
	if err != nil {
		reason := cmp.Or(r.EnsureReason(err), velerov1.ReasonRepositoryNotReady)
		return &failure{reason: reason, err: errors.Join(err, os.RemoveAll(scratch))}
	}
	if err := os.RemoveAll(scratch); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Removing a scratch directory")
	}
	return nil
}

// patch writes the repository once per reconcile, and only when it changed.
// There is no status subresource. Conditions are one list, of which another
// controller writes a part: a patch that was made without its newest one is refused.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.BackupRepository) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	return r.Client.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// SetupWithManager starts the reconciler with a manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	password := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == locationaccess.RepositorySecret })
	return ctrl.NewControllerManagedBy(mgr).
		Named("backuprepository").
		For(&velerov1.BackupRepository{}, builder.WithPredicates(ours, repositoryChanged())).
		Watches(&velerov1.BackupStorageLocation{}, handler.EnqueueRequestsFromMapFunc(r.repositoriesOfLocation), builder.WithPredicates(ours, locationChanged())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.allRepositories), builder.WithPredicates(ours, password)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: maxConcurrentPrepares,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
		}).
		Complete(r)
}
