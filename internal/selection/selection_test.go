package selection

import (
	"fmt"
	"math/rand/v2"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pod  *corev1.Pod
		in   Input // Pod is set by the test
		want []Decision
	}{
		"rule 1: what Kubernetes fills is skipped": {
			pod: podWith(
				volume("secret", func(v *corev1.Volume) { v.Secret = &corev1.SecretVolumeSource{} }),
				volume("config", func(v *corev1.Volume) { v.ConfigMap = &corev1.ConfigMapVolumeSource{} }),
				volume("token", func(v *corev1.Volume) { v.Projected = &corev1.ProjectedVolumeSource{} }),
				volume("labels", func(v *corev1.Volume) { v.DownwardAPI = &corev1.DownwardAPIVolumeSource{} }),
				volume("model", func(v *corev1.Volume) { v.Image = &corev1.ImageVolumeSource{} }),
				volume("default-token-x7k2p"),
			),
			in: Input{ServerDefault: true},
			want: []Decision{
				{"secret", false, ReasonManagedByKubernetes},
				{"config", false, ReasonManagedByKubernetes},
				{"token", false, ReasonManagedByKubernetes},
				{"labels", false, ReasonManagedByKubernetes},
				{"model", false, ReasonManagedByKubernetes},
				{"default-token-x7k2p", false, ReasonManagedByKubernetes},
			},
		},
		"rule 1: the pod cannot ask for what Kubernetes fills": {
			pod:  podWith(volume("secret", func(v *corev1.Volume) { v.Secret = &corev1.SecretVolumeSource{} }), include("secret")),
			want: []Decision{{"secret", false, ReasonManagedByKubernetes}},
		},
		"rule 2: a directory of the node is skipped, also behind a claim": {
			pod:  podWith(volume("node", onHostPath), volume("pvc", claim("c1")), volume("other", claim("c2"))),
			in:   Input{Claims: map[string]ClaimFacts{"c1": {HostPathPV: true}}, ServerDefault: true},
			want: []Decision{{"node", false, ReasonHostPathUnsupported}, {"pvc", false, ReasonHostPathUnsupported}, {"other", true, ReasonServerDefault}},
		},
		"rule 2: the claim of a generic ephemeral volume is named after the pod": {
			pod:  podWith(volume("scratch", func(v *corev1.Volume) { v.Ephemeral = &corev1.EphemeralVolumeSource{} })),
			in:   Input{Claims: map[string]ClaimFacts{"web-0-scratch": {HostPathPV: true}}},
			want: []Decision{{"scratch", false, ReasonHostPathUnsupported}},
		},
		"rule 2 comes before rule 4": {
			pod:  podWith(volume("node", onHostPath), unmounted("node")),
			want: []Decision{{"node", false, ReasonHostPathUnsupported}},
		},
		"rule 3: a volume that is only a device is skipped": {
			pod:  podWith(volume("raw", claim("c1")), unmounted("raw"), device("raw"), include("raw")),
			want: []Decision{{"raw", false, ReasonBlockVolume}},
		},
		"rule 3: a claim in block mode is skipped although nobody uses it": {
			pod:  podWith(volume("raw", claim("c1")), unmounted("raw")),
			in:   Input{Claims: map[string]ClaimFacts{"c1": {Block: true}}},
			want: []Decision{{"raw", false, ReasonBlockVolume}},
		},
		"rule 4: a volume that nothing mounts is skipped": {
			pod:  podWith(volume("data"), unmounted("data"), include("data")),
			want: []Decision{{"data", false, ReasonNotMounted}},
		},
		"rule 4: a mount of an init container counts": {
			pod:  podWith(volume("data"), unmounted("data"), mountedByInit("seed", "data")),
			in:   Input{ServerDefault: true},
			want: []Decision{{"data", true, ReasonServerDefault}},
		},
		"rule 4: the gate of a restore does not count": {
			pod:  podWith(volume("data"), unmounted("data"), mountedByInit("restore-wait", "data")),
			in:   Input{ServerDefault: true},
			want: []Decision{{"data", false, ReasonNotMounted}},
		},
		"rule 5: the volume policy beats the pod's exclude list": {
			pod:  podWith(volume("data"), exclude("data")),
			in:   Input{VolumePolicy: policy(PolicyFSBackup)},
			want: []Decision{{"data", true, ReasonVolumePolicyFSBackup}},
		},
		"rule 5: skip": {
			pod: podWith(volume("data"), include("data")), in: Input{VolumePolicy: policy(PolicySkip)},
			want: []Decision{{"data", false, ReasonVolumePolicySkip}},
		},
		"rule 5: snapshot": {
			pod: podWith(volume("data"), include("data")), in: Input{VolumePolicy: policy(PolicySnapshot)},
			want: []Decision{{"data", false, ReasonVolumePolicySnapshot}},
		},
		"rule 5: custom": {
			pod: podWith(volume("data"), include("data")), in: Input{VolumePolicy: policy(PolicyCustom)},
			want: []Decision{{"data", false, ReasonVolumePolicyCustom}},
		},
		"rule 5: without a match the pod decides": {
			pod: podWith(volume("data"), include("data")), in: Input{VolumePolicy: policy(PolicyNone)},
			want: []Decision{{"data", true, ReasonIncludedByPod}},
		},
		"rule 5: the volume policy beats the claim": {
			pod:  podWith(volume("data", claim("c1")), volume("logs", claim("c2"))),
			in:   Input{VolumePolicy: policy(PolicySkip), Claims: wishes("c1", velerov1.ClaimInclude)},
			want: []Decision{{"data", false, ReasonVolumePolicySkip}, {"logs", false, ReasonVolumePolicySkip}},
		},
		"rule 6: a claim that excludes beats the pod's include": {
			pod: podWith(volume("data", claim("c1")), include("data")), in: Input{Claims: wishes("c1", velerov1.ClaimExclude)},
			want: []Decision{{"data", false, ReasonExcludedByClaim}},
		},
		"rule 6: a claim that includes beats the pod's exclude": {
			pod: podWith(volume("data", claim("c1")), exclude("data")), in: Input{Claims: wishes("c1", " include ")},
			want: []Decision{{"data", true, ReasonIncludedByClaim}},
		},
		"rule 6: a claim beats the backup's default": {
			pod:  podWith(volume("data", claim("c1")), volume("logs", claim("c2"))),
			in:   Input{BackupDefault: ptr.To(false), Claims: wishes("c1", velerov1.ClaimInclude)},
			want: []Decision{{"data", true, ReasonIncludedByClaim}, {"logs", false, ReasonBackupDefault}},
		},
		"rule 6: a value that is neither leaves it to the next rules": {
			pod: podWith(volume("data", claim("c1")), include("data")), in: Input{Claims: wishes("c1", "Exclude")},
			want: []Decision{{"data", true, ReasonIncludedByPod}},
		},
		"rule 6: a claim cannot ask for what is on the node": {
			pod:  podWith(volume("data", claim("c1"))),
			in:   Input{Claims: map[string]ClaimFacts{"c1": {HostPathPV: true, Wish: velerov1.ClaimInclude}}},
			want: []Decision{{"data", false, ReasonHostPathUnsupported}},
		},
		"rule 6: off stops a claim that includes": {
			pod:  podWith(volume("data", claim("c1")), volume("logs", claim("c2"))),
			in:   Input{NamespacePolicy: velerov1.FSBackupOff, Claims: wishes("c1", velerov1.ClaimInclude)},
			want: []Decision{{"data", false, ReasonNamespacePolicy}, {"logs", false, ReasonNamespacePolicy}},
		},
		"rule 6: a claim that does not exist yet will have the annotations of the pod's template": {
			pod:  podWith(volume("scratch", ephemeral(velerov1.ClaimExclude))),
			in:   Input{ServerDefault: true},
			want: []Decision{{"scratch", false, ReasonExcludedByClaim}},
		},
		"rule 6: a claim that exists says more than the template": {
			pod:  podWith(volume("scratch", ephemeral(velerov1.ClaimExclude))),
			in:   Input{Claims: wishes("web-0-scratch", velerov1.ClaimInclude)},
			want: []Decision{{"scratch", true, ReasonIncludedByClaim}},
		},
		"rule 7: exclude beats include": {
			pod:  podWith(volume("data"), include("data"), exclude("data")),
			want: []Decision{{"data", false, ReasonExcludedByPod}},
		},
		"rule 7: exclude beats the backup's default": {
			pod: podWith(volume("data"), exclude("data")), in: Input{BackupDefault: ptr.To(true)},
			want: []Decision{{"data", false, ReasonExcludedByPod}},
		},
		"rule 8: include beats the backup's default": {
			pod: podWith(volume("data"), include("data")), in: Input{BackupDefault: ptr.To(false)},
			want: []Decision{{"data", true, ReasonIncludedByPod}},
		},
		"rule 8: spaces around names are trimmed": {
			pod:  podWith(volume("data"), volume("logs"), include(" data ,, logs,")),
			want: []Decision{{"data", true, ReasonIncludedByPod}, {"logs", true, ReasonIncludedByPod}},
		},
		"rule 9: the backup's default beats the namespace": {
			pod: podWith(volume("data")), in: Input{BackupDefault: ptr.To(false), NamespacePolicy: velerov1.FSBackupOptOut},
			want: []Decision{{"data", false, ReasonBackupDefault}},
		},
		"rule 9: the backup's default includes": {
			pod: podWith(volume("data")), in: Input{BackupDefault: ptr.To(true), NamespacePolicy: velerov1.FSBackupOptIn},
			want: []Decision{{"data", true, ReasonBackupDefault}},
		},
		"rule 10: opt-out includes": {
			pod: podWith(volume("data")), in: Input{NamespacePolicy: velerov1.FSBackupOptOut},
			want: []Decision{{"data", true, ReasonNamespacePolicy}},
		},
		"rule 10: opt-in skips": {
			pod: podWith(volume("data")), in: Input{NamespacePolicy: velerov1.FSBackupOptIn, ServerDefault: true},
			want: []Decision{{"data", false, ReasonNamespacePolicy}},
		},
		"rule 10: off stops volume policy, pod and backup": {
			pod: podWith(volume("data"), include("data")),
			in: Input{
				NamespacePolicy: velerov1.FSBackupOff, BackupDefault: ptr.To(true),
				VolumePolicy: policy(PolicyFSBackup), ServerDefault: true,
			},
			want: []Decision{{"data", false, ReasonNamespacePolicy}},
		},
		"rule 10: an unknown value leaves it to the server": {
			pod: podWith(volume("data")), in: Input{NamespacePolicy: "yes please", ServerDefault: true},
			want: []Decision{{"data", true, ReasonServerDefault}},
		},
		"rule 11: the server's default skips": {
			pod:  podWith(volume("data")),
			want: []Decision{{"data", false, ReasonServerDefault}},
		},
		"a pod without volumes has no decisions": {
			pod:  podWith(),
			want: []Decision{},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.in.Pod = tc.pod

			g.Expect(Decide(tc.in)).To(Equal(tc.want))
		})
	}
}

