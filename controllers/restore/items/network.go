package items

import (
	"cmp"
	"encoding/json"
	"fmt"

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
func cleanService(t Target, obj *unstructured.Unstructured) Reason {
	if field(obj.Object, "spec", "clusterIP") != corev1.ClusterIPNone {
		unstructured.RemoveNestedField(obj.Object, "spec", "clusterIP")
		unstructured.RemoveNestedField(obj.Object, "spec", "clusterIPs")
	}
	if t.PreserveNodePorts {
		return ""
	}
	wanted := wantedPortsOf(obj)
	if !wanted.healthCheck {
		unstructured.RemoveNestedField(obj.Object, "spec", "healthCheckNodePort")
	}
	for _, port := range list(obj.Object, "spec", "ports") {
		if !wanted.has(port) {
			delete(port, "nodePort")
		}
	}
	return ""
}

// wantedPorts are the node ports that a user asked for. The rest were chosen by
// the cluster, and another service may have them now.
type wantedPorts struct {
	numbers     map[int64]bool  // node ports
	owned       map[string]bool // service ports whose node port has an owner, by portKey
	healthCheck bool
}

func (w wantedPorts) has(port map[string]any) bool {
	number, _, _ := unstructured.NestedInt64(port, "nodePort") // missing is zero, never wanted
	return w.numbers[number] || w.owned[portKey(port)]
}

// portKey names a port of a service as field management does.
func portKey(port map[string]any) string {
	number, _, _ := unstructured.NestedInt64(port, "port")
	return fmt.Sprintf(`k:{"port":%d,"protocol":%q}`, number, cmp.Or(field(port, "protocol"), string(corev1.ProtocolTCP)))
}

// wantedPortsOf looks at the manifest that kubectl has recorded, and at the fields
// that somebody manages: the cluster's own choices belong to nobody.
func wantedPortsOf(obj *unstructured.Unstructured) wantedPorts {
	w := wantedPorts{numbers: map[int64]bool{}, owned: map[string]bool{}}
	w.addApplied(obj.GetAnnotations()[corev1.LastAppliedConfigAnnotation])
	for _, entry := range obj.GetManagedFields() {
		if entry.FieldsV1 != nil && entry.Subresource == "" {
			w.addOwned(entry.FieldsV1.GetRawBytes())
		}
	}
	return w
}

func (w *wantedPorts) addApplied(manifest string) {
	var applied struct {
		Spec struct {
			Ports []struct {
				NodePort int64 `json:"nodePort"`
			} `json:"ports"`
			HealthCheckNodePort int64 `json:"healthCheckNodePort"`
		} `json:"spec"`
	}
	if err := json.Unmarshal([]byte(manifest), &applied); err != nil {
		return // no or a broken record: no port is known to be wanted
	}
	for _, p := range applied.Spec.Ports {
		w.numbers[p.NodePort] = p.NodePort != 0
	}
	w.healthCheck = w.healthCheck || applied.Spec.HealthCheckNodePort != 0
}

func (w *wantedPorts) addOwned(fields []byte) {
	var owned struct {
		Spec struct {
			Ports               map[string]map[string]any `json:"f:ports"`
			HealthCheckNodePort map[string]any            `json:"f:healthCheckNodePort"`
		} `json:"f:spec"`
	}
	if err := json.Unmarshal(fields, &owned); err != nil {
		return // as above
	}
	for key, port := range owned.Spec.Ports {
		if _, ok := port["f:nodePort"]; ok {
			w.owned[key] = true
		}
	}
	w.healthCheck = w.healthCheck || owned.Spec.HealthCheckNodePort != nil
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
