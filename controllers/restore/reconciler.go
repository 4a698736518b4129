package restore

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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/internal/gatedpods"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/ownwrites"
)

// Locations opens the object storage of a BackupStorageLocation
// (internal/locationaccess).
type Locations interface {
	Store(ctx context.Context, name string) (objectstore.Store, *velerov1.BackupStorageLocation, error)
}

// Reconciler reconciles the Restores of one install. SetupWithManager checks that
// every field is set.
type Reconciler struct {
	// Client reads velero.io objects from the cache, and creates and patches
	// everything. Its reads of unstructured objects must not be cached, which is
	// the default.
	Client client.Client

	// Reader reads from the API server: where a cache that is behind would end a
	// restore too early or do a long step twice, and for kinds that are not worth a
	// cache.
	Reader client.Reader

	// Discovery resolves the names of resources that people write.
	Discovery discovery.DiscoveryInterfaceWithContext

	// Commands runs hooks (internal/podexec).
	Commands hookrun.Commands

	// Pods are the pods with a gate, of the whole cluster.
	Pods *gatedpods.Pods

	Locations Locations
	Clock     clock.PassiveClock

	// Namespace is the namespace of the install. Other Restores are not looked at.
	Namespace string

	Options Options

	looks looks
	own   ownwrites.Memory[velerov1.Restore, *velerov1.Restore]
}

// Options are the settings of the server that concern restores. The zero value of
// each means its default.
type Options struct {
	// ScratchDir holds the extracted archive and the log while they are worked on;
	// "" is the system's temporary directory. It needs space for one archive, not
	// compressed, per restore.
	ScratchDir string

	// FSBackupTimeout bounds the time from the start of a restore to the end of its
	// volumes. The annotation velero.io/pod-volume-timeout of a Restore wins.
	// Defaults to 4h.
	FSBackupTimeout time.Duration

	// StorageTimeout is how long object storage may fail before a restore does.
	// Defaults to 5m.
	StorageTimeout time.Duration

	// TerminatingTimeout is how long, from its start, a restore waits for what is in
	// its way: namespaces and objects that are being deleted, and an API server that
	// does not answer. Defaults to 10m.
	TerminatingTimeout time.Duration

	// ResourceTimeout is how long, from its start, a restore waits for the kinds that
	// it has defined to be served. Defaults to 10m.
	ResourceTimeout time.Duration

	// ItemOperationTimeout is written into the spec of restores that have none, as
	// Velero does. podkeep has no asynchronous item operations. Defaults to 4h.
	ItemOperationTimeout time.Duration

	// Priorities is the order of resources. nil is items.DefaultPriorities.
	Priorities *items.Priorities

	// MaxConcurrentReconciles is how many restores write items at the same time.
	// Defaults to 4.
	MaxConcurrentReconciles int
}

// setDefaults fills in what is zero.
func (o *Options) setDefaults() {
	o.FSBackupTimeout = cmp.Or(o.FSBackupTimeout, 4*time.Hour)
	o.StorageTimeout = cmp.Or(o.StorageTimeout, 5*time.Minute)
	o.TerminatingTimeout = cmp.Or(o.TerminatingTimeout, 10*time.Minute)
	o.ResourceTimeout = cmp.Or(o.ResourceTimeout, 10*time.Minute)
	o.ItemOperationTimeout = cmp.Or(o.ItemOperationTimeout, 4*time.Hour)
	if o.Priorities == nil {
		o.Priorities = ptr.To(items.DefaultPriorities())
	}
	o.MaxConcurrentReconciles = cmp.Or(o.MaxConcurrentReconciles, 4)
}

// Bounds of the time until an error without a class is tried again. An API server
// that was away for a while must not be kept waiting as long again.
const (
	minRetryInterval = 50 * time.Millisecond
	maxRetryInterval = 15 * time.Second
)

// SetupWithManager registers the reconciler. It returns an error when a field is
// missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := r.prepare(); err != nil {
		return err
	}
	if err := newHookReconciler(r).SetupWithManager(mgr); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("restore").
		For(&velerov1.Restore{}, builder.WithPredicates(r.ownNamespace())).
		Owns(&velerov1.PodVolumeRestore{}, builder.WithPredicates(r.ownNamespace(), volumeTurned())).
		Owns(&corev1.ConfigMap{}, builder.OnlyMetadata, builder.MatchEveryOwner, builder.WithPredicates(r.ownNamespace(), isHookRecord(), hooksEnded())).
		WatchesRawSource(r.Pods.Source(r.ofGatedPod, podComesOrGoes())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Options.MaxConcurrentReconciles,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](minRetryInterval, maxRetryInterval),
		}).
		Complete(r)
}

