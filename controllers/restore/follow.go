package restore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/gatedpods"
	"github.com/podkeep/podkeep/internal/hold"
	"github.com/podkeep/podkeep/internal/outcome"
)

// moverInterval is how often a mover is looked at that must have ended before
// another one may write into its volume. It ends within seconds.
const moverInterval = time.Second

// following is what is known of volumes whose pods went away before they had their
// data, and of the pods that other people made.
type following struct {
	// ready are volumes that are filled through another pod from now on, and busy how
	// many cannot be yet, because a mover may still write into them.
	ready []hold.Filling
	busy  int

	// until is until when a pod may come that takes over a volume; zero: nobody is
	// waited for.
	until time.Time
}

// observeFollowing looks at the pods that wait for a restore. On the way of a
// restore whose pods stay, it asks the API server for nothing.
func (r *Reconciler) observeFollowing(ctx context.Context, o *observed) error {
	pods, err := r.Pods.Of(ctx, o.restore.UID)
	if err != nil {
		return err
	}
	o.pods = hold.PodsOf(pods, o.restore.UID)
	facts := hold.Facts{Now: o.now, ItemsRestored: true, Pods: o.pods, Fills: o.volumes}
	d, err := r.decideHold(ctx, o.restore, facts)
	if err == nil && len(d.Fill) > 0 {
		// The cache may lack what was begun a moment ago.
		if facts.Fills, err = r.listVolumes(ctx, r.Reader, o.restore); err == nil {
			o.volumes = facts.Fills
			d, err = r.decideHold(ctx, o.restore, facts)
		}
	}
	if err != nil {
		return err
	}
	o.following.until = d.FollowUntil
	for _, f := range d.Fill {
		ended, err := r.haveMoversEnded(ctx, f.Fills)
		switch {
		case err != nil:
			return err
		case ended:
			o.following.ready = append(o.following.ready, f)
		default:
			o.following.busy++
		}
	}
	return nil
}

// decideHold decides about the pods that wait, with what must be known of claims
// that nobody fills.
func (r *Reconciler) decideHold(ctx context.Context, restore *velerov1.Restore, f hold.Facts) (hold.Decision, error) {
	d := hold.Decide(f)
	if len(d.Look) == 0 {
		return d, nil
	}
	f.Claims = map[types.NamespacedName]bool{}
	for _, key := range d.Look {
		claim := &corev1.PersistentVolumeClaim{}
		if err := r.Reader.Get(ctx, key, claim); client.IgnoreNotFound(err) != nil {
			return d, fmt.Errorf("getting PersistentVolumeClaim %s: %w", key, err)
		}
		f.Claims[key] = claim.Annotations[velerov1.FilledByAnnotation] == string(restore.UID)
	}
	return hold.Decide(f), nil
}

// haveMoversEnded reports whether nobody writes for earlier volume restores any
// more. Their mover pods have their names.
func (r *Reconciler) haveMoversEnded(ctx context.Context, fills []velerov1.PodVolumeRestore) (bool, error) {
	for _, f := range fills {
		mover := &corev1.Pod{}
		err := r.Reader.Get(ctx, client.ObjectKey{Namespace: f.Namespace, Name: f.Name}, mover)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return false, fmt.Errorf("getting mover pod %s: %w", f.Name, err)
		case mover.Status.Phase != corev1.PodSucceeded && mover.Status.Phase != corev1.PodFailed:
			return false, nil
		}
	}
	return true, nil
}

// followStep is the part of plan about volumes that have lost their pods; ok is
// false when there is nothing to do about any.
func followStep(o observed) (s step, ok bool) {
	f := o.following
	switch {
	case !o.now.Before(deadline(o)):
		return step{}, false
	case len(f.ready) > 0:
		return step{action: actFollow, reason: velerov1.ReasonWaitingForVolumes, message: "filling volumes through other pods: " + namesOf(f.ready)}, true
	case f.busy > 0:
		return step{action: actNothing, reason: velerov1.ReasonWaitingForVolumes, after: moverInterval,
			message: fmt.Sprintf("waiting until the movers of %d volumes have ended whose pods are gone", f.busy)}, true
	case len(pendingVolumes(o)) == 0 && o.now.Before(f.until):
		return step{action: actNothing, reason: velerov1.ReasonWaitingForPod, after: f.until.Sub(o.now),
			message: "waiting for the controllers of pods that are gone to make others, which take over their volumes"}, true
	default:
		return step{}, false
	}
}

