package selection

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	stampOf := func(in Input) map[string]string { return Stamp(Decide(in), InputsHash(in)) }
	annotate := func(pod *corev1.Pod, more map[string]string) {
		for key, value := range more {
			pod.Annotations[key] = value
		}
	}
	yes := Decision{"data", true, ReasonServerDefault}
	no := Decision{"data", false, ReasonNamespacePolicy}
	tests := map[string]struct {
		stamp           map[string]string
		namespacePolicy string
		want            Resolution
	}{
		"no stamp": {
			want: Resolution{Decisions: []Decision{yes}, Stamp: StampMissing},
		},
		"a stamp of the same inputs, with the reasons that it does not keep": {
			stamp: stampOf(Input{Pod: podWith(volume("data")), ServerDefault: true}),
			want:  Resolution{Decisions: []Decision{yes}, Stamp: StampValid},
		},
		"a stamp from before a label of the namespace": {
			stamp: stampOf(Input{Pod: podWith(volume("data")), ServerDefault: true}), namespacePolicy: velerov1.FSBackupOff,
			want: Resolution{Decisions: []Decision{no}, Stamp: StampStale, Differences: []Difference{
				{Volume: "data", Stamped: &Decision{Volume: "data", Included: true}, Now: no},
			}},
		},
		"a stamp of another reason": {
			stamp: stampOf(Input{Pod: podWith(volume("data"))}), namespacePolicy: velerov1.FSBackupOptIn,
			want: Resolution{Decisions: []Decision{no}, Stamp: StampStale, Differences: []Difference{
				{Volume: "data", Stamped: &Decision{Volume: "data", Reason: ReasonServerDefault}, Now: no},
			}},
		},
		"a stamp of other inputs that says the same": {
			stamp: stampOf(Input{Pod: podWith(volume("data"), include("data"))}),
			want:  Resolution{Decisions: []Decision{yes}, Stamp: StampStale},
		},
		"the stamp of another pod, copied into a template": {
			stamp: stampOf(Input{Pod: podWith(volume("logs")), ServerDefault: true}),
			want:  Resolution{Decisions: []Decision{yes}, Stamp: StampStale, Differences: []Difference{{Volume: "data", Now: yes}}},
		},
		"a stamp that somebody has changed by hand": {
			stamp: map[string]string{velerov1.SelectedVolumesAnnotation: "data", velerov1.SkippedVolumesAnnotation: "data", velerov1.SelectionInputsAnnotation: "x"},
			want:  Resolution{Decisions: []Decision{yes}, Stamp: StampStale, Differences: []Difference{{Volume: "data", Now: yes}}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := podWith(volume("data"))
			annotate(pod, tc.stamp)

			got := Resolve(Input{Pod: pod, ServerDefault: true, NamespacePolicy: tc.namespacePolicy})

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect((&Decision{Included: true}).Verdict()).To(Equal("include"))
	g.Expect((&Decision{Included: true, Reason: ReasonServerDefault}).Verdict()).To(Equal("include (ServerDefault)"))
	g.Expect((&Decision{Reason: ReasonExcludedByPod}).Verdict()).To(Equal("skip (ExcludedByPod)"))
	g.Expect((*Decision)(nil).Verdict()).To(Equal("nothing"))
}

// TestEveryRuleIsExplained: no rule is without a number and a meaning.
func TestEveryRuleIsExplained(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(rules).To(HaveLen(11))
	numbers := map[int]bool{}
	for reason, rule := range explained {
		g.Expect(rule.Means).NotTo(BeEmpty(), string(reason))
		numbers[rule.Number] = true
	}
	for i := range rules {
		g.Expect(numbers).To(HaveKey(i + 1))
	}
	g.Expect(Reason("SomebodyElses").Rule()).To(Equal(Rule{}))
}

// TestOrderOfTheRules asks each rule alone for its opinion on a volume on which all
// that can be true at the same time is true, and compares the number of its reason
// with its place.
func TestOrderOfTheRules(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	yes := true
	in := Input{
		Pod: podWith(volume("default-token", claim("c1"), onHostPath), unmounted("default-token"), device("default-token"),
			include("default-token"), exclude("default-token")),
		Claims:          map[string]ClaimFacts{"c1": {HostPathPV: true, Block: true, Wish: velerov1.ClaimInclude}},
		VolumePolicy:    policy(PolicyFSBackup),
		BackupDefault:   &yes,
		NamespacePolicy: velerov1.FSBackupOptOut,
	}
	f := factsOf(in)

	for i, r := range rules {
		d, ok := r(f, in.Pod.Spec.Volumes[0])
		g.Expect(ok).To(BeTrue(), "rule %d has an opinion", i+1)
		g.Expect(d.Reason.Rule().Number).To(Equal(i+1), "%s", d.Reason)
	}
}