func TestIncluded(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(Included([]Decision{{"b", true, ""}, {"x", false, ""}, {"a", true, ""}})).To(Equal([]string{"b", "a"}))
}

// TestEveryVolumeGetsExactlyOneDecision tries many random pods. It also pins what
// must hold for every one of them: a stamp gives the same decisions back, and the
// inputs are not changed.
func TestEveryVolumeGetsExactlyOneDecision(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	random := rand.New(rand.NewPCG(1, 2)) // fixed: a failure must come back
	for range 2000 {
		in := randomInput(random)
		before := in.Pod.DeepCopy()

		decisions := Decide(in)

		g.Expect(in.Pod).To(Equal(before))
		g.Expect(decisions).To(HaveLen(len(in.Pod.Spec.Volumes)))
		for i, v := range in.Pod.Spec.Volumes {
			g.Expect(decisions[i].Volume).To(Equal(v.Name))
			g.Expect(decisions[i].Reason).NotTo(BeEmpty())
			g.Expect(decisions[i].Included && in.NamespacePolicy == velerov1.FSBackupOff).To(BeFalse())
		}
		in.Pod.Annotations = Stamp(decisions, InputsHash(in))
		stamped, ok := FromStamp(in.Pod, in.Pod.Annotations[velerov1.SelectionInputsAnnotation])
		g.Expect(ok).To(BeTrue())
		g.Expect(Included(stamped)).To(Equal(Included(decisions)))
	}
}

