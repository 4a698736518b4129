package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/volumestop"
)

// Locations opens the object storage of a BackupStorageLocation
// (internal/locationaccess).
type Locations interface {
	Store(ctx context.Context, name string) (objectstore.Store, *velerov1.BackupStorageLocation, error)
}

// Reconciler reconciles the Backups of one install. SetupWithManager checks that
// every field is set.
type Reconciler struct {
	// Client writes, and reads velero.io objects from the cache.
	Client client.Client

	// Reader reads from the API server. A backup is read by it, because with a
	// cache that is behind, a step that takes minutes would be taken twice.
	Reader client.Reader

	// Dynamic and Discovery read the items. Their rate limits bound how fast a
	// backup is: a list of 500 items is one request.
	Dynamic   dynamic.Interface
	Discovery discovery.DiscoveryInterfaceWithContext

	// Commands runs hooks (internal/podexec).
	Commands hookrun.Commands

	Locations Locations
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder

	// Namespace is the namespace of the install. Other Backups are not looked at.
	Namespace string

	Options Options

	// Archived is told the size, in bytes, of each archive that is uploaded; nil is
	// not told.
	Archived func(b *velerov1.Backup, bytes int64)

	interrupts interrupts
	pace       pace
}

// Options are the settings of the server that concern backups. The zero value of
// each means its default.
type Options struct {
	// ScratchDir holds the archive while it is written; "" is the system's
	// temporary directory. It needs space for one archive per collection.
	ScratchDir string

	// DefaultLocation is the location of backups that name none when no location
	// is marked as the default. Defaults to "default".
	DefaultLocation string

	// DefaultVolumesToFSBackup is the last rule of volume selection.
	DefaultVolumesToFSBackup bool

	// DefaultTTL is how long a backup is kept that does not say so. Defaults to
	// 720h.
	DefaultTTL time.Duration

	// FSBackupTimeout bounds the time from the start of a backup to the end of its
	// volumes. Defaults to 4h.
	FSBackupTimeout time.Duration

	// StorageTimeout is how long object storage may fail before a backup does.
	// Defaults to 5m.
	StorageTimeout time.Duration

	// ItemOperationTimeout and ResourceTimeout are written on each Backup, where
	// clients of Velero expect them; nothing here waits for them. They default to
	// 4h and 10m.
	ItemOperationTimeout time.Duration
	ResourceTimeout      time.Duration

	// ConcurrentBackups is how many backups run at the same time; others wait in the
	// queue. A backup runs until its last volume has ended. Defaults to 1.
	ConcurrentBackups int

	// PageSize is how many items are asked for at once, at most. Defaults to 500.
	PageSize int64
}

// setDefaults fills in what is zero.
func (o *Options) setDefaults() {
	o.DefaultLocation = cmp.Or(o.DefaultLocation, "default")
	o.DefaultTTL = cmp.Or(o.DefaultTTL, 720*time.Hour)
	o.FSBackupTimeout = cmp.Or(o.FSBackupTimeout, 4*time.Hour)
	o.StorageTimeout = cmp.Or(o.StorageTimeout, 5*time.Minute)
	o.ItemOperationTimeout = cmp.Or(o.ItemOperationTimeout, 4*time.Hour)
	o.ResourceTimeout = cmp.Or(o.ResourceTimeout, 10*time.Minute)
	o.ConcurrentBackups = cmp.Or(o.ConcurrentBackups, 1)
}

// otherReconciles is how many backups may be looked at beside those that run.
// Such a look takes some requests, so few are enough.
const otherReconciles = 4

// SetupWithManager registers the reconciler and its queue. It returns an error
// when a field is missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := r.prepare(); err != nil {
		return err
	}
	if err := newHookReconciler(r).SetupWithManager(mgr); err != nil {
		return err
	}
	if err := r.queue().setUp(mgr); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("backup").
		For(&velerov1.Backup{}, builder.WithPredicates(inNamespace(r.Namespace), backupTurned())).
		Watches(&velerov1.PodVolumeBackup{}, r.pace.handler(), builder.WithPredicates(inNamespace(r.Namespace), volumeEnds())).
		Watches(&velerov1.Backup{}, r.interrupts.handler(), builder.WithPredicates(inNamespace(r.Namespace))).
		Owns(&corev1.ConfigMap{}, builder.OnlyMetadata, builder.WithPredicates(inNamespace(r.Namespace), isHookRecord(), hooksTurned()),
			builder.MatchEveryOwner).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Options.ConcurrentBackups + otherReconciles}).
		Complete(r)
}

func (r *Reconciler) queue() *queue {
	return &queue{client: r.Client, reader: r.Reader, namespace: r.Namespace, limit: r.Options.ConcurrentBackups}
}

