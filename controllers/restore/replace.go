package restore

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
)

// restoredClaims returns the claims that a restore has made, in a few requests
// whatever their number.
func (r *Reconciler) restoredClaims(ctx context.Context, restore *velerov1.Restore) (map[types.NamespacedName]*corev1.PersistentVolumeClaim, error) {
	claims := map[types.NamespacedName]*corev1.PersistentVolumeClaim{}
	page := ""
	for {
		list := &corev1.PersistentVolumeClaimList{}
		if err := r.Reader.List(ctx, list, client.Limit(pageSize), client.Continue(page),
			client.MatchingLabels{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(restore.Name)}); err != nil {
			return nil, fmt.Errorf("listing restored PersistentVolumeClaims: %w", err)
		}
		for n := range list.Items {
			claims[client.ObjectKeyFromObject(&list.Items[n])] = &list.Items[n]
		}
		if page = list.Continue; page == "" {
			return claims, nil
		}
	}
}

// finishVolumes gives the volumes that were provisioned for restored claims the
// reclaim policy and the labels of those they replace. It is best effort: what
// fails is a warning.
func (r *Reconciler) finishVolumes(ctx context.Context, f finishing, infos layout.VolumeInfoList) {
	namespaces := items.Namespaces{Mapping: f.o.restore.Spec.NamespaceMapping}
	for _, info := range infos {
		if info.PVInfo == nil || info.PVCName == "" || info.BackupMethod != layout.BackupMethodPodVolumeBackup {
			continue
		}
		key := types.NamespacedName{Namespace: namespaces.Target(info.PVCNamespace), Name: info.PVCName}
		claim, restored := f.claims[key]
		switch {
		case !restored:
		case claim.Spec.VolumeName == "":
			f.log.Info("Leaving volume as its class makes it", "claim", key.String(), "reason", "the claim is not bound")
		default:
			if err := r.finishVolume(ctx, claim, *info.PVInfo); err != nil {
				f.log.WarnOnce(itemlog.Entry{Cluster: true, Resource: volumesResource.Resource, Name: claim.Spec.VolumeName, Message: fmt.Sprintf(
					"the volume of claim %s keeps its own reclaim policy and labels", key), Err: err})
			}
		}
	}
}

func (r *Reconciler) finishVolume(ctx context.Context, claim *corev1.PersistentVolumeClaim, info layout.PVInfo) error {
	pv := &corev1.PersistentVolume{}
	if err := r.Reader.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, pv); err != nil {
		return client.IgnoreNotFound(err)
	}
	before := pv.DeepCopy()
	setVolumeInfo(pv, info)
	if equality.Semantic.DeepEqual(before, pv) {
		return nil
	}
	return r.Client.Patch(ctx, pv, client.MergeFrom(before))
}

// setVolumeInfo changes a volume to what is remembered of the one it replaces.
func setVolumeInfo(pv *corev1.PersistentVolume, info layout.PVInfo) {
	if info.ReclaimPolicy != "" {
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimPolicy(info.ReclaimPolicy)
	}
	if len(info.Labels) > 0 && pv.Labels == nil {
		pv.Labels = map[string]string{}
	}
	maps.Copy(pv.Labels, info.Labels)
}
