package injector

import (
	"fmt"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"k8s.io/utils/ptr"

	"github.com/podkeep/podkeep/internal/gateconfig"
)

// mesh does what the webhook of a service mesh does: an init container before all
// others, a sidecar that starts next and stays, a container in front of the
// application, and a variable for every container. It leaves a pod alone that has
// all that.
func mesh(pod *corev1.Pod) *corev1.Pod {
	out := pod.DeepCopy()
	isMesh := func(c corev1.Container) bool { return c.Name == "mesh-init" }
	if !slices.ContainsFunc(out.Spec.InitContainers, isMesh) {
		out.Spec.InitContainers = slices.Insert(out.Spec.InitContainers, 0,
			corev1.Container{Name: "mesh-init", Image: "mesh"},
			corev1.Container{Name: "mesh-proxy", Image: "mesh", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)})
		out.Spec.Containers = slices.Insert(out.Spec.Containers, 0,
			corev1.Container{Name: "mesh-agent", Image: "mesh", SecurityContext: &corev1.SecurityContext{RunAsUser: ptr.To[int64](1337)}})
	}
	for _, containers := range [][]corev1.Container{out.Spec.InitContainers, out.Spec.Containers} {
		for i := range containers {
			if !slices.ContainsFunc(containers[i].Env, func(e corev1.EnvVar) bool { return e.Name == "MESH" }) {
				containers[i].Env = append(containers[i].Env, corev1.EnvVar{Name: "MESH", Value: "on"})
			}
		}
	}
	return out
}

// TestGateAndMeshConverge has both called in any order, and again as the API server
// does when the other has changed the pod (reinvocationPolicy).
func TestGateAndMeshConverge(t *testing.T) {
	t.Parallel()
	config, _ := gateconfig.Parse(nil, "registry.example.com/podkeep/podkeep:v1")
	req := GateRequest{RestoreUID: "uid", Volumes: []string{"data"}, Config: config}
	gate := func(pod *corev1.Pod) *corev1.Pod { out, _ := Gate(pod, req); return out }
	tests := map[string][]func(*corev1.Pod) *corev1.Pod{
		"the mesh comes first":                               {mesh, gate},
		"the mesh comes first and is called again":           {mesh, gate, mesh, gate},
		"the mesh comes second, and the gate is asked again": {gate, mesh, gate},
		"the mesh comes second, and both are asked again":    {gate, mesh, gate, mesh},
	}
	for name, calls := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := podWithVolumes("data")
			pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
			pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: ptr.To[int64](999)}
			pod.Spec.InitContainers = []corev1.Container{{Name: "seed"}, {Name: legacyGateName}}

			for _, call := range calls {
				pod = call(pod)
			}

			g.Expect(names(pod.Spec.InitContainers)).To(Equal([]string{GateName, "mesh-init", "mesh-proxy", "seed"}))
			g.Expect(pod.Spec.InitContainers[0].SecurityContext.RunAsUser).To(HaveValue(BeEquivalentTo(999)), "the application's user, not the mesh's")
			g.Expect(gate(pod)).To(Equal(pod))
		})
	}
}

func names(containers []corev1.Container) []string {
	var names []string
	for _, c := range containers {
		names = append(names, c.Name)
	}
	return names
}

// TestGateKeepsPodSecurity has Kubernetes' own checks look at pods before and after:
// a pod that a level allows is allowed with a gate.
func TestGateKeepsPodSecurity(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	config, _ := gateconfig.Parse(nil, "registry.example.com/podkeep/podkeep:v1")
	allows := func(level api.Level, pod *corev1.Pod) (bool, string) {
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec))
		return result.Allowed, result.ForbiddenDetail()
	}
	allowed := map[api.Level]int{}
	for _, pod := range securePods() {
		gated, _ := Gate(pod, GateRequest{RestoreUID: "uid", Volumes: []string{"data"}, Config: config})
		for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
			if before, _ := allows(level, pod); !before {
				continue
			}
			allowed[level]++
			after, why := allows(level, gated)
			NewWithT(t).Expect(after).To(BeTrue(), "%s: %s\npod %+v\napplication %+v", level, why,
				pod.Spec.SecurityContext, pod.Spec.Containers[0].SecurityContext)
		}
	}
	NewWithT(t).Expect(allowed[api.LevelBaseline]).To(BeNumerically(">", 100))
	NewWithT(t).Expect(allowed[api.LevelRestricted]).To(BeNumerically(">", 10))
}

// securePods are pods with all combinations of the settings that matter, at the pod
// and at the container.
func securePods() []*corev1.Pod {
	users := []*int64{nil, ptr.To[int64](0), ptr.To[int64](999)}
	bools := []*bool{nil, ptr.To(true), ptr.To(false)}
	seccomp := []*corev1.SeccompProfile{nil, {Type: corev1.SeccompProfileTypeRuntimeDefault}, {Type: corev1.SeccompProfileTypeUnconfined}}
	var contexts []*corev1.SecurityContext
	for _, user := range users {
		for _, nonRoot := range bools {
			for _, profile := range seccomp {
				contexts = append(contexts,
					&corev1.SecurityContext{RunAsUser: user, RunAsNonRoot: nonRoot, SeccompProfile: profile},
					&corev1.SecurityContext{
						RunAsUser: user, RunAsNonRoot: nonRoot, SeccompProfile: profile, AllowPrivilegeEscalation: ptr.To(false),
						Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}},
					})
			}
		}
	}
	var pods []*corev1.Pod
	for _, outer := range contexts {
		for i, inner := range append(contexts, nil) {
			pod := podWithVolumes("data")
			pod.Name = fmt.Sprintf("pod-%d", i)
			pod.Spec.Volumes[0].EmptyDir = &corev1.EmptyDirVolumeSource{}
			pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: outer.RunAsUser, RunAsNonRoot: outer.RunAsNonRoot, SeccompProfile: outer.SeccompProfile}
			pod.Spec.Containers[0].SecurityContext = inner
			pods = append(pods, pod)
		}
	}
	return pods
}
