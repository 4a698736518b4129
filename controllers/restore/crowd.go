package restore

import (
	"context"
	"fmt"
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
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

const (
	// adoptionTime is how long pods with data are there before their workloads are
	// created. A workload whose controller does not know a pod yet makes another one,
	// and then removes the one of the two that is not running: the restored one. On a
	// machine of two busy cores controllers were 0.2 s behind. The data moves
	// meanwhile.
	adoptionTime = 2 * time.Second

	adoptionPoll = 50 * time.Millisecond
)

// noteAdoptable remembers when a pod was created that a workload is to adopt.
func (p *pass) noteAdoptable(i item, r restoredPod) {
	if r.fate.own == nil || len(r.volumes.restore) == 0 || metav1.GetControllerOf(i.archived) == nil {
		return
	}
	if created := r.fate.own.GetCreationTimestamp(); created.After(p.youngest) {
		p.youngest = created.Time
	}
}

// letControllersSee waits until controllers know the pods with data.
func (p *pass) letControllersSee(ctx context.Context) error {
	if p.youngest.IsZero() || len(p.postponed) > 0 {
		return nil
	}
	// The API server cuts off fractions of a second.
	err := wait.PollUntilContextTimeout(ctx, adoptionPoll, adoptionTime+time.Second, true, func(ctx context.Context) (bool, error) {
		return p.Clock.Now().Sub(p.youngest) > adoptionTime+time.Second, p.tick(ctx)
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return nil
	}
	return err
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
