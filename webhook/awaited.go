package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hold"
	"github.com/podkeep/podkeep/internal/selection"
)

// awaitedVolume is a volume of a pod with which a restore is not done.
type awaitedVolume struct {
	name  string
	claim string // "" for a volume of the pod alone

	// restore is the one that goes on and fills the volume, or may. nil: none does.
	restore *velerov1.Restore

	// incomplete is the label of the restore that has left the claim without all of
	// its data, "" when none has.
	incomplete string
}

// awaiting finds out what the volumes of pods wait for. All of it is in caches;
// the API server is asked for what is so new that they lack it.
type awaiting struct {
	cache client.Reader // claims, namespaces (metadata); restores and pod volume restores of namespace
	live  client.Reader // the API server itself

	namespace string // of the install
}

// activeRestore is a restore that goes on, and its volume restores. Nobody changes
// them: they are those of the cache.
type activeRestore struct {
	restore *velerov1.Restore
	fills   []velerov1.PodVolumeRestore
}

// of returns the volumes of a pod with which a restore is not done, in the order of
// the pod.
func (a *awaiting) of(ctx context.Context, r review) ([]awaitedVolume, error) {
	active, err := a.active(ctx)
	if err != nil {
		return nil, err
	}
	var all []awaitedVolume
	for _, v := range r.pod.Spec.Volumes {
		claim, ok := selection.ClaimName(r.pod, v)
		w := awaitedVolume{name: v.Name, claim: claim}
		switch {
		case v.PersistentVolumeClaim != nil:
			err = a.setClaim(ctx, r, active, &w)
		case !ok && isFillable(v):
			w.restore = continued(r, v.Name, active)
		}
		if err != nil {
			return nil, err
		}
		if w.restore != nil || w.incomplete != "" {
			all = append(all, w)
		}
	}
	return all, nil
}

// isFillable reports whether a volume without a claim may have data in a backup.
func isFillable(v corev1.Volume) bool {
	return v.Secret == nil && v.ConfigMap == nil && v.Projected == nil && v.DownwardAPI == nil && v.HostPath == nil && v.Ephemeral == nil
}