func randomInput(random *rand.Rand) Input {
	flip := func() bool { return random.IntN(2) == 0 }
	sources := []func(*corev1.Volume){
		func(*corev1.Volume) {}, onHostPath, claim("c1"), claim("c2"),
		func(v *corev1.Volume) { v.Secret = &corev1.SecretVolumeSource{} },
	}
	var mods []func(*corev1.Pod)
	for i := range random.IntN(6) {
		name := fmt.Sprintf("v%d", i)
		mods = append(mods, volume(name, sources[random.IntN(len(sources))]))
		if flip() {
			mods = append(mods, unmounted(name))
		}
		if flip() {
			mods = append(mods, device(name))
		}
	}
	if flip() {
		mods = append(mods, include("v0, v2,unknown"))
	}
	if flip() {
		mods = append(mods, exclude("v1,v2"))
	}
	in := Input{
		Pod: podWith(mods...),
		Claims: map[string]ClaimFacts{
			"c1": {HostPathPV: flip(), Block: flip()},
			"c2": {Wish: []string{"", velerov1.ClaimInclude, velerov1.ClaimExclude, "both"}[random.IntN(4)]},
		},
		NamespacePolicy: []string{"", velerov1.FSBackupOptIn, velerov1.FSBackupOptOut, velerov1.FSBackupOff}[random.IntN(4)],
		ServerDefault:   flip(),
	}
	if flip() {
		in.BackupDefault = ptr.To(flip())
	}
	if flip() {
		in.VolumePolicy = policy([]PolicyAction{PolicyNone, PolicyFSBackup, PolicySkip}[random.IntN(3)])
	}
	return in
}

