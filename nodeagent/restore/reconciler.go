package restore

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
)

// Reconciler reconciles the PodVolumeRestores of one node.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock

	// Namespace is that of the install.
	Namespace string

	// Node is the name of the node this agent runs on. Restores into pods of other
	// nodes are ignored, but for the finalizer of finished ones.
	Node string

	World    movement.World
	Actor    *movement.Actor
	Template moverpod.Template

	Recorder events.EventRecorder

	own ownwrites.Memory[velerov1.PodVolumeRestore, *velerov1.PodVolumeRestore]
}

// +kubebuilder:rbac:groups=velero.io,namespace=velero,resources=podvolumerestores,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=velero.io,namespace=velero,resources=backuprepositories;backupstoragelocations,verbs=get;list;watch
// +kubebuilder:rbac:groups="",namespace=velero,resources=pods,verbs=create;delete;patch
// +kubebuilder:rbac:groups="",namespace=velero,resources=pods/log,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,namespace=velero,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims;persistentvolumes,verbs=get
// +kubebuilder:rbac:groups=storage.k8s.io,resources=csidrivers,verbs=get

// Reconcile moves one PodVolumeRestore one step towards its end.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	v := &velerov1.PodVolumeRestore{}
	if err := r.Client.Get(ctx, req.NamespacedName, v); err != nil {
		if apierrors.IsNotFound(err) {
			r.own.Forget(req.NamespacedName)
			r.Actor.Forget(ctx, movement.Key{Kind: wire.KindRestore, Name: req.Name})
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.own.Refresh(v)
	ours, err := r.isOurs(ctx, v)
	if err != nil || !ours {
		return ctrl.Result{}, err
	}
	before := v.DeepCopy()

	o, err := r.observe(ctx, v)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	step := plan(o)
	made, err := r.Actor.Act(ctx, r.subject(v), movement.Proposal{Facts: o.facts, Step: step, Build: r.builder(o)})

	report(v, movement.Report{Facts: o.facts, Step: step, Err: err}, string(made), r.Node)
	if perr := r.patch(ctx, before, v); perr != nil {
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching: %w", perr))
	}
	if err != nil && !outcome.IsTerminal(err) {
		return outcome.Result(err)
	}
	return ctrl.Result{RequeueAfter: step.After}, nil
}

// isOurs reads whether the pod is on this node: the cache has no other pods.
func (r *Reconciler) isOurs(ctx context.Context, v *velerov1.PodVolumeRestore) (bool, error) {
	pod := &corev1.Pod{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: v.Spec.Pod.Namespace, Name: v.Spec.Pod.Name}, pod)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("getting pod of the restore: %w", err)
	}
	return isOurs(v, r.Node, err == nil && pod.UID == v.Spec.Pod.UID), nil
}

// observe reads the cluster and the node. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, v *velerov1.PodVolumeRestore) (observed, error) {
	o := observed{restore: v, facts: movement.Facts{
		Now:      r.Clock.Now(),
		Subject:  movement.VolumeName(v.Spec.Pod, v.Spec.Volume),
		Finished: v.IsFinished(),
		Cancel:   movement.CancelReason(v, v.Spec.Cancel, v.Status.Message),
	}}
	if err := r.Actor.Observe(ctx, r.subject(v), &o.facts); err != nil || o.facts.Finished {
		return o, err
	}
	var err error
	if o.pod, err = r.World.Pod(ctx, v.Spec.Pod); err != nil {
		return o, err
	}
	if o.sourceAsked = o.facts.NeedsSource(); !o.sourceAsked {
		return o, nil
	}
	o.destination = movement.Destination{
		LocationName: v.Spec.BackupStorageLocation,
		Namespace:    v.Spec.SourceNamespace,
		Since:        v.CreationTimestamp.Time,
	}
	if err = r.World.Destination(ctx, &o.destination); err != nil {
		return o, err
	}
	if o.pod == nil || gateObstacle(o.pod) != nil {
		return o, nil // nothing is mounted yet
	}
	o.hostPath, err = r.World.HostPath(ctx, o.pod, v.Spec.Volume)
	if err != nil {
		if o.volume = movement.VolumeObstacle(err); o.volume == nil {
			return o, fmt.Errorf("finding %s: %w", o.facts.Subject, err)
		}
	}
	return o, nil
}

func (r *Reconciler) subject(v *velerov1.PodVolumeRestore) movement.Subject {
	return movement.Subject{
		Key:    movement.Key{Kind: wire.KindRestore, Name: v.Name},
		UID:    v.UID,
		Movers: movement.ParseMovers(v.Annotations[velerov1.MoversAnnotation]),
		Status: statusOf(v),
	}
}

func (r *Reconciler) builder(o observed) func(bool) (*corev1.Pod, error) {
	return func(granted bool) (*corev1.Pod, error) {
		return moverpod.Build(r.Template, moverpod.Mover{
			Kind:                wire.KindRestore,
			Name:                o.restore.Name,
			UID:                 o.restore.UID,
			HostPath:            o.hostPath,
			Granted:             granted,
			Location:            o.destination.Location,
			RepositoryNamespace: o.destination.Namespace,
			CacheLimitMB:        movement.CacheLimitMB(o.destination.Repository),
			Restore:             taskOf(o.restore),
		})
	}
}

// patch writes what changed, once per reconcile, and then says so in an event.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.PodVolumeRestore) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	if err := r.Client.Patch(ctx, after, client.MergeFrom(before)); err != nil {
		return client.IgnoreNotFound(err)
	}
	r.own.Remember(after)
	if after.IsFinished() && !before.IsFinished() {
		movement.RecordEnd(r.Recorder, after, statusOf(after))
	}
	return nil
}
