package injector

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/podkeep/podkeep/internal/gateconfig"
)

// amounts are cpu and memory of a request or of a limit; "" is none.
type amounts struct{ cpu, memory string }

func (a amounts) list() corev1.ResourceList {
	list := corev1.ResourceList{}
	if a.cpu != "" {
		list[corev1.ResourceCPU] = resource.MustParse(a.cpu)
	}
	if a.memory != "" {
		list[corev1.ResourceMemory] = resource.MustParse(a.memory)
	}
	return list
}

func TestResources(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		app       corev1.ResourceRequirements
		pod       *corev1.ResourceRequirements
		configMap map[string]string

		wantRequests, wantLimits amounts
	}{
		"an application without resources: the defaults": {
			wantRequests: amounts{"100m", "128Mi"}, wantLimits: amounts{"100m", "128Mi"},
		},
		"the application's, below the defaults": {
			app:          corev1.ResourceRequirements{Requests: amounts{"10m", "32Mi"}.list(), Limits: amounts{"20m", "64Mi"}.list()},
			wantRequests: amounts{"10m", "32Mi"}, wantLimits: amounts{"20m", "64Mi"},
		},
		"the application's, above the defaults, because a LimitRange may have a minimum": {
			app:          corev1.ResourceRequirements{Requests: amounts{"1", "1Gi"}.list(), Limits: amounts{"2", "2Gi"}.list()},
			wantRequests: amounts{"1", "1Gi"}, wantLimits: amounts{"2", "2Gi"},
		},
		"a request without a limit stays without": {
			app:          corev1.ResourceRequirements{Requests: amounts{"10m", "32Mi"}.list()},
			wantRequests: amounts{"10m", "32Mi"},
		},
		"each resource for itself": {
			app:          corev1.ResourceRequirements{Requests: amounts{memory: "32Mi"}.list(), Limits: amounts{memory: "64Mi"}.list()},
			wantRequests: amounts{"100m", "32Mi"}, wantLimits: amounts{"100m", "64Mi"},
		},
		"a limit that the gate cannot live with is raised": {
			app:          corev1.ResourceRequirements{Requests: amounts{"10m", "4Mi"}.list(), Limits: amounts{"10m", "4Mi"}.list()},
			wantRequests: amounts{"10m", "4Mi"}, wantLimits: amounts{"10m", "16Mi"},
		},
		"resources of the pod as a whole are shared": {
			pod: &corev1.ResourceRequirements{Limits: amounts{"10m", "64Mi"}.list()},
		},
		"the ConfigMap's go before the application's": {
			app:          corev1.ResourceRequirements{Requests: amounts{"10m", "32Mi"}.list(), Limits: amounts{"20m", "64Mi"}.list()},
			configMap:    map[string]string{gateconfig.KeyMemLimit: "8Mi"},
			wantRequests: amounts{"10m", "8Mi"}, wantLimits: amounts{"20m", "8Mi"},
		},
		"a value of the ConfigMap that is unusable is the default, as its event says": {
			app:          corev1.ResourceRequirements{Requests: amounts{"10m", "32Mi"}.list()},
			configMap:    map[string]string{gateconfig.KeyMemLimit: "plenty"},
			wantRequests: amounts{"10m", "128Mi"}, wantLimits: amounts{"", "128Mi"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := podWithVolumes("data")
			pod.Spec.Resources = tc.pod
			pod.Spec.Containers[0].Resources = tc.app
			before := pod.DeepCopy()
			var configMaps []corev1.ConfigMap
			if tc.configMap != nil {
				configMaps = append(configMaps, corev1.ConfigMap{Data: tc.configMap})
			}
			config, _ := gateconfig.Parse(configMaps, "registry.example.com/podkeep/podkeep:v1")

			out, _ := Gate(pod, GateRequest{RestoreUID: "uid", Volumes: []string{"data"}, Config: config})

			got := out.Spec.InitContainers[0].Resources
			g.Expect(apiequality.Semantic.DeepEqual(got.Requests, tc.wantRequests.list())).To(BeTrue(), "%v", got.Requests)
			g.Expect(apiequality.Semantic.DeepEqual(got.Limits, tc.wantLimits.list())).To(BeTrue(), "%v", got.Limits)
			g.Expect(pod).To(Equal(before))
		})
	}
}

// TestGateKeepsWhatALimitRangeAdded has the API server call its own plugins again
// after the webhooks: a gate that went back to what it was would be refused.
func TestGateKeepsWhatALimitRangeAdded(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	config, _ := gateconfig.Parse([]corev1.ConfigMap{{Data: map[string]string{gateconfig.KeyMemLimit: "0"}}}, "a/b:c")
	req := GateRequest{RestoreUID: "uid", Volumes: []string{"data"}, Config: config}
	once, _ := Gate(podWithVolumes("data"), req)
	gate := &once.Spec.InitContainers[0]
	gate.Resources.Limits[corev1.ResourceMemory] = resource.MustParse("1Gi")
	gate.Resources.Requests[corev1.ResourceEphemeralStorage] = resource.MustParse("1Gi")

	twice, report := Gate(once, req)

	g.Expect(report.Kept).To(BeTrue())
	g.Expect(twice).To(Equal(once))
}
