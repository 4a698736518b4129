package backup

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/volumeidentity"
)

// intermediates are the workloads that have a new name with every rollout or
// run, and whose own controller is what lasts.
var intermediates = map[schema.GroupKind]resource{
	{Group: "apps", Kind: "ReplicaSet"}: {
		GroupVersionResource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}, kind: "ReplicaSet",
	},
	{Group: "batch", Kind: "Job"}: {
		GroupVersionResource: schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, kind: "Job",
	},
}

// owners finds the workloads of pods. Each intermediate workload is read once;
// when many have been read, the metadata of all others of the kind are listed.
type owners struct {
	lister lister
	reader client.Reader

	known map[types.UID]volumeidentity.OwnerRef
	gets  map[schema.GroupKind]int
}

func newOwners(l lister, reader client.Reader) *owners {
	return &owners{lister: l, reader: reader, known: map[types.UID]volumeidentity.OwnerRef{}, gets: map[schema.GroupKind]int{}}
}

// of returns the workload of a pod; zero when it has none.
func (o *owners) of(ctx context.Context, pod *corev1.Pod) (volumeidentity.OwnerRef, error) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return volumeidentity.OwnerRef{}, nil
	}
	direct := volumeidentity.OwnerRef{Kind: ref.Kind, Name: ref.Name}
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	res, ok := intermediates[kind]
	if !ok {
		return direct, nil
	}
	if owner, ok := o.known[ref.UID]; ok {
		return owner, nil
	}
	if o.gets[kind]++; o.gets[kind] == maxGets {
		if err := o.list(ctx, res); err != nil {
			return direct, err
		}
		if owner, ok := o.known[ref.UID]; ok {
			return owner, nil
		}
	}
	u, err := o.lister.get(ctx, res, pod.Namespace, ref.Name)
	switch {
	case apierrors.IsNotFound(err):
		o.known[ref.UID] = direct
	case err != nil:
		return direct, err
	default:
		o.learn(u, direct)
	}
	return o.known[ref.UID], nil
}

// list learns all workloads of a kind.
func (o *owners) list(ctx context.Context, res resource) error {
	page := &metav1.PartialObjectMetadataList{}
	for {
		page.SetGroupVersionKind(res.GroupVersion().WithKind(res.kind + "List"))
		err := o.lister.retry(ctx, func() error {
			return o.reader.List(ctx, page, client.Limit(largestPage), client.Continue(page.GetContinue()))
		})
		if err != nil {
			return fmt.Errorf("listing metadata of %s: %w", res.GroupResource(), err)
		}
		for i := range page.Items {
			o.learn(&page.Items[i], volumeidentity.OwnerRef{Kind: res.kind, Name: page.Items[i].Name})
		}
		if page.GetContinue() == "" {
			return nil
		}
	}
}

// learn remembers what controls a workload; the workload itself when nothing does.
func (o *owners) learn(workload metav1.Object, itself volumeidentity.OwnerRef) {
	owner := itself
	if above := metav1.GetControllerOf(workload); above != nil {
		owner = volumeidentity.OwnerRef{Kind: above.Kind, Name: above.Name}
	}
	o.known[workload.GetUID()] = owner
}
