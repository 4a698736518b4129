package restore

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/gateconfig"
)

func TestVerifyGate(t *testing.T) {
	t.Parallel()
	const uid = types.UID("3f6c0d2e")
	tests := map[string]struct {
		change func(*corev1.Pod)
		want   string // part of the error; "" means none
	}{
		"the gate of the injector holds": {change: func(*corev1.Pod) {}},
		"no gate at all":                 {change: func(p *corev1.Pod) { p.Spec.InitContainers = nil }, want: "not the first"},
		"another container comes first": {change: func(p *corev1.Pod) {
			p.Spec.InitContainers = append([]corev1.Container{{Name: "x"}}, p.Spec.InitContainers...)
		}, want: "not the first"},
		"the gate of another restore": {change: func(p *corev1.Pod) { p.Spec.InitContainers[0].Args = []string{"other"} }, want: "without the UID"},
		"a volume is missing":         {change: func(p *corev1.Pod) { p.Spec.InitContainers[0].VolumeMounts = p.Spec.InitContainers[0].VolumeMounts[:1] }, want: "does not mount volume logs at /restores/logs"},
		"a volume is somewhere else":  {change: func(p *corev1.Pod) { p.Spec.InitContainers[0].VolumeMounts[0].MountPath = "/data" }, want: "does not mount volume data"},
		"a sidecar does not hold anything": {change: func(p *corev1.Pod) {
			p.Spec.InitContainers[0].RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		}, want: "restart policy"},
		"mounts that others add do not hurt": {change: func(p *corev1.Pod) {
			p.Spec.InitContainers[0].VolumeMounts = append(p.Spec.InitContainers[0].VolumeMounts, corev1.VolumeMount{Name: "t", MountPath: "/t"})
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := &corev1.Pod{Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "app"}},
				Volumes:    []corev1.Volume{{Name: "data"}, {Name: "logs"}},
			}}
			config, _ := gateconfig.Parse(nil, "example.com/podkeep:1")
			gated, _ := injector.Gate(pod, injector.GateRequest{Volumes: []string{"data", "logs"}, RestoreUID: uid, Config: config})
			tc.change(gated)

			err := verifyGate(gated, []string{"data", "logs"}, uid)

			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}