// prepare checks the fields and fills in defaults.
func (r *Reconciler) prepare() error {
	missing := map[string]bool{
		"Commands": r.Commands == nil, "Client": r.Client == nil, "Reader": r.Reader == nil, "Locations": r.Locations == nil,
		"Clock": r.Clock == nil, "Namespace": r.Namespace == "", "Discovery": r.Discovery == nil, "Pods": r.Pods == nil,
	}
	for _, field := range slices.Sorted(maps.Keys(missing)) {
		if missing[field] {
			return fmt.Errorf("setting up restore controller: field %s is not set", field)
		}
	}
	r.Options.setDefaults()
	return nil
}

func (r *Reconciler) ownNamespace() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
}

// volumeTurned lets through what decisions depend on: a node agent has taken a
// volume, or it has ended. Phases between and progress pass unseen.
func volumeTurned() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*velerov1.PodVolumeRestore)
		after, okAfter := e.ObjectNew.(*velerov1.PodVolumeRestore)
		return !ok || !okAfter || before.IsFinished() != after.IsFinished() || before.Status.Node != after.Status.Node
	}}
}

// +kubebuilder:rbac:groups=velero.io,resources=restores,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=restores/finalizers,verbs=update,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backups;podvolumebackups;backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=podvolumerestores,verbs=get;list;watch;create;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backuprepositories,verbs=create,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=list,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;create;patch,roleName=podkeep-server
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;delete,roleName=podkeep-server
// +kubebuilder:rbac:groups=storage.k8s.io,resources=storageclasses,verbs=list,roleName=podkeep-server
// +kubebuilder:rbac:groups=*,resources=*,verbs=get;list;create;patch,roleName=podkeep-server
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;clusterroles,verbs=escalate;bind,roleName=podkeep-server

// Reconcile moves one Restore one step towards its end.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	restore, err := r.get(ctx, req.NamespacedName)
	if err != nil || restore == nil {
		return ctrl.Result{}, err
	}
	before := restore.DeepCopy()

	o, err := r.observe(ctx, restore)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	err = r.act(ctx, o, s)

	report(restore, r.Clock.Now(), s, err)
	if perr := r.patch(ctx, before, restore); perr != nil {
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching Restore: %w", perr))
	}
	if err != nil {
		return outcome.Result(err)
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// get returns the Restore, or nil when there is nothing to do for it. Until its
// items are restored it is read from the API server: the cache may be older than
// the last write of this server or of the one before it, and a second pass over all
// items is expensive. From then on, and when it is finished, it stays so, and the
// cache will do.
func (r *Reconciler) get(ctx context.Context, key types.NamespacedName) (*velerov1.Restore, error) {
	restore := &velerov1.Restore{}
	if err := r.Client.Get(ctx, key, restore); err != nil {
		r.own.Forget(key)
		return nil, client.IgnoreNotFound(err)
	}
	r.own.Refresh(restore)
	switch {
	case restore.IsFinished() && restore.DeletionTimestamp == nil:
		return nil, nil
	case areItemsRestored(restore) && restore.DeletionTimestamp == nil:
		return restore, nil
	}
	if err := r.Reader.Get(ctx, key, restore); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return restore, nil
}

// patch writes metadata and status once per reconcile, and only what changed.
// Restores have no status subresource.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.Restore) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	err := r.Client.Patch(ctx, after, client.MergeFrom(before))
	switch {
	case after.DeletionTimestamp != nil:
		return client.IgnoreNotFound(err) // the finalizer is gone, and so is the object
	case err == nil:
		r.own.Remember(after)
	}
	return err
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, restore *velerov1.Restore) (observed, error) {
	o := observed{
		restore:        restore,
		now:            r.Clock.Now(),
		volumeTimeout:  volumeTimeoutOf(restore, r.Options.FSBackupTimeout),
		storageTimeout: r.Options.StorageTimeout,
	}
	if restore.IsFinished() && restore.DeletionTimestamp == nil {
		return o, nil
	}
	var err error
	if o.backup, err = r.findBackup(ctx, restore); err != nil {
		return o, err
	}
	if !isStarted(restore) && cancelRequestedBy(restore) != "" {
		return o, nil
	}
	if !isStarted(restore) {
		return o, r.observeProblems(ctx, &o)
	}
	if o.volumes, err = r.volumes(ctx, restore); err != nil {
		return o, err
	}
	if o.hooksLeft, err = r.observeHooks(ctx, restore); err != nil {
		return o, err
	}
	if areItemsRestored(restore) && o.backup != nil && restore.DeletionTimestamp == nil && cancelRequestedBy(restore) == "" {
		if err := r.observeFollowing(ctx, &o); err != nil {
			return o, err
		}
	}
	o.untaken, err = r.observeUntaken(ctx, o)
	return o, err
}

