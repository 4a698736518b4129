package selection

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pod    *corev1.Pod
		policy string
		claims map[string]ClaimFacts
		want   []Warning // Text is a part of it
	}{
		"none for a pod as it should be": {
			pod: podWith(volume("data", claim("c1")), volume("tmp"), include("data"), exclude("tmp")), policy: velerov1.FSBackupOptIn,
			claims: wishes("c1", velerov1.ClaimInclude),
		},
		"a volume that does not exist": {
			pod: podWith(volume("data"), include("dta")), want: []Warning{{ProblemUnknownVolume, "", "no volumes named dta"}},
		},
		"a policy that does not exist": {
			pod: podWith(volume("data")), policy: "optout", want: []Warning{{ProblemUnknownValue, "", "label podkeep.io/fs-backup=optout has no effect; set it to opt-in, opt-out or off"}},
		},
		"a claim's annotation with another value": {
			pod: podWith(volume("data", claim("c1"))), claims: wishes("c1", "yes"),
			want: []Warning{{ProblemUnknownValue, "data", "claim c1 of volume data has the annotation podkeep.io/fs-backup=yes, which has no effect"}},
		},
		"a template's annotation with another value": {
			pod:  func() *corev1.Pod { p := podWith(volume("tmp", ephemeral("yes"))); p.Name = ""; return p }(),
			want: []Warning{{ProblemUnknownValue, "tmp", "the claim template of volume tmp has the annotation podkeep.io/fs-backup=yes"}},
		},
		"a volume that can never be backed up": {
			pod:  podWith(volume("node", onHostPath), include("node")),
			want: []Warning{{ProblemImpossible, "node", "volume node cannot be backed up (HostPathUnsupported): it is a directory of the node"}},
		},
		"both lists of the pod": {
			pod:  podWith(volume("data"), include("data"), exclude("data")),
			want: []Warning{{ProblemContradiction, "data", "is in both"}},
		},
		"the pod includes and the claim excludes": {
			pod: podWith(volume("data", claim("c1")), include("data")), claims: wishes("c1", velerov1.ClaimExclude),
			want: []Warning{{ProblemContradiction, "data", "its claim c1 is annotated podkeep.io/fs-backup=exclude, which wins"}},
		},
		"the pod excludes and the claim includes": {
			pod: podWith(volume("data", claim("c1")), exclude("data")), claims: wishes("c1", velerov1.ClaimInclude),
			want: []Warning{{ProblemContradiction, "data", "its claim c1 is annotated podkeep.io/fs-backup=include, which wins"}},
		},
		"the pod asks and the namespace is off": {
			pod: podWith(volume("data"), include("data")), policy: velerov1.FSBackupOff,
			want: []Warning{{ProblemContradiction, "data", "nothing of the namespace is backed up"}},
		},
		"the claim asks and the namespace is off": {
			pod: podWith(volume("data", claim("c1"))), policy: velerov1.FSBackupOff, claims: wishes("c1", velerov1.ClaimInclude),
			want: []Warning{{ProblemContradiction, "data", "nothing of the namespace is backed up"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			in := Input{Pod: tc.pod, NamespacePolicy: tc.policy, Claims: tc.claims}

			got := Warnings(in, Decide(in))

			g.Expect(got).To(HaveLen(len(tc.want)), "%v", got)
			for i, want := range tc.want {
				g.Expect(got[i].Problem).To(Equal(want.Problem))
				g.Expect(got[i].Volume).To(Equal(want.Volume))
				g.Expect(got[i].Text).To(ContainSubstring(want.Text))
			}
		})
	}
}

func TestAsked(t *testing.T) {
	t.Parallel()
	pod := podWith(volume("a"), volume("b", claim("c1")), volume("c"), include("c,x"))

	NewWithT(t).Expect(Asked(Input{Pod: pod, Claims: wishes("c1", velerov1.ClaimInclude)})).To(Equal([]string{"b", "c"}))
}
