package restore

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/repositories"
)

// restorePod creates a pod and, when it has data, its volume restores. A pod with
// data whose gate is missing does not stay.
func (p *pass) restorePod(ctx context.Context, i item) error {
	pod, err := toPod(i.archived)
	if err != nil {
		p.log.Error(i.entry("not restored", err))
		return nil
	}
	volumes := decideVolumes(pod, p.volumesOf(i.ref.Namespace, i.ref.Name))
	if names := volumes.names(); len(names) > 0 {
		items.SetAnnotation(i.prepared, velerov1.RestoreVolumesAnnotation, strings.Join(names, ","))
		items.SetAnnotation(i.prepared, velerov1.InstallationAnnotation, p.restore.Namespace)
	}
	if shared := p.sharedVolumes(pod); len(shared) > 0 && len(volumes.restore) == 0 && metav1.GetControllerOf(i.archived) != nil {
		p.log.Info("Leaving out item", "item", i.ref.String(), "reason", "its controller makes it when the data of the shared claim is in place")
		p.done(podKind, i.prepared.GetNamespace(), i.ref.Name, layout.RestoreActionSkipped)
		return nil
	}
	f, err := p.ensurePod(ctx, i)
	if err != nil {
		return err
	}
	p.podsSeen[types.NamespacedName{Namespace: i.ref.Namespace, Name: i.ref.Name}] = true
	p.reportPod(i, pod, volumes)
	switch {
	case len(volumes.restore) == 0:
		return nil
	case f.foreign:
		p.log.Warn(i.entry(fmt.Sprintf("volumes %s are not restored, because the pod was there before; delete the pod and restore again to get its data",
			strings.Join(volumes.names(), ", ")), nil))
		return nil
	case f.own == nil: // it is tried again or has failed, and is in the results
		p.block(i.archived)
		return nil
	default:
		return p.restoreVolumesOf(ctx, i, f.own, volumes)
	}
}

// ensurePod creates a pod, unless the webhook has not answered in this pass: every
// try would take its timeout again.
func (p *pass) ensurePod(ctx context.Context, i item) (fate, error) {
	if p.webhookErr == nil {
		return p.ensure(ctx, i)
	}
	p.refuse(i, p.webhookErr)
	return fate{}, nil
}

// reportPod says what is known about the pod's data before anything moves.
func (p *pass) reportPod(i item, pod *corev1.Pod, volumes podVolumes) {
	for _, warning := range volumes.warnings {
		p.log.Warn(i.entry(warning, nil))
	}
	for _, loss := range volumes.losses {
		p.log.Error(i.entry(loss, nil))
	}
	for _, v := range p.sharedVolumes(pod) {
		p.log.Warn(i.entry(fmt.Sprintf("volume %s is restored through another pod that shares its claim; this pod does not wait for the data", v), nil))
	}
}

// sharedVolumes are the volumes of a pod without a backup of their own whose
// claim is restored through another pod: a shared claim is backed up once.
func (p *pass) sharedVolumes(pod *corev1.Pod) []string {
	var shared []string
	for _, v := range pod.Spec.Volumes {
		claim := claimOf(pod, v.Name)
		if claim == "" {
			continue
		}
		own, others := false, false
		for _, b := range p.volumes {
			if b.Spec.Pod.Namespace != pod.Namespace || b.Annotations[velerov1.PVCNameAnnotation] != claim || b.Status.SnapshotID == "" {
				continue
			}
			own = own || b.Spec.Pod.Name == pod.Name
			others = others || b.Spec.Pod.Name != pod.Name
		}
		if others && !own {
			shared = append(shared, v.Name)
		}
	}
	return shared
}

// restoreVolumesOf checks the gate of a pod and makes its volume restores.
func (p *pass) restoreVolumesOf(ctx context.Context, i item, created *unstructured.Unstructured, volumes podVolumes) error {
	pod, err := toPod(created)
	if err != nil {
		return fmt.Errorf("reading created %s: %w", i.ref, err)
	}
	if gateErr := verifyGate(pod, volumes.names(), p.restore.UID); gateErr != nil {
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
			restore: p.restore, backup: b, location: p.backup.Spec.StorageLocation, pod: pod, claim: claim, claimUID: uid,
		})
		if err := p.Client.Create(ctx, v); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("creating PodVolumeRestore of %s %s: %w", i.ref, b.Spec.Volume, err)
		}
	}
	p.log.Info("Waiting for volumes", "item", i.ref.String(), "volumes", strings.Join(volumes.names(), ","))
	return nil
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
