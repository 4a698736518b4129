package items

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Marks of endpoints that a controller keeps (k8s.io/kubernetes,
// pkg/controller/endpoint and pkg/controller/endpointslice*).
const (
	endpointsManagedByLabel = "endpoints.kubernetes.io/managed-by"

	endpointSliceController          = "endpointslice-controller.k8s.io"
	endpointSliceMirroringController = "endpointslicemirroring-controller.k8s.io"
)

// cleanService removes the addresses and ports that the cluster gave the service.
// A headless service stays headless, and a node port that a user asked for stays.
func cleanService(_ Target, obj *unstructured.Unstructured) Reason {
	if field(obj.Object, "spec", "clusterIP") != corev1.ClusterIPNone {
		unstructured.RemoveNestedField(obj.Object, "spec", "clusterIP")
		unstructured.RemoveNestedField(obj.Object, "spec", "clusterIPs")
	}
	unstructured.RemoveNestedField(obj.Object, "spec", "healthCheckNodePort")
	applied := appliedNodePorts(obj)
	for _, port := range list(obj.Object, "spec", "ports") {
		if n, _, _ := unstructured.NestedInt64(port, "nodePort"); !applied[n] { // missing is zero, never applied
			delete(port, "nodePort")
		}
	}
	return ""
}

// appliedNodePorts are the node ports that the user's manifest names, as far as
// kubectl has recorded it.
func appliedNodePorts(obj *unstructured.Unstructured) map[int64]bool {
	var applied struct {
		Spec struct {
			Ports []struct {
				NodePort int64 `json:"nodePort"`
			} `json:"ports"`
		} `json:"spec"`
	}
	manifest := obj.GetAnnotations()[corev1.LastAppliedConfigAnnotation]
	if err := json.Unmarshal([]byte(manifest), &applied); err != nil {
		return nil // no or a broken record: no port is known to be wanted
	}
	ports := map[int64]bool{}
	for _, p := range applied.Spec.Ports {
		ports[p.NodePort] = p.NodePort != 0
	}
	return ports
}

// cleanEndpoints leaves out the endpoints of services with a selector. Newer
// clusters label them; the annotation has been there since v1.17.
func cleanEndpoints(_ Target, obj *unstructured.Unstructured) Reason {
	_, labelled := obj.GetLabels()[endpointsManagedByLabel]
	_, annotated := obj.GetAnnotations()[corev1.EndpointsLastChangeTriggerTime]
	if labelled || annotated {
		return ReasonManaged
	}
	return ""
}

func cleanEndpointSlice(_ Target, obj *unstructured.Unstructured) Reason {
	switch obj.GetLabels()[discoveryv1.LabelManagedBy] {
	case endpointSliceController, endpointSliceMirroringController:
		return ReasonManaged
	default:
		return ""
	}
}
