package restore

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hold"
)

// fillsClaim reports whether the restore fills a claim of the archive: its data is
// in the backup, and so is the pod through which it is filled. The claim says so
// from the moment it is made, so that no pod starts on it before.
func (p *pass) fillsClaim(namespace, name string) bool {
	if !p.selection.fillsVolumes() || p.selection.leavesOutKind(podsResource) != "" {
		return false
	}
	for _, b := range p.data.byClaim[types.NamespacedName{Namespace: namespace, Name: name}] {
		if b.Status.SnapshotID == "" || b.Spec.UploaderType != "" && b.Spec.UploaderType != velerov1.BackupRepositoryTypeKopia {
			continue
		}
		ref := p.archive.Item(podsResource, b.Spec.Pod.Namespace, b.Spec.Pod.Name)
		archived, err := ref.Read()
		if err != nil || p.selection.leavesOut(ref, archived) != "" {
			continue // one that cannot be read is reported when it is restored
		}
		if _, reason := p.target.Prepare(archived); reason == "" {
			return true
		}
	}
	return false
}

// markClaims labels the claims that a restore leaves without all of their data, so
// that no pod starts on them, and takes the label off those that it has filled.
// claims are those that it has made; nil lets them be listed.
func (r *Reconciler) markClaims(ctx context.Context, o observed, claims map[types.NamespacedName]*corev1.PersistentVolumeClaim) error {
	if !isStarted(o.restore) {
		return nil
	}
	var err error
	if claims == nil {
		if claims, err = r.restoredClaims(ctx, o.restore); err != nil {
			return err
		}
	}
	fills := fillsOfClaims(o.volumes)
	for key := range fills {
		if _, ok := claims[key]; ok {
			continue
		}
		claim := &corev1.PersistentVolumeClaim{}
		if err := r.Reader.Get(ctx, key, claim); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("getting PersistentVolumeClaim %s: %w", key, err)
		}
		claims[key] = claim
	}
	var errs []error
	for key, claim := range claims {
		errs = append(errs, r.markClaim(ctx, o.restore, claim, fills[key]))
	}
	return errors.Join(errs...)
}

// claimFills is what a restore has done to a claim.
type claimFills struct {
	begun  bool // files may have been written
	filled bool // all data is there
}

// fillsOfClaims says for each claim that was filled, or was to be, how far it came.
func fillsOfClaims(volumes []velerov1.PodVolumeRestore) map[types.NamespacedName]claimFills {
	done := doneSources(volumes)
	all := map[types.NamespacedName]claimFills{}
	for _, v := range volumes {
		claim := v.Annotations[velerov1.PVCNameAnnotation]
		if claim == "" {
			continue
		}
		key := types.NamespacedName{Namespace: v.Spec.Pod.Namespace, Name: claim}
		f, seen := all[key]
		f.begun = f.begun || v.Status.StartTimestamp != nil
		f.filled = (f.filled || !seen) && done[hold.Source(&v)]
		all[key] = f
	}
	return all
}

// doneSources says of each volume of the backup whether its data is in place.
func doneSources(volumes []velerov1.PodVolumeRestore) map[string]bool {
	done := map[string]bool{}
	for _, v := range volumes {
		source := hold.Source(&v)
		done[source] = done[source] || v.Status.Phase == velerov1.PodVolumeRestorePhaseCompleted
	}
	return done
}

func (r *Reconciler) markClaim(ctx context.Context, restore *velerov1.Restore, claim *corev1.PersistentVolumeClaim, f claimFills) error {
	_, marked := claim.Labels[velerov1.RestoreIncompleteLabel]
	concerned := f.begun || claim.Annotations[velerov1.FilledByAnnotation] == string(restore.UID)
	if claim.UID == "" || claim.DeletionTimestamp != nil || !concerned || marked == !f.filled {
		return nil
	}
	before := claim.DeepCopy()
	if f.filled {
		delete(claim.Labels, velerov1.RestoreIncompleteLabel)
	} else {
		claim.Labels = withAll(claim.Labels, map[string]string{velerov1.RestoreIncompleteLabel: velerov1.ValidLabelValue(restore.Name)})
	}
	if err := r.Client.Patch(ctx, claim, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("labelling PersistentVolumeClaim %s: %w", client.ObjectKeyFromObject(claim), err)
	}
	return nil
}

// incompleteNamespaces are the namespaces with claims that any restore has left
// without all of their data.
func (r *Reconciler) incompleteNamespaces(ctx context.Context) (map[string]bool, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaimList"))
	if err := r.Reader.List(ctx, list, client.HasLabels{velerov1.RestoreIncompleteLabel}); err != nil {
		return nil, fmt.Errorf("listing PersistentVolumeClaims without all of their data: %w", err)
	}
	namespaces := map[string]bool{}
	for _, claim := range list.Items {
		namespaces[claim.Namespace] = true
	}
	return namespaces, nil
}
