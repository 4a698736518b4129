package podresources

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestRequirements(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	none, err := (*Resources)(nil).Requirements("podResources")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(none).To(Equal(corev1.ResourceRequirements{}))

	got, err := (&Resources{CPURequest: "100m", CPULimit: "0", MemoryLimit: "1Gi"}).Requirements("podResources")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
	}))

	for want, r := range map[string]Resources{
		`p.cpuLimit: Invalid value: "much": must be a quantity`: {CPULimit: "much"},
		`p.memoryRequest: Invalid value: "-1"`:                  {MemoryRequest: "-1"},
		"must not be above the limit 1Gi":                       {MemoryRequest: "2Gi", MemoryLimit: "1Gi"},
	} {
		_, err := r.Requirements("p")
		g.Expect(err).To(MatchError(ContainSubstring(want)))
	}
}