// prepare checks the fields and fills in defaults.
func (r *Reconciler) prepare() error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Dynamic": r.Dynamic == nil, "Discovery": r.Discovery == nil,
		"Commands": r.Commands == nil, "Locations": r.Locations == nil, "Clock": r.Clock == nil, "Recorder": r.Recorder == nil, "Namespace": r.Namespace == "",
	}
	for field, isMissing := range missing {
		if isMissing {
			return fmt.Errorf("setting up backup controller: field %s is not set", field)
		}
	}
	if n := r.Options.ConcurrentBackups; n < 0 {
		return fmt.Errorf("setting up backup controller: number of concurrent backups: Invalid value: %d: must be at least 1", n)
	}
	if n := r.Options.PageSize; n < 0 {
		return fmt.Errorf("setting up backup controller: size of pages: Invalid value: %d: must not be negative", n)
	}
	r.Options.setDefaults()
	return nil
}

func inNamespace(namespace string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == namespace })
}

// +kubebuilder:rbac:groups=velero.io,resources=backups,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=podvolumebackups,verbs=get;list;watch;create;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backuprepositories,verbs=create,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=*,resources=*,verbs=get;list,roleName=podkeep-server

// Reconcile moves one Backup one step towards its end.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	b := &velerov1.Backup{}
	if err := r.Reader.Get(ctx, req.NamespacedName, b); err != nil {
		if apierrors.IsNotFound(err) {
			r.pace.note(req.NamespacedName, 0)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := b.DeepCopy()

	o, err := r.observe(ctx, b)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	res, err := r.act(ctx, o, s)
	if failed, ok := errors.AsType[*storageError](err); ok && !outcome.IsTerminal(err) {
		o.storageErr = failed
		if s, err = storageStep(o), nil; s.action == actFail {
			res, err = r.act(ctx, o, s)
		}
	}

	report(o, s, res, err)
	switch perr := r.patch(ctx, before, b); {
	case apierrors.IsConflict(perr):
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	case perr != nil:
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching backup: %w", perr))
	}
	r.tell(before, b)
	if err != nil {
		return outcome.Result(err)
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// patch writes spec, metadata and status at once, and only when one of them has
// changed. A backup that is gone needs no status. Before the start, the queue
// writes too, so a backup that has changed since it was read is looked at anew.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.Backup) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	changes := client.MergeFrom(before)
	if !isStarted(before) {
		changes = client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	}
	return client.IgnoreNotFound(r.Client.Patch(ctx, after, changes))
}

// tell emits the events of a change that has been written.
func (r *Reconciler) tell(before, after *velerov1.Backup) {
	if before.Status.Phase == after.Status.Phase {
		return
	}
	switch {
	case !isStarted(before) && isStarted(after):
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, "Started", "Start", "Backup to location %s started", after.Spec.StorageLocation)
	case after.Status.Phase == velerov1.BackupPhaseCompleted:
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, string(after.Status.Phase), "Finish", "Backup completed: %s", summary(after))
	case after.IsFinished():
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, string(after.Status.Phase), "Finish", "Backup ended: %s", summary(after))
	}
}

// act carries out one step. Every action is idempotent: a crash between act and
// report repeats it.
func (r *Reconciler) act(ctx context.Context, o observed, s step) (result, error) {
	switch s.action {
	case actStart:
		return r.start(ctx)
	case actCollect:
		return r.collect(ctx, o)
	case actStartHooks:
		return result{}, r.startHooks(ctx, o)
	case actCancelVolumes:
		return result{}, r.cancelVolumes(ctx, o, s)
	case actFinish:
		return r.finishUnlessInterrupted(ctx, o)
	case actFail:
		closed, err := r.closeFailed(ctx, o, s)
		return result{closed: closed}, err
	case actAdopt:
		return result{final: &o.stored.Status}, nil
	default:
		return result{}, nil
	}
}

// finishUnlessInterrupted has no result when somebody cancels the backup before
// its last file is written.
func (r *Reconciler) finishUnlessInterrupted(ctx context.Context, o observed) (result, error) {
	ctx, end := r.interruptible(ctx, o.backup)
	defer end()

	res, err := r.finish(ctx, o)
	if interruptionOf(ctx, err) != nil {
		return result{}, nil
	}
	return res, err
}

// result is what an action found out for report.
type result struct {
	start     *startFacts            // after actStart
	collected *collectedFacts        // after actCollect
	final     *velerov1.BackupStatus // after actFinish and actAdopt: what is stored
	closed    *closedFacts           // after actFail
}

// cancelVolumes stops the unfinished volumes.
func (r *Reconciler) cancelVolumes(ctx context.Context, o observed, s step) error {
	return volumestop.All(ctx, r.Client, toCancel(o.volumes), volumestop.Request{Why: stopReason(o, s), Now: o.now})
}

// stopReason says, on a volume, why it is stopped.
func stopReason(o observed, s step) string {
	switch {
	case isCanceled(o.backup):
		return "canceled by " + canceler(o.backup)
	case s.reason == velerov1.ReasonFailed:
		return "the backup has failed"
	default:
		return oneLine(s.message)
	}
}

// closeQuietly logs an error of closing, which nothing can be done about.
func closeQuietly(ctx context.Context, c io.Closer) {
	if err := c.Close(); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Closing scratch file")
	}
}
