// Package podresources reads the resources of mover pods as ConfigMaps of Velero
// write them (velero-facts §8.1, §8.3).
//
// It is pure. The node agent's settings and those of maintenance share it.
package podresources

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Resources are quantities as text. "" and "0" mean none.
type Resources struct {
	CPURequest              string `json:"cpuRequest"`
	CPULimit                string `json:"cpuLimit"`
	MemoryRequest           string `json:"memoryRequest"`
	MemoryLimit             string `json:"memoryLimit"`
	EphemeralStorageRequest string `json:"ephemeralStorageRequest"`
	EphemeralStorageLimit   string `json:"ephemeralStorageLimit"`
}

// Keys are those of Resources in JSON.
var Keys = []string{
	"cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit",
	"ephemeralStorageRequest", "ephemeralStorageLimit",
}

// Requirements returns what the resources ask for; nil asks for nothing. The error
// names the field below path, its value and what is allowed.
func (p *Resources) Requirements(path string) (corev1.ResourceRequirements, error) {
	var r corev1.ResourceRequirements
	if p == nil {
		return r, nil
	}
	for _, q := range []struct {
		key, text string
		name      corev1.ResourceName
		list      *corev1.ResourceList
	}{
		{"cpuRequest", p.CPURequest, corev1.ResourceCPU, &r.Requests},
		{"cpuLimit", p.CPULimit, corev1.ResourceCPU, &r.Limits},
		{"memoryRequest", p.MemoryRequest, corev1.ResourceMemory, &r.Requests},
		{"memoryLimit", p.MemoryLimit, corev1.ResourceMemory, &r.Limits},
		{"ephemeralStorageRequest", p.EphemeralStorageRequest, corev1.ResourceEphemeralStorage, &r.Requests},
		{"ephemeralStorageLimit", p.EphemeralStorageLimit, corev1.ResourceEphemeralStorage, &r.Limits},
	} {
		if q.text == "" {
			continue
		}
		quantity, err := resource.ParseQuantity(q.text)
		if err != nil || quantity.Sign() < 0 {
			return r, fmt.Errorf("%s.%s: Invalid value: %q: must be a quantity such as 500m or 1Gi", path, q.key, q.text)
		}
		if quantity.IsZero() {
			continue // Velero's way to say "none"
		}
		if *q.list == nil {
			*q.list = corev1.ResourceList{}
		}
		(*q.list)[q.name] = quantity
	}
	return r, requestsFit(path, r)
}

func requestsFit(path string, r corev1.ResourceRequirements) error {
	for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
		request, limit := r.Requests[name], r.Limits[name]
		if !limit.IsZero() && request.Cmp(limit) > 0 {
			return fmt.Errorf("%s: Invalid value: %s request %s: must not be above the limit %s",
				path, name, request.String(), limit.String())
		}
	}
	return nil
}
