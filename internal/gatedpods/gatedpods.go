// Package gatedpods watches the pods that carry the gate of a restore.
//
// They are found by a label that the webhook puts on them, so that nothing is kept
// of any other pod of the cluster, and of these only what is looked at: a few
// hundred bytes each. The restore controller and the gate controller share it.
package gatedpods

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
)

// Pods are the pods with a gate.
type Pods struct {
	// Reader finds them: the cache that is watched, or in tests an API server.
	Reader client.Reader

	// Namespace is that of the install. The pods of others are left out.
	Namespace string

	cache cache.Cache // nil when nothing is watched
}

// New watches the pods with a gate of the whole cluster for a manager.
func New(mgr ctrl.Manager, installNamespace string) (*Pods, error) {
	gated, err := labels.NewRequirement(velerov1.GatedByLabel, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("selecting pods with a gate: %w", err)
	}
	c, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {Label: labels.NewSelector().Add(*gated), Transform: strip},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache of pods with a gate: %w", err)
	}
	if err := mgr.Add(c); err != nil {
		return nil, fmt.Errorf("adding the cache of pods with a gate: %w", err)
	}
	return &Pods{Reader: c, Namespace: installNamespace, cache: c}, nil
}

// Of returns the pods with the gate of a restore. Nobody may change them.
func (p *Pods) Of(ctx context.Context, restore types.UID) ([]corev1.Pod, error) {
	return p.From(ctx, p.Reader, restore)
}

// From is Of by another reader, such as one of the API server.
func (p *Pods) From(ctx context.Context, reader client.Reader, restore types.UID) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := reader.List(ctx, list, client.MatchingLabels{velerov1.GatedByLabel: string(restore)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing pods that wait for restore %s: %w", restore, err)
	}
	var ours []corev1.Pod
	for _, pod := range list.Items {
		if pod.Annotations[velerov1.InstallationAnnotation] == p.Namespace {
			ours = append(ours, pod)
		}
	}
	return ours, nil
}

// Source makes a controller look at what enqueue returns for a pod, after the
// events that the predicates let through.
func (p *Pods) Source(enqueue func(context.Context, *corev1.Pod) []reconcile.Request, predicates ...predicate.TypedPredicate[*corev1.Pod]) source.Source {
	return source.Kind(p.cache, &corev1.Pod{}, handler.TypedEnqueueRequestsFromMapFunc(enqueue), predicates...)
}

// RestoreOf is the UID of the restore that a pod waits for.
func RestoreOf(pod *corev1.Pod) types.UID { return types.UID(pod.Labels[velerov1.GatedByLabel]) }

// strip keeps whose pod it is, what its gate waits for, what it was told, and how
// its containers stand.
func strip(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil // a tombstone
	}
	short := &corev1.Pod{
		TypeMeta: pod.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
			Labels: pick(pod.Labels, velerov1.GatedByLabel, velerov1.RestoreNameLabel),
			Annotations: pick(pod.Annotations, velerov1.RestoreVolumesAnnotation, velerov1.RestoredVolumesAnnotation, velerov1.RestoreFailedAnnotation,
				velerov1.InstallationAnnotation),
		},
		Spec:   corev1.PodSpec{NodeName: pod.Spec.NodeName},
		Status: corev1.PodStatus{Phase: pod.Status.Phase},
	}
	if c := metav1.GetControllerOf(pod); c != nil {
		short.OwnerReferences = []metav1.OwnerReference{*c}
	}
	short.Spec.InitContainers = gatesOf(pod)
	short.Spec.Volumes = claimVolumesOf(pod)
	for _, s := range pod.Status.InitContainerStatuses {
		if injector.IsGate(corev1.Container{Name: s.Name}) {
			short.Status.InitContainerStatuses = append(short.Status.InitContainerStatuses, stateOf(s))
		}
	}
	for _, s := range pod.Status.ContainerStatuses {
		short.Status.ContainerStatuses = append(short.Status.ContainerStatuses, stateOf(s))
	}
	return short, nil
}

func gatesOf(pod *corev1.Pod) []corev1.Container {
	var gates []corev1.Container
	for _, c := range pod.Spec.InitContainers {
		if injector.IsGate(c) {
			gates = append(gates, corev1.Container{Name: c.Name, Args: c.Args})
		}
	}
	return gates
}

// claimVolumesOf are the volumes with a claim.
func claimVolumesOf(pod *corev1.Pod) []corev1.Volume {
	var volumes []corev1.Volume
	for _, v := range pod.Spec.Volumes {
		short := corev1.Volume{Name: v.Name}
		switch {
		case v.PersistentVolumeClaim != nil:
			short.PersistentVolumeClaim = v.PersistentVolumeClaim
		case v.Ephemeral != nil:
			short.Ephemeral = &corev1.EphemeralVolumeSource{}
		default:
			continue
		}
		volumes = append(volumes, short)
	}
	return volumes
}

func stateOf(s corev1.ContainerStatus) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: s.Name, State: s.State, LastTerminationState: s.LastTerminationState}
}

func pick(all map[string]string, keys ...string) map[string]string {
	some := map[string]string{}
	for _, key := range keys {
		if value, ok := all[key]; ok {
			some[key] = value
		}
	}
	return some
}