func namesOf(fillings []hold.Filling) string {
	var names []string
	for _, f := range fillings {
		names = append(names, f.Pod.Namespace+"/"+f.Pod.Name+" "+f.Volume.Name)
	}
	return strings.Join(bounded(names), ", ")
}

// endLost ends volumes that no node agent has taken and whose pods are gone. The
// server does it itself, so that it is known from when on others may take over. One
// that an agent takes at this moment is the agent's.
func (r *Reconciler) endLost(ctx context.Context, o observed, s step) error {
	var errs []error
	for i := range s.volumes {
		v := s.volumes[i].DeepCopy()
		before := v.DeepCopy()
		now := metav1.Time{Time: o.now}
		v.Spec.Cancel = true
		v.Status.Phase, v.Status.CompletionTimestamp = velerov1.PodVolumeRestorePhaseCanceled, &now
		v.Status.Message = "the pod does not exist any more"
		meta.SetStatusCondition(&v.Status.Conditions, metav1.Condition{
			Type: velerov1.ConditionCompleted, Status: metav1.ConditionFalse, Reason: velerov1.ReasonPodGone, Message: v.Status.Message, LastTransitionTime: now,
		})
		err := r.Client.Patch(ctx, v, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("ending PodVolumeRestore %s: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

// follow makes volume restores into the pods that take over. Their names come from
// the pods, so that each is made once.
func (r *Reconciler) follow(ctx context.Context, o observed) error {
	var errs []error
	for _, f := range o.following.ready {
		errs = append(errs, r.followOne(ctx, o, f))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) followOne(ctx context.Context, o observed, f hold.Filling) error {
	claim := &corev1.PersistentVolumeClaim{}
	if f.Volume.Claim != "" {
		if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: f.Pod.Namespace, Name: f.Volume.Claim}, claim); err != nil {
			return fmt.Errorf("getting the claim of volume %s of pod %s/%s: %w", f.Volume.Name, f.Pod.Namespace, f.Pod.Name, err)
		}
	}
	var v *velerov1.PodVolumeRestore
	if n := len(f.Fills); n > 0 {
		v = nextVolumeRestore(&f.Fills[n-1], f, claim.UID)
	} else {
		first, err := r.firstVolumeRestore(ctx, o, f, claim.UID)
		if err != nil {
			return err
		}
		v = first
	}
	if err := r.Client.Create(ctx, v); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("creating PodVolumeRestore %s: %w", v.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Filling volume through another pod", "PodVolumeRestore", v.Name, "volume", volumeName(v))
	return nil
}

// nextVolumeRestore is one that goes on with an earlier one in another pod.
func nextVolumeRestore(last *velerov1.PodVolumeRestore, f hold.Filling, claim types.UID) *velerov1.PodVolumeRestore {
	owner := last.OwnerReferences[0]
	v := &velerov1.PodVolumeRestore{Spec: *last.Spec.DeepCopy()}
	v.Namespace = last.Namespace
	v.Name = volumeRestoreName(owner.Name, f.Pod.UID, f.Volume.Name)
	v.OwnerReferences = last.OwnerReferences
	v.Labels = map[string]string{
		velerov1.RestoreNameLabel: last.Labels[velerov1.RestoreNameLabel],
		velerov1.RestoreUIDLabel:  last.Labels[velerov1.RestoreUIDLabel],
		velerov1.PodUIDLabel:      string(f.Pod.UID),
	}
	v.Annotations = map[string]string{
		velerov1.VolumeSourceAnnotation: strings.TrimPrefix(hold.Source(last), last.Spec.Pod.Namespace+"/"),
	}
	if f.Pod.Owner != "" {
		v.Annotations[velerov1.PodOwnerAnnotation] = f.Pod.Owner
	}
	if f.Volume.Claim != "" {
		v.Annotations[velerov1.PVCNameAnnotation] = f.Volume.Claim
		v.Labels[velerov1.PVCUIDLabel] = string(claim)
	}
	v.Spec.Pod = corev1.ObjectReference{Kind: "Pod", Namespace: f.Pod.Namespace, Name: f.Pod.Name, UID: f.Pod.UID}
	v.Spec.Volume = f.Volume.Name
	v.Spec.Cancel = false
	return v
}

// firstVolumeRestore is one of a claim that nobody has begun to fill, because the
// pod that it was backed up with was left out.
func (r *Reconciler) firstVolumeRestore(ctx context.Context, o observed, f hold.Filling, claim types.UID) (*velerov1.PodVolumeRestore, error) {
	store, _, err := r.Locations.Store(ctx, o.backup.Spec.StorageLocation)
	if err != nil {
		return nil, waitForStorage("opening the storage location", err)
	}
	data, err := r.backupData(ctx, o.backup, store)
	if err != nil {
		return nil, err
	}
	b := newestOfClaim(data, items.Namespaces{Mapping: o.restore.Spec.NamespaceMapping}, types.NamespacedName{Namespace: f.Pod.Namespace, Name: f.Volume.Claim})
	if b == nil {
		return nil, outcome.Waitf(velerov1.ReasonRetrying, podLookInterval, "finding the data of claim %s/%s in backup %s: there is none",
			f.Pod.Namespace, f.Volume.Claim, o.backup.Name)
	}
	v := newVolumeRestore(volumeRestoreSource{
		restore: o.restore, backup: *b, location: o.backup.Spec.StorageLocation, owner: f.Pod.Owner, claim: f.Volume.Claim, claimUID: claim,
		pod: &corev1.Pod{},
	})
	v.Name = volumeRestoreName(o.restore.Name, f.Pod.UID, f.Volume.Name)
	v.Labels[velerov1.PodUIDLabel] = string(f.Pod.UID)
	v.Spec.Pod = corev1.ObjectReference{Kind: "Pod", Namespace: f.Pod.Namespace, Name: f.Pod.Name, UID: f.Pod.UID}
	v.Spec.Volume = f.Volume.Name
	return v, (&pass{Reconciler: r, backup: o.backup, repositories: map[string]bool{}}).ensureRepository(ctx, b.Spec.Pod.Namespace)
}

// newestOfClaim is the newest backup with data of a claim of the cluster.
func newestOfClaim(d backupData, namespaces items.Namespaces, claim types.NamespacedName) *velerov1.PodVolumeBackup {
	var newest *velerov1.PodVolumeBackup
	for i := range d.volumes { // oldest first
		b := &d.volumes[i]
		if b.Annotations[velerov1.PVCNameAnnotation] == claim.Name && b.Status.SnapshotID != "" &&
			namespaces.Target(b.Spec.Pod.Namespace) == claim.Namespace {
			newest = b
		}
	}
	return newest
}

// ofGatedPod returns the restore that a pod waits for.
func (r *Reconciler) ofGatedPod(ctx context.Context, pod *corev1.Pod) []reconcile.Request {
	restores := &velerov1.RestoreList{}
	if err := r.Client.List(ctx, restores, client.InNamespace(r.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing restores")
		return nil
	}
	for i := range restores.Items {
		if restore := &restores.Items[i]; restore.UID == gatedpods.RestoreOf(pod) && !restore.IsFinished() {
			return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(restore)}}
		}
	}
	return nil
}

// podComesOrGoes lets through what a restore must follow: pods that others have
// made, and pods that go away.
func podComesOrGoes() predicate.TypedPredicate[*corev1.Pod] {
	return predicate.TypedFuncs[*corev1.Pod]{
		CreateFunc: func(e event.TypedCreateEvent[*corev1.Pod]) bool {
			return e.Object.Labels[velerov1.RestoreNameLabel] == ""
		},
		UpdateFunc: func(e event.TypedUpdateEvent[*corev1.Pod]) bool {
			return e.ObjectOld.DeletionTimestamp.IsZero() != e.ObjectNew.DeletionTimestamp.IsZero() || e.ObjectOld.Status.Phase != e.ObjectNew.Status.Phase
		},
	}
}
