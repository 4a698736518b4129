package restore

import (
	"context"
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/layout"
)

// jobKind is the kind of the workloads that adopt pods by a generated selector.
var jobKind = schema.GroupKind{Group: "batch", Kind: "Job"}

// noteJob remembers the job of a restored pod, so that it is restored in a form in
// which it adopts the pod.
func (p *pass) noteJob(i item, f fate) {
	c := metav1.GetControllerOf(i.archived)
	if c == nil || f.own == nil || schema.FromAPIVersionAndKind(c.APIVersion, c.Kind).GroupKind() != jobKind {
		return
	}
	p.target.JobsWithPods[types.NamespacedName{Namespace: i.ref.Namespace, Name: c.Name}] = true
}

// countingKinds are the workloads that remove pods beyond the number they are to
// have.
var countingKinds = map[schema.GroupKind]bool{
	{Group: "apps", Kind: "ReplicaSet"}: true,
	{Kind: "ReplicationController"}:     true,
}

// leavesOutCrowded leaves out a pod whose workload is in the cluster and has all
// its pods: it would remove this one, or one that works.
func (p *pass) leavesOutCrowded(ctx context.Context, i item, volumes podVolumes) (bool, error) {
	namespace := i.prepared.GetNamespace()
	c := metav1.GetControllerOf(i.archived)
	if c == nil || p.fresh[namespace] {
		return false, nil
	}
	gvk := schema.FromAPIVersionAndKind(c.APIVersion, c.Kind)
	if !countingKinds[gvk.GroupKind()] {
		return false, nil
	}
	o := owner{gvk.GroupKind(), namespace, c.Name}
	if _, known := p.room[o]; !known {
		room, err := p.roomOf(ctx, gvk, types.NamespacedName{Namespace: namespace, Name: c.Name})
		if err != nil {
			return false, err
		}
		p.room[o] = room
	}
	if p.room[o] > 0 {
		p.room[o]--
		return false, nil
	}
	err := p.Client.Get(ctx, client.ObjectKeyFromObject(i.prepared), &corev1.Pod{})
	switch {
	case err == nil: // it is one of them, perhaps of an earlier pass
		return false, nil
	case !apierrors.IsNotFound(err):
		return false, fmt.Errorf("getting pod %s: %w", client.ObjectKeyFromObject(i.prepared), err)
	}
	p.reportCrowded(i, c, volumes)
	return true, nil
}

func (p *pass) reportCrowded(i item, c *metav1.OwnerReference, volumes podVolumes) {
	p.done(podKind, i.prepared.GetNamespace(), i.ref.Name, layout.RestoreActionSkipped)
	if len(volumes.restore) == 0 {
		p.log.Info("Leaving out item", "item", i.ref.String(), "reason", "its workload is in the cluster and has all its pods")
		return
	}
	p.podsSeen[types.NamespacedName{Namespace: i.ref.Namespace, Name: i.ref.Name}] = true
	p.log.Warn(i.entry(fmt.Sprintf("not restored, nor is its data: %s %q is in the cluster and has all its pods, so it would remove this one; "+
		"scale it to 0 and restore again, or restore into another namespace", c.Kind, c.Name), nil))
}

// roomOf returns how many pods a workload of the cluster lacks. One that is not
// there, or that this restore has made, takes what comes.
func (p *pass) roomOf(ctx context.Context, gvk schema.GroupVersionKind, name types.NamespacedName) (int, error) {
	existing := &unstructured.Unstructured{}
	existing.SetGroupVersionKind(gvk)
	err := p.Client.Get(ctx, client.ObjectKey(name), existing)
	switch {
	case apierrors.IsNotFound(err), err == nil && p.isOurs(existing):
		return math.MaxInt, nil
	case err != nil:
		return 0, fmt.Errorf("getting %s %s: %w", gvk.Kind, name, err)
	}
	wanted, found, _ := unstructured.NestedInt64(existing.Object, "spec", "replicas") // missing is 1
	if !found {
		wanted = 1
	}
	has, _, _ := unstructured.NestedInt64(existing.Object, "status", "replicas") // missing is none
	return int(wanted - has), nil
}