func (r *Reconciler) findBackup(ctx context.Context, restore *velerov1.Restore) (*velerov1.Backup, error) {
	if restore.Spec.BackupName == "" {
		return r.findNewest(ctx, restore.Spec.ScheduleName)
	}
	backup := &velerov1.Backup{}
	reader := r.Reader // not the cache: a backup that has completed a moment ago can be restored
	if areItemsRestored(restore) {
		reader = r.Client
	}
	err := reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: restore.Spec.BackupName}, backup)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("getting Backup %s: %w", restore.Spec.BackupName, err)
	}
	return backup, nil
}

// observeProblems looks for what is wrong before the start.
func (r *Reconciler) observeProblems(ctx context.Context, o *observed) error {
	var location *velerov1.BackupStorageLocation
	if o.backup != nil {
		found := &velerov1.BackupStorageLocation{}
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: o.backup.Spec.StorageLocation}, found)
		switch {
		case err == nil:
			location = found
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("getting BackupStorageLocation %s: %w", o.backup.Spec.StorageLocation, err)
		}
	}
	_, problems, err := r.readModifiers(ctx, o.restore)
	if err != nil {
		return err
	}
	o.problems = append(validate(o.restore, o.backup, location), problems...)
	return r.observeGate(ctx, o)
}

// observeGate looks for what is wrong with the ConfigMap that tunes the gate.
func (r *Reconciler) observeGate(ctx context.Context, o *observed) error {
	list := &corev1.ConfigMapList{}
	if err := r.Reader.List(ctx, list, client.InNamespace(r.Namespace), client.MatchingLabelsSelector{Selector: gateconfig.Selector()}); err != nil {
		return fmt.Errorf("listing ConfigMaps of the gate: %w", err)
	}
	_, problems := gateconfig.Parse(list.Items, "")
	for _, p := range problems {
		o.gateProblems = append(o.gateProblems, "ConfigMap "+p.ConfigMap+": "+p.String())
	}
	return nil
}

// volumes lists the pod volume restores of a restore. While one of them goes on
// the cache will do: a change of it is an event. That all are finished is checked
// with the API server, or a stale cache that has none would end the restore.
func (r *Reconciler) volumes(ctx context.Context, restore *velerov1.Restore) ([]velerov1.PodVolumeRestore, error) {
	cached, err := r.listVolumes(ctx, r.Client, restore)
	if err != nil || len(pendingVolumes(observed{volumes: cached})) > 0 {
		return cached, err
	}
	return r.listVolumes(ctx, r.Reader, restore)
}

func (r *Reconciler) listVolumes(ctx context.Context, reader client.Reader, restore *velerov1.Restore) ([]velerov1.PodVolumeRestore, error) {
	list := &velerov1.PodVolumeRestoreList{}
	err := reader.List(ctx, list, client.InNamespace(r.Namespace), client.MatchingLabels{
		velerov1.RestoreNameLabel: velerov1.ValidLabelValue(restore.Name),
		velerov1.RestoreUIDLabel:  string(restore.UID),
	})
	if err != nil {
		return nil, fmt.Errorf("listing PodVolumeRestores: %w", err)
	}
	return list.Items, nil
}

// act carries out one step. Every action is idempotent: a crash between act and
// report repeats it.
func (r *Reconciler) act(ctx context.Context, o observed, s step) error {
	switch s.action {
	case actCleanUp:
		return r.cleanUp(ctx, o)
	case actStart:
		controllerutil.AddFinalizer(o.restore, velerov1.RestoreExternalResourcesFinalizer)
		r.completeSpec(o)
		return nil
	case actFail:
		return errors.Join(r.cancel(ctx, uncanceled(o.volumes), s.message), r.release(ctx, o))
	case actRestoreItems:
		return r.restoreItems(ctx, o, s.lastTry)
	case actCancelVolumes:
		return r.cancel(ctx, s.volumes, s.message)
	case actFollow:
		return r.follow(ctx, o)
	case actFinish:
		return r.finish(ctx, o)
	case actFinishCanceled:
		return r.finishCanceled(ctx, o)
	default:
		return nil
	}
}

// cancel tells the node agents to stop volumes, and why.
func (r *Reconciler) cancel(ctx context.Context, volumes []velerov1.PodVolumeRestore, why string) error {
	errs := make([]error, len(volumes))
	workqueue.ParallelizeUntil(ctx, createWorkers, len(volumes), func(n int) {
		v := volumes[n].DeepCopy()
		before := v.DeepCopy()
		v.Spec.Cancel = true
		v.Status.Message = cmp.Or(v.Status.Message, oneLine(why))
		if err := r.Client.Patch(ctx, v, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			errs[n] = fmt.Errorf("canceling PodVolumeRestore %s: %w", v.Name, err)
		}
	})
	return errors.Join(append(errs, ctx.Err())...)
}