// wishes are the facts of one claim that asks for something.
func wishes(claim, value string) map[string]ClaimFacts {
	return map[string]ClaimFacts{claim: {Wish: value}}
}

// ephemeral is a generic ephemeral volume whose template asks for something.
func ephemeral(wish string) func(*corev1.Volume) {
	return func(v *corev1.Volume) {
		t := &corev1.PersistentVolumeClaimTemplate{}
		t.Annotations = map[string]string{velerov1.ClaimFSBackupAnnotation: wish}
		v.Ephemeral = &corev1.EphemeralVolumeSource{VolumeClaimTemplate: t}
	}
}

func policy(a PolicyAction) func(corev1.Volume) PolicyAction {
	return func(corev1.Volume) PolicyAction { return a }
}

// podWith builds the pod web-0 with one container, app.
func podWith(mods ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}
	pod.Name = "web-0"
	pod.Annotations = map[string]string{}
	for _, mod := range mods {
		mod(pod)
	}
	return pod
}

// volume adds a volume that app mounts; without a source it is an emptyDir.
func volume(name string, source ...func(*corev1.Volume)) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		v := corev1.Volume{Name: name}
		for _, s := range source {
			s(&v)
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, v)
		app := &pod.Spec.Containers[0]
		app.VolumeMounts = append(app.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: "/" + name})
	}
}

func onHostPath(v *corev1.Volume) { v.HostPath = &corev1.HostPathVolumeSource{Path: "/var/x"} }

func claim(name string) func(*corev1.Volume) {
	return func(v *corev1.Volume) {
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
	}
}

func unmounted(name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		var kept []corev1.VolumeMount
		for _, m := range pod.Spec.Containers[0].VolumeMounts {
			if m.Name != name {
				kept = append(kept, m)
			}
		}
		pod.Spec.Containers[0].VolumeMounts = kept
	}
}

func device(name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		app := &pod.Spec.Containers[0]
		app.VolumeDevices = append(app.VolumeDevices, corev1.VolumeDevice{Name: name, DevicePath: "/dev/" + name})
	}
}

func mountedByInit(container, name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{
			Name: container, VolumeMounts: []corev1.VolumeMount{{Name: name, MountPath: "/x"}},
		})
	}
}

func include(list string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Annotations[velerov1.VolumesToBackupAnnotation] = list }
}

func exclude(list string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) { pod.Annotations[velerov1.VolumesToExcludeAnnotation] = list }
}
