package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/hold"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/repositories"
)

// restorePod brings a pod on its way and, when it has data, its volume restores. A
// pod with data whose gate is missing does not stay.
func (p *pass) restorePod(ctx context.Context, i item) error {
	pod, err := toPod(i.archived)
	if err != nil {
		p.log.Error(i.entry("not restored", err))
		return nil
	}
	if !p.addInitHooks(i) {
		return nil
	}
	volumes := p.volumesOf(pod)
	if names := volumes.awaited(); len(names) > 0 {
		items.SetAnnotation(i.prepared, velerov1.RestoreVolumesAnnotation, strings.Join(names, ","))
		items.SetAnnotation(i.prepared, velerov1.InstallationAnnotation, p.restore.Namespace)
	}
	if shared := p.data.shared(pod); len(shared) > 0 && len(volumes.restore) == 0 && metav1.GetControllerOf(i.archived) != nil {
		p.log.Info("Leaving out item", "item", i.ref.String(), "reason", "its controller makes it, and it waits for the data of the shared claim")
		p.done(podKind, i.prepared.GetNamespace(), i.ref.Name, layout.RestoreActionSkipped)
		return nil
	}
	if crowded, err := p.leavesOutCrowded(ctx, i, volumes); crowded || err != nil {
		return err
	}
	return p.enqueue(ctx, creation{item: i, then: func(ctx context.Context, f fate) error { return p.afterPod(ctx, i, restoredPod{pod, volumes, f}) }})
}

// volumesOf decides which volumes of a pod of the archive are filled.
func (p *pass) volumesOf(pod *corev1.Pod) podVolumes {
	volumes := decideVolumes(pod, p.data.ofPod(pod.Namespace, pod.Name))
	if names := volumes.names(); len(names) > 0 && !p.selection.fillsVolumes() {
		return podVolumes{warnings: []string{fmt.Sprintf("volumes %s are not restored: the lists of resources leave out persistentvolumes or persistentvolumeclaims",
			strings.Join(names, ", "))}}
	}
	for _, name := range p.data.shared(pod) {
		claim := types.NamespacedName{Namespace: p.target.Namespaces.Target(pod.Namespace), Name: claimOf(pod, name)}
		if p.marked[claim] {
			volumes.shared = append(volumes.shared, name)
		}
	}
	return volumes
}

// restoredPod is a pod of the archive and what became of it.
type restoredPod struct {
	archived *corev1.Pod
	volumes  podVolumes
	fate     fate
}

// afterPod says what is known of a pod, and fills its volumes.
func (p *pass) afterPod(ctx context.Context, i item, r restoredPod) error {
	p.podsSeen[types.NamespacedName{Namespace: i.ref.Namespace, Name: i.ref.Name}] = true
	p.reportPod(i, r.archived, r.volumes)
	p.noteJob(i, r.fate)
	p.noteAdoptable(i, r)
	switch {
	case len(r.volumes.awaited()) == 0 && r.fate.own != nil:
		return p.addHooks(ctx, i, r.fate.own)
	case len(r.volumes.awaited()) == 0, r.fate.foreign && len(r.volumes.restore) == 0:
		return nil
	case r.fate.foreign:
		p.log.Warn(i.entry(fmt.Sprintf("volumes %s are not restored, because the pod was there before; delete the pod and restore again to get its data",
			strings.Join(r.volumes.names(), ", ")), nil))
		return nil
	case r.fate.own == nil: // it is tried again or has failed, and is in the results
		p.block(i.archived)
		return nil
	default:
		return p.restoreVolumesOf(ctx, i, r.fate.own, r.volumes)
	}
}

// reportPod says what is known about the pod's data before anything moves.
func (p *pass) reportPod(i item, pod *corev1.Pod, volumes podVolumes) {
	for _, warning := range volumes.warnings {
		p.log.Warn(i.entry(warning, nil))
	}
	for _, loss := range volumes.losses {
		p.log.Error(i.entry(loss, nil))
	}
	for _, v := range p.data.shared(pod) {
		if slices.Contains(volumes.shared, v) {
			continue
		}
		p.log.Warn(i.entry(fmt.Sprintf("volume %s is restored through another pod that shares its claim; this pod does not wait for the data", v), nil))
	}
}

// restoreVolumesOf checks the gate of a pod and makes its volume restores.
func (p *pass) restoreVolumesOf(ctx context.Context, i item, created *unstructured.Unstructured, volumes podVolumes) error {
	pod, err := toPod(created)
	if err != nil {
		return fmt.Errorf("reading created %s: %w", i.ref, err)
	}
	if gateErr := verifyGate(pod, volumes.awaited(), p.restore.UID); gateErr != nil {
		p.log.Error(i.entry("deleted again, because it would start without its data: the webhook podkeep-webhook did not hold it", gateErr))
		p.block(i.archived)
		p.undo(podKind)
		p.done(podKind, pod.Namespace, pod.Name, layout.RestoreActionFailed)
		return p.deletePod(ctx, pod)
	}
	if err := p.ensureRepository(ctx, i.ref.Namespace); err != nil {
		return err
	}
	for _, b := range volumes.restore {
		claim := claimOf(pod, b.Spec.Volume)
		uid, err := p.uidOf(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: claim})
		if err != nil {
			return err
		}
		v := newVolumeRestore(volumeRestoreSource{
			restore: p.restore, backup: b, location: p.backup.Spec.StorageLocation, pod: pod, owner: hold.OwnerOf(i.archived), claim: claim, claimUID: uid,
		})
		p.fills = append(p.fills, v)
	}
	p.log.Info("Waiting for volumes", "item", i.ref.String(), "volumes", strings.Join(volumes.awaited(), ","))
	return p.addHooks(ctx, i, created)
}

// createFills creates the volume restores of the pods of a batch.
func (p *pass) createFills(ctx context.Context) error {
	fills := p.fills
	p.fills = nil
	errs := make([]error, len(fills))
	workqueue.ParallelizeUntil(ctx, createWorkers, len(fills), func(n int) {
		if err := p.Client.Create(ctx, fills[n]); err != nil && !apierrors.IsAlreadyExists(err) {
			errs[n] = fmt.Errorf("creating PodVolumeRestore %s: %w", fills[n].Name, err)
		}
	})
	return errors.Join(append(errs, ctx.Err())...)
}

// uidOf returns the UID of a claim, "" when it does not exist or has no name. The
// webhook holds other pods off the claim by it.
func (p *pass) uidOf(ctx context.Context, claim types.NamespacedName) (types.UID, error) {
	if uid, ok := p.claims[claim]; ok || claim.Name == "" {
		return uid, nil
	}
	found := &corev1.PersistentVolumeClaim{}
	if err := p.Reader.Get(ctx, claim, found); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("getting PersistentVolumeClaim %s: %w", claim, err)
	}
	return found.UID, nil
}

// deletePod removes a pod before its containers do harm.
func (p *pass) deletePod(ctx context.Context, pod *corev1.Pod) error {
	err := p.Client.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// ensureRepository makes the BackupRepository that the volumes of a namespace of
// the backup are in. The node agent waits for it to be ready.
func (p *pass) ensureRepository(ctx context.Context, namespace string) error {
	if p.repositories[namespace] {
		return nil
	}
	err := p.Client.Create(ctx, repositories.New(p.Namespace, namespace, p.backup.Spec.StorageLocation))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating BackupRepository of namespace %s: %w", namespace, err)
	}
	p.repositories[namespace] = true
	return nil
}

func toPod(obj *unstructured.Unstructured) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, pod); err != nil {
		return nil, fmt.Errorf("reading the pod: %w", err)
	}
	return pod, nil
}
