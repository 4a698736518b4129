package backup

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	corev1 "k8s.io/api/core/v1"

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

// owners finds the workloads of pods. Each intermediate workload is read once.
type owners struct {
	lister lister
	known  map[types.UID]volumeidentity.OwnerRef
}

func newOwners(l lister) *owners {
	return &owners{lister: l, known: map[types.UID]volumeidentity.OwnerRef{}}
}

// of returns the workload of a pod; zero when it has none.
func (o *owners) of(ctx context.Context, pod *corev1.Pod) (volumeidentity.OwnerRef, error) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return volumeidentity.OwnerRef{}, nil
	}
	direct := volumeidentity.OwnerRef{Kind: ref.Kind, Name: ref.Name}
	res, ok := intermediates[schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()]
	if !ok {
		return direct, nil
	}
	if owner, ok := o.known[ref.UID]; ok {
		return owner, nil
	}
	u, err := o.lister.get(ctx, res, pod.Namespace, ref.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return direct, err
	}
	owner := direct
	if err == nil {
		if above := metav1.GetControllerOf(u); above != nil {
			owner = volumeidentity.OwnerRef{Kind: above.Kind, Name: above.Name}
		}
	}
	o.known[ref.UID] = owner
	return owner, nil
}
