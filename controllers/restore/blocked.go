package restore

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/podkeep/podkeep/internal/archive"
	"github.com/podkeep/podkeep/internal/itemlog"
	"github.com/podkeep/podkeep/internal/layout"
)

// owner is a workload of the archive.
type owner struct {
	kind            schema.GroupKind
	namespace, name string
}

// block keeps the workload that an object belongs to from being restored: it
// would replace a pod whose data could not be restored by one that starts without
// data. Workloads come after pods, and Deployments after ReplicaSets, in the
// order.
func (p *pass) block(archived *unstructured.Unstructured) {
	if c := metav1.GetControllerOf(archived); c != nil {
		kind := schema.FromAPIVersionAndKind(c.APIVersion, c.Kind).GroupKind()
		p.blocked[owner{kind, archived.GetNamespace(), c.Name}] = true
	}
}

// refuseBlocked records a workload that is not restored, and blocks its owner.
func (p *pass) refuseBlocked(ref archive.ItemRef, archived *unstructured.Unstructured) {
	target := p.target.Namespaces.Target(ref.Namespace)
	p.block(archived)
	p.log.Error(itemlog.Entry{Namespace: target, Resource: ref.GroupResource.String(), Name: ref.Name,
		Message: "not restored, because it would start pods without the data that could not be restored"})
	p.done(archived.GroupVersionKind(), target, ref.Name, layout.RestoreActionFailed)
}
