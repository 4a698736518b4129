package injector

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/podkeep/podkeep/internal/gateconfig"
)

// gateResources are the resources that the gate takes from the application. A quota
// or a LimitRange can demand all three of them.
var gateResources = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}

// leastMemory is what a gate can work with: restore-wait takes up to 8 MB.
var leastMemory = resource.MustParse("16Mi")

// resources returns requests and limits of the gate, each resource for itself: those
// of the ConfigMap, otherwise those of the application, otherwise the defaults.
//
//	ConfigMap   application   pod      gate
//	set         –             –        the ConfigMap's
//	not set     set           –        the application's; a memory limit of 16Mi at least
//	not set     not set       set      none: it has its share of the pod's
//	not set     not set       not set  the defaults
//
// What the application has passes the LimitRange of its namespace, and the gate ends
// before the application starts, so the pod asks for no more than it does without
// the gate: it fits into its quota, on its node, and keeps its class of service.
func resources(pod *corev1.Pod, app corev1.Container, config gateconfig.Config) corev1.ResourceRequirements {
	r := *config.Resources.DeepCopy()
	for _, name := range gateResources {
		switch {
		case slices.Contains(config.ConfiguredResources, name):
		case has(app.Resources, name):
			take(r.Requests, app.Resources.Requests, name)
			take(r.Limits, app.Resources.Limits, name)
		case pod.Spec.Resources != nil && has(*pod.Spec.Resources, name):
			delete(r.Requests, name)
			delete(r.Limits, name)
		}
	}
	if limit, ok := r.Limits[corev1.ResourceMemory]; ok && limit.Cmp(leastMemory) < 0 && !slices.Contains(config.ConfiguredResources, corev1.ResourceMemory) {
		r.Limits[corev1.ResourceMemory] = leastMemory.DeepCopy()
	}
	return r
}

func has(r corev1.ResourceRequirements, name corev1.ResourceName) bool {
	_, requested := r.Requests[name]
	_, limited := r.Limits[name]
	return requested || limited
}

// take makes a resource in one list what it is in another.
func take(into, from corev1.ResourceList, name corev1.ResourceName) {
	delete(into, name)
	if q, ok := from[name]; ok {
		into[name] = q.DeepCopy()
	}
}

// only returns the quantities of a list that another list has as well.
func only(list, names corev1.ResourceList) corev1.ResourceList {
	kept := corev1.ResourceList{}
	for name := range names {
		if q, ok := list[name]; ok {
			kept[name] = q
		}
	}
	return kept
}
