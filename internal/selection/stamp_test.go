package selection

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestStampIsSortedAndComplete(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := Stamp([]Decision{
		{"logs", true, ReasonIncludedByPod},
		{"tmp", false, ReasonExcludedByPod},
		{"data", true, ReasonIncludedByPod},
		{"cache", false, ReasonNotMounted},
	}, "h1")

	g.Expect(got).To(Equal(map[string]string{
		velerov1.SelectedVolumesAnnotation: "data,logs",
		velerov1.SkippedVolumesAnnotation:  "cache=NotMounted,tmp=ExcludedByPod",
		velerov1.SelectionInputsAnnotation: "h1",
	}))
}

func TestStampOfNothingReplacesAnOlderStamp(t *testing.T) {
	t.Parallel()

	NewWithT(t).Expect(Stamp(nil, "h1")).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, ""))
}

func TestFromStamp(t *testing.T) {
	t.Parallel()
	stamp := func(selected, skipped, hash string) map[string]string {
		return map[string]string{
			velerov1.SelectedVolumesAnnotation: selected,
			velerov1.SkippedVolumesAnnotation:  skipped,
			velerov1.SelectionInputsAnnotation: hash,
		}
	}
	tests := map[string]struct {
		annotations map[string]string
		want        []Decision // nil: no valid stamp
	}{
		"a valid stamp gives decisions in pod order": {
			annotations: stamp("logs", "data=ExcludedByPod", "h1"),
			want:        []Decision{{"data", false, ReasonExcludedByPod}, {"logs", true, ""}},
		},
		"another hash is no stamp":             {annotations: stamp("logs", "data=ExcludedByPod", "h0")},
		"no annotations are no stamp":          {},
		"a missing volume is no stamp":         {annotations: stamp("logs", "", "h1")},
		"a foreign volume is no stamp":         {annotations: stamp("logs", "tmp=NotMounted", "h1")},
		"one volume too many is no stamp":      {annotations: stamp("data,logs", "tmp=NotMounted", "h1")},
		"a volume in both lists is no stamp":   {annotations: stamp("data,logs", "data=NotMounted", "h1")},
		"a skip without reason is no stamp":    {annotations: stamp("logs", "data", "h1")},
		"a skip with empty reason is no stamp": {annotations: stamp("logs", "data=", "h1")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := podWith(volume("data"), volume("logs"))
			pod.Annotations = tc.annotations

			got, ok := FromStamp(pod, "h1")

			g.Expect(got).To(Equal(tc.want))
			g.Expect(ok).To(Equal(tc.want != nil))
		})
	}
}

func TestInputsHashChangesWithEveryInput(t *testing.T) {
	t.Parallel()
	base := func() Input { return Input{Pod: podWith(volume("data", claim("c1")), volume("logs"))} }
	changes := map[string]func(*Input){
		"another volume":          func(in *Input) { volume("tmp")(in.Pod) },
		"a volume not mounted":    func(in *Input) { unmounted("data")(in.Pod) },
		"a device":                func(in *Input) { device("data")(in.Pod) },
		"the include list":        func(in *Input) { include("data")(in.Pod) },
		"the exclude list":        func(in *Input) { exclude("data")(in.Pod) },
		"a claim on the node":     func(in *Input) { in.Claims = map[string]ClaimFacts{"c1": {HostPathPV: true}} },
		"a claim in block mode":   func(in *Input) { in.Claims = map[string]ClaimFacts{"c1": {Block: true}} },
		"a claim that includes":   func(in *Input) { in.Claims = wishes("c1", velerov1.ClaimInclude) },
		"a claim that excludes":   func(in *Input) { in.Claims = wishes("c1", velerov1.ClaimExclude) },
		"the volume policy":       func(in *Input) { in.VolumePolicy = policy(PolicySkip) },
		"the backup's default":    func(in *Input) { in.BackupDefault = ptr.To(true) },
		"the backup's other":      func(in *Input) { in.BackupDefault = ptr.To(false) },
		"the namespace's policy":  func(in *Input) { in.NamespacePolicy = velerov1.FSBackupOff },
		"the server's default":    func(in *Input) { in.ServerDefault = true },
		"a volume from the node":  func(in *Input) { onHostPath(&in.Pod.Spec.Volumes[1]) },
		"a volume of Kubernetes'": func(in *Input) { in.Pod.Spec.Volumes[1].Secret = &corev1.SecretVolumeSource{} },
	}
	g := NewWithT(t)
	seen := map[string]string{InputsHash(base()): "nothing"}
	for name, change := range changes {
		in := base()
		change(&in)

		hash := InputsHash(in)

		g.Expect(seen).NotTo(HaveKey(hash), "%s hashes like %s", name, seen[hash])
		seen[hash] = name
	}
}

func TestInputsHashIgnoresWhatNoRuleSees(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	plain := InputsHash(Input{Pod: podWith(volume("data"), include("data"))})

	g.Expect(InputsHash(Input{Pod: podWith(volume("data"), include(" data, typo"))})).To(Equal(plain))
	g.Expect(InputsHash(Input{Pod: podWith(volume("data"), include("data"), mountedByInit("restore-wait", "data"))})).To(Equal(plain),
		"injecting the gate must not make the stamp stale")
	withClaim := func(facts map[string]ClaimFacts) string {
		return InputsHash(Input{Pod: podWith(volume("data", claim("c1"))), Claims: facts})
	}
	g.Expect(withClaim(wishes("c1", "perhaps"))).To(Equal(withClaim(nil)), "a value without effect")
	g.Expect(withClaim(wishes("c1", " include"))).To(Equal(withClaim(wishes("c1", "include"))))
}