// active returns the restores that go on.
func (a *awaiting) active(ctx context.Context) ([]activeRestore, error) {
	restores := &velerov1.RestoreList{}
	if err := a.cache.List(ctx, restores, client.InNamespace(a.namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing restores: %w", err)
	}
	var active []activeRestore
	for i := range restores.Items {
		restore := &restores.Items[i]
		if restore.IsFinished() {
			continue
		}
		fills := &velerov1.PodVolumeRestoreList{}
		err := a.cache.List(ctx, fills, client.InNamespace(a.namespace), client.UnsafeDisableDeepCopy,
			client.MatchingLabels{velerov1.RestoreUIDLabel: string(restore.UID)})
		if err != nil {
			return nil, fmt.Errorf("listing the volumes of restore %s: %w", restore.Name, err)
		}
		active = append(active, activeRestore{restore: restore, fills: fills.Items})
	}
	return active, nil
}

// continued returns the restore that fills, or was to fill, the volume of a pod
// whose controller has made this one as well. Whether this pod takes its place is
// decided later, when it is known whether the other one is gone.
func continued(r review, volume string, active []activeRestore) *velerov1.Restore {
	pod := &hold.Pod{Namespace: r.namespace, Name: r.pod.Name, Owner: hold.OwnerOf(r.pod)}
	for _, a := range active {
		unstarted := map[types.UID]bool{} // pods with a volume that is not restored
		for i := range a.fills {
			if a.fills[i].Status.Phase != velerov1.PodVolumeRestorePhaseCompleted {
				unstarted[a.fills[i].Spec.Pod.UID] = true
			}
		}
		for i := range a.fills {
			if f := &a.fills[i]; unstarted[f.Spec.Pod.UID] && hold.Continues(pod, volume, f) {
				return a.restore
			}
		}
	}
	return nil
}

// setClaim finds out which restore fills the claim of a volume.
func (a *awaiting) setClaim(ctx context.Context, r review, active []activeRestore, w *awaitedVolume) error {
	claim, err := a.claim(ctx, types.NamespacedName{Namespace: r.namespace, Name: w.claim})
	if err != nil {
		return err
	}
	if claim == nil {
		w.restore, err = a.expected(ctx, r, active)
		return err
	}
	if w.restore = filling(claim, active); w.restore != nil {
		return nil
	}
	if w.restore, err = a.filledBy(ctx, claim, active); w.restore != nil || err != nil {
		return err
	}
	w.incomplete = claim.Labels[velerov1.RestoreIncompleteLabel]
	return nil
}

// claim returns a claim, nil when it does not exist. One that is not in the cache
// may just have been restored, so the API server is asked once.
func (a *awaiting) claim(ctx context.Context, name types.NamespacedName) (*corev1.PersistentVolumeClaim, error) {
	for _, reader := range []client.Reader{a.cache, a.live} {
		c := &corev1.PersistentVolumeClaim{}
		err := reader.Get(ctx, name, c)
		switch {
		case err == nil:
			return c, nil
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("getting claim %s: %w", name, err)
		}
	}
	return nil, nil
}

// filling returns the restore that is writing into a claim, or is about to.
func filling(claim *corev1.PersistentVolumeClaim, active []activeRestore) *velerov1.Restore {
	for _, a := range active {
		for i := range a.fills {
			if f := &a.fills[i]; f.Labels[velerov1.PVCUIDLabel] == string(claim.UID) && !f.IsFinished() {
				return a.restore
			}
		}
	}
	return nil
}

// filledBy returns the restore that has made a claim to fill it, nil when that has
// ended. A cache that does not know it is behind, or it was deleted.
func (a *awaiting) filledBy(ctx context.Context, claim *corev1.PersistentVolumeClaim, active []activeRestore) (*velerov1.Restore, error) {
	uid := types.UID(claim.Annotations[velerov1.FilledByAnnotation])
	if uid == "" {
		return nil, nil
	}
	for _, known := range active {
		if known.restore.UID == uid {
			return known.restore, nil
		}
	}
	for _, reader := range []client.Reader{a.cache, a.live} {
		restore, err := findRestore(ctx, reader, a.namespace, claim.Labels[velerov1.RestoreNameLabel])
		switch {
		case err != nil:
			return nil, fmt.Errorf("finding the restore of claim %s/%s: %w", claim.Namespace, claim.Name, err)
		case restore != nil && restore.UID == uid && restore.IsFinished():
			return nil, nil
		case restore != nil && restore.UID == uid:
			return restore, nil
		}
	}
	return nil, nil
}

// expected returns the restore that may still make a claim that does not exist: the
// one that goes on in the namespace. It does not wait for claims that it does not
// make.
func (a *awaiting) expected(ctx context.Context, r review, active []activeRestore) (*velerov1.Restore, error) {
	if r.pod.Labels[velerov1.RestoreNameLabel] != "" {
		return nil, nil // the restore makes pods after claims
	}
	ns := namespaceMetadata()
	for _, reader := range []client.Reader{a.cache, a.live} {
		err := reader.Get(ctx, types.NamespacedName{Name: r.namespace}, ns)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("getting namespace %s: %w", r.namespace, err)
		}
		if restore := restoring(ns, active); restore != nil {
			return restore, nil
		}
		if ns.Labels[velerov1.RestoringLabel] != "" {
			return nil, nil // by a restore that is over, or another installation's
		}
	}
	return nil, nil
}

func restoring(ns *metav1.PartialObjectMetadata, active []activeRestore) *velerov1.Restore {
	for _, a := range active {
		if velerov1.ValidLabelValue(a.restore.Name) == ns.Labels[velerov1.RestoringLabel] {
			return a.restore
		}
	}
	return nil
}
