package backup

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/ownwrites"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/movement"
	"github.com/podkeep/podkeep/nodeagent/moverpod"
	"github.com/podkeep/podkeep/nodeagent/volumemetrics"
)

// Reconciler reconciles the PodVolumeBackups of one node.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock

	// Namespace is that of the install.
	Namespace string

	// Node is the name of the node this agent runs on. Backups of other nodes are
	// ignored, but for the finalizer of finished ones.
	Node string

	World    movement.World
	Actor    *movement.Actor
	Template moverpod.Template

	// Compression is the kopia compressor of new data; "" means none.
	Compression string

	Recorder events.EventRecorder

	// Metrics counts volumes; nil counts none.
	Metrics *volumemetrics.Metrics

	own ownwrites.Memory[velerov1.PodVolumeBackup, *velerov1.PodVolumeBackup]
}

// +kubebuilder:rbac:groups=velero.io,namespace=velero,resources=podvolumebackups,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=velero.io,namespace=velero,resources=backuprepositories;backupstoragelocations,verbs=get;list;watch
// +kubebuilder:rbac:groups="",namespace=velero,resources=pods,verbs=create;delete;patch
// +kubebuilder:rbac:groups="",namespace=velero,resources=pods/log,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,namespace=velero,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims;persistentvolumes,verbs=get
// +kubebuilder:rbac:groups=storage.k8s.io,resources=csidrivers,verbs=get

// Reconcile moves one PodVolumeBackup one step towards its end.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	b := &velerov1.PodVolumeBackup{}
	if err := r.Client.Get(ctx, req.NamespacedName, b); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.own.Forget(req.NamespacedName)
			r.Metrics.Forget(req.Name)
			r.Actor.Forget(ctx, movement.Key{Kind: wire.KindBackup, Name: req.Name})
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.own.Refresh(b)
	if b.Spec.Node != r.Node && !b.IsFinished() {
		return ctrl.Result{}, nil // another agent's
	}
	before := b.DeepCopy()

	o, err := r.observe(ctx, b)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	step := plan(o)
	made, err := r.Actor.Act(ctx, r.subject(b), movement.Proposal{Facts: o.facts, Step: step, Build: r.builder(o)})

	report(b, movement.Report{Facts: o.facts, Step: step, Err: err}, string(made))
	if perr := r.patch(ctx, before, b); perr != nil {
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching: %w", perr))
	}
	if err != nil && !outcome.IsTerminal(err) {
		return outcome.Result(err)
	}
	return ctrl.Result{RequeueAfter: step.After}, nil
}

// observe reads the cluster and the node. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, b *velerov1.PodVolumeBackup) (observed, error) {
	o := observed{backup: b, facts: movement.Facts{
		Now:      r.Clock.Now(),
		Subject:  movement.VolumeName(b.Spec.Pod, b.Spec.Volume),
		Finished: b.IsFinished(),
		Held:     b.Annotations[velerov1.HoldAnnotation] != "",
		Cancel:   movement.CancelReason(b, b.Spec.Cancel, b.Status.Message),
	}}
	if err := r.Actor.Observe(ctx, r.subject(b), &o.facts); err != nil || o.facts.Finished {
		return o, err
	}
	var err error
	if o.pod, err = r.World.Pod(ctx, b.Spec.Pod); err != nil {
		return o, err
	}
	if o.sourceAsked = o.facts.NeedsSource(); !o.sourceAsked {
		return o, nil
	}
	o.destination = movement.Destination{
		LocationName: b.Spec.BackupStorageLocation,
		Namespace:    b.Spec.Pod.Namespace,
		Writes:       true,
		Since:        b.CreationTimestamp.Time,
	}
	if err = r.World.Destination(ctx, &o.destination); err != nil || o.pod == nil {
		return o, err
	}
	o.hostPath, err = r.World.HostPath(ctx, o.pod, b.Spec.Volume)
	if err != nil {
		if o.volume = movement.VolumeObstacle(err); o.volume == nil {
			return o, fmt.Errorf("finding %s: %w", o.facts.Subject, err)
		}
	}
	return o, nil
}

func (r *Reconciler) subject(b *velerov1.PodVolumeBackup) movement.Subject {
	return movement.Subject{
		Key:    movement.Key{Kind: wire.KindBackup, Name: b.Name},
		UID:    b.UID,
		Movers: movement.ParseMovers(b.Annotations[velerov1.MoversAnnotation]),
		Status: statusOf(b),
	}
}

func (r *Reconciler) builder(o observed) func(bool) (*corev1.Pod, error) {
	return func(granted bool) (*corev1.Pod, error) {
		return moverpod.Build(r.Template, moverpod.Mover{
			Kind:                wire.KindBackup,
			Name:                o.backup.Name,
			UID:                 o.backup.UID,
			HostPath:            o.hostPath,
			Granted:             granted,
			Location:            o.destination.Location,
			RepositoryNamespace: o.destination.Namespace,
			CacheLimitMB:        movement.CacheLimitMB(o.destination.Repository),
			Backup:              taskOf(o.backup, r.Compression),
		})
	}
}

// patch writes what changed, once per reconcile, and then says so in an event.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.PodVolumeBackup) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	if err := r.Client.Patch(ctx, after, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.own.Remember(after)
	r.Metrics.Changed(before, after)
	if after.IsFinished() && !before.IsFinished() {
		movement.RecordEnd(r.Recorder, after, statusOf(after))
	}
	return nil
}
