package restore

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/layout"
)

// restoreVolume carries out the decision about one persistent volume. A volume
// without a restored claim is left out.
func (p *pass) restoreVolume(ctx context.Context, i item) error {
	pv := &corev1.PersistentVolume{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(i.archived.Object, pv); err != nil {
		p.log.Error(i.entry("not restored", err))
		return nil
	}
	namespace, name, bound := items.ClaimOf(pv)
	target := p.target.Namespaces.Target(namespace)
	if !bound || !p.target.Namespaces.Selects(namespace) || p.unusable[target] {
		p.log.Info("Leaving out item", "item", i.ref.String(), "reason", "no restored claim uses it")
		return nil
	}
	facts, err := p.volumeFacts(ctx, pv, types.NamespacedName{Namespace: target, Name: name})
	if err != nil {
		return err
	}
	d := items.DecideVolume(facts)
	p.log.Info("Decided about volume", "item", i.ref.String(), "action", string(d.Action))
	if d.Loss != "" {
		p.log.Error(i.entry(d.Loss, nil))
	}
	if d.Warning != "" && !p.isOurVolume(facts) {
		p.log.Warn(i.entry(d.Warning, nil))
	}
	p.target.KeptVolumes[pv.Name] = d.KeepsVolume()
	return p.executeVolume(ctx, i, facts, d)
}

// isOurVolume reports whether an earlier pass has created the volume; what a
// decision says about it then is no news.
func (p *pass) isOurVolume(f items.VolumeFacts) bool {
	return f.Existing != nil && p.isOurs(f.Existing)
}

func (p *pass) executeVolume(ctx context.Context, i item, f items.VolumeFacts, d items.VolumeDecision) error {
	switch {
	case d.Action == items.VolumeRestore:
		i.prepared, _ = p.target.Prepare(i.archived) // no volume is left out here
		_, err := p.ensure(ctx, i)
		return err
	case d.Action == items.VolumeRelease:
		if err := p.releaseVolume(ctx, f.Existing); err != nil {
			return err
		}
		p.done(volumeKind, "", i.ref.Name, layout.RestoreActionUpdated)
		return nil
	case p.isOurVolume(f):
		p.done(volumeKind, "", i.ref.Name, layout.RestoreActionCreated)
		return nil
	default:
		p.done(volumeKind, "", i.ref.Name, layout.RestoreActionSkipped)
		return nil
	}
}

func (p *pass) volumeFacts(ctx context.Context, pv *corev1.PersistentVolume, claim types.NamespacedName) (items.VolumeFacts, error) {
	f := items.VolumeFacts{Archived: pv, Data: p.dataOf(pv), Claim: claim, Provisioner: p.classes[pv.Spec.StorageClassName]}

	existing := &corev1.PersistentVolume{}
	switch err := p.Reader.Get(ctx, client.ObjectKey{Name: pv.Name}, existing); {
	case err == nil:
		f.Existing = existing
	case !apierrors.IsNotFound(err):
		return f, fmt.Errorf("getting PersistentVolume %s: %w", pv.Name, err)
	}
	existingClaim := &corev1.PersistentVolumeClaim{}
	switch err := p.Reader.Get(ctx, claim, existingClaim); {
	case err == nil:
		f.ClaimUID = existingClaim.UID
	case !apierrors.IsNotFound(err):
		return f, fmt.Errorf("getting PersistentVolumeClaim %s: %w", claim, err)
	}
	return f, nil
}

// releaseVolume frees a volume from a claim that is gone. The name of the claim
// stays, which reserves the volume for the restored claim.
func (p *pass) releaseVolume(ctx context.Context, pv *corev1.PersistentVolume) error {
	before := pv.DeepCopy()
	pv.Spec.ClaimRef.UID, pv.Spec.ClaimRef.ResourceVersion = "", ""
	if err := p.Client.Patch(ctx, pv, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("releasing PersistentVolume %s: %w", pv.Name, err)
	}
	return nil
}

// finishVolumes gives the volumes that were provisioned for restored claims the
// reclaim policy and the labels of those they replace. It is best effort: what
// fails is a warning.
func (r *Reconciler) finishVolumes(ctx context.Context, restore *velerov1.Restore, infos layout.VolumeInfoList) []string {
	var warnings []string
	namespaces := items.Namespaces{Included: restore.Spec.IncludedNamespaces, Excluded: restore.Spec.ExcludedNamespaces, Mapping: restore.Spec.NamespaceMapping}
	for _, info := range infos {
		if info.PVInfo == nil || info.PVCName == "" || info.BackupMethod != layout.BackupMethodPodVolumeBackup || !namespaces.Selects(info.PVCNamespace) {
			continue
		}
		claim := types.NamespacedName{Namespace: namespaces.Target(info.PVCNamespace), Name: info.PVCName}
		if err := r.finishVolume(ctx, restore, claim, *info.PVInfo); err != nil {
			warnings = append(warnings, fmt.Sprintf("the volume of claim %s keeps its own reclaim policy and labels: %s", claim, oneLine(err.Error())))
		}
	}
	return warnings
}

func (r *Reconciler) finishVolume(ctx context.Context, restore *velerov1.Restore, key types.NamespacedName, info layout.PVInfo) error {
	claim := &corev1.PersistentVolumeClaim{}
	if err := r.Reader.Get(ctx, key, claim); err != nil {
		return client.IgnoreNotFound(err)
	}
	if claim.Labels[velerov1.RestoreNameLabel] != velerov1.ValidLabelValue(restore.Name) || claim.Spec.VolumeName == "" {
		return nil // not restored here, or not bound
	}
	pv := &corev1.PersistentVolume{}
	if err := r.Reader.Get(ctx, client.ObjectKey{Name: claim.Spec.VolumeName}, pv); err != nil {
		return client.IgnoreNotFound(err)
	}
	before := pv.DeepCopy()
	setVolumeInfo(pv, info)
	return r.Client.Patch(ctx, pv, client.MergeFrom(before))
}

// setVolumeInfo changes a volume to what is remembered of the one it replaces.
func setVolumeInfo(pv *corev1.PersistentVolume, info layout.PVInfo) {
	if info.ReclaimPolicy != "" {
		pv.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimPolicy(info.ReclaimPolicy)
	}
	for key, value := range info.Labels {
		if pv.Labels == nil {
			pv.Labels = map[string]string{}
		}
		pv.Labels[key] = value
	}
}
