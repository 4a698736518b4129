package restore

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/layout"
)

// restoreVolume carries out the decision about one persistent volume. A volume
// of a claim that is not restored is left out, unless it holds the only copy of
// its data.
func (p *pass) restoreVolume(ctx context.Context, i item) error {
	pv := &corev1.PersistentVolume{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(i.archived.Object, pv); err != nil {
		p.log.Error(i.entry("not restored", err))
		return nil
	}
	namespace, name, bound := items.ClaimOf(pv)
	if bound {
		restored, err := p.selection.restoresClaim(namespace, name)
		if err != nil {
			p.log.Error(i.entry("not restored", err))
			return nil
		}
		bound = restored
	}
	if !bound {
		return p.restoreUnclaimed(ctx, i, pv)
	}
	target := p.target.Namespaces.Target(namespace)
	if p.unusable[target] {
		p.log.Info("Leaving out item", "item", i.ref.String(), "reason", "the namespace of its claim cannot be used")
		return nil
	}
	return p.restoreClaimed(ctx, i, pv, types.NamespacedName{Namespace: target, Name: name})
}

// restoreUnclaimed restores a volume that no restored claim uses, when it was to
// be retained: its data may be nowhere else.
func (p *pass) restoreUnclaimed(ctx context.Context, i item, pv *corev1.PersistentVolume) error {
	reason := p.selection.leavesOut(i.ref, i.archived)
	if reason == "" && pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimRetain {
		reason = "no restored claim uses it"
	}
	if reason != "" {
		p.log.Info("Leaving out item", "item", i.ref.String(), "reason", reason)
		return nil
	}
	i, _ = p.prepare(i) // no volume is left out here
	if p.lacksClass(i) {
		return nil
	}
	return p.enqueue(ctx, creation{item: i})
}

func (p *pass) restoreClaimed(ctx context.Context, i item, pv *corev1.PersistentVolume, claim types.NamespacedName) error {
	facts, err := p.volumeFacts(ctx, pv, claim)
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
		i, _ = p.prepare(i) // no volume is left out here
		if p.lacksClass(i) {
			return nil
		}
		return p.enqueue(ctx, creation{item: i})
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
	f := items.VolumeFacts{Archived: pv, Data: p.data.of(pv), Claim: claim, Class: pv.Spec.StorageClassName, Untouchable: !p.selection.touchesVolumes()}
	if class, ok := p.target.StorageClasses[f.Class]; ok {
		f.ClassChanged, f.Class = true, class
	}
	f.Provisioner = p.classes[f.Class]
	if wanted := p.restore.Spec.RestorePVs; wanted != nil && !*wanted && f.Data == items.DataSnapshot {
		f.Data = items.DataLeftOut
	}

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
