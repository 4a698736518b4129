package selection

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestUnknownVolumes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pod  *corev1.Pod
		want []string
	}{
		"names of both lists, sorted, once": {
			pod:  podWith(volume("data"), include("data, dta,zz"), exclude("zz,aa")),
			want: []string{"aa", "dta", "zz"},
		},
		"none when every name is a volume": {
			pod: podWith(volume("data"), volume("logs"), include("data"), exclude(" logs ")),
		},
		"none without lists": {pod: podWith(volume("data"))},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			g.Expect(UnknownVolumes(tc.pod)).To(HaveExactElements(tc.want))
		})
	}
}

func TestUnknownWishes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	pod := podWith(volume("data", claim("c1")), volume("logs", claim("c2")), volume("tmp", ephemeral("never")), volume("cache"))

	got := UnknownWishes(Input{Pod: pod, Claims: map[string]ClaimFacts{"c1": {Wish: "yes"}, "c2": {Wish: velerov1.ClaimExclude}}})

	g.Expect(got).To(Equal([]UnknownWish{{"data", "c1", "yes"}, {"tmp", "web-0-tmp", "never"}}))
}

func TestImpossible(t *testing.T) {
	t.Parallel()
	secret := volume("secret", func(v *corev1.Volume) { v.Secret = &corev1.SecretVolumeSource{} })
	tests := map[string]struct {
		pod    *corev1.Pod
		policy string
		claims map[string]ClaimFacts
		want   []string
	}{
		"a claim that asks for what cannot be read": {
			pod:    podWith(volume("raw", claim("c1"))),
			claims: map[string]ClaimFacts{"c1": {Block: true, Wish: velerov1.ClaimInclude}},
			want:   []string{"raw"},
		},
		"not a claim that is excluded": {
			pod:    podWith(volume("raw", claim("c1")), include("raw")),
			claims: map[string]ClaimFacts{"c1": {Block: true, Wish: velerov1.ClaimExclude}},
		},
		"a listed volume that cannot be read": {
			pod:  podWith(volume("node", onHostPath), secret, include("node,secret")),
			want: []string{"node", "secret"},
		},
		"a node directory where everything is taken": {
			pod:    podWith(volume("node", onHostPath), secret),
			policy: velerov1.FSBackupOptOut,
			want:   []string{"node"},
		},
		"not a volume that the pod excludes": {
			pod:    podWith(volume("node", onHostPath), exclude("node")),
			policy: velerov1.FSBackupOptOut,
		},
		"not where nothing is taken": {
			pod:    podWith(volume("node", onHostPath), include("node")),
			policy: velerov1.FSBackupOff,
		},
		"not a volume that nobody wants": {
			pod:    podWith(volume("node", onHostPath)),
			policy: velerov1.FSBackupOptIn,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			in := Input{Pod: tc.pod, NamespacePolicy: tc.policy, Claims: tc.claims}

			var got []string
			for _, d := range Impossible(in, Decide(in)) {
				got = append(got, d.Volume)
			}

			g.Expect(got).To(HaveExactElements(tc.want))
		})
	}
}

func TestEveryImpossibleReasonHasARemedy(t *testing.T) {
	t.Parallel()

	for _, r := range []Reason{ReasonManagedByKubernetes, ReasonHostPathUnsupported, ReasonBlockVolume, ReasonNotMounted} {
		NewWithT(t).Expect(r.Remedy()).NotTo(BeEmpty())
	}
}

func TestClaimName(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ephemeral := corev1.Volume{Name: "tmp", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}}

	name, ok := ClaimName(podWith(), ephemeral)
	g.Expect(name).To(Equal("web-0-tmp"))
	g.Expect(ok).To(BeTrue())

	_, ok = ClaimName(&corev1.Pod{}, ephemeral)
	g.Expect(ok).To(BeFalse(), "a pod without a name has no claim of that kind yet")

	_, ok = ClaimName(podWith(), corev1.Volume{Name: "tmp"})
	g.Expect(ok).To(BeFalse())
}

func FuzzParseList(f *testing.F) {
	for _, seed := range []string{"", "data", "data,logs", " data , logs ", ",,", "data,data", "a b,\tc\n", "ä,é=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g := NewWithT(t)

		names := ParseList(text)

		for i, name := range names {
			g.Expect(name).NotTo(BeEmpty())
			g.Expect(name).To(Equal(strings.TrimSpace(name)))
			g.Expect(slices.Index(names, name)).To(Equal(i), "no name twice")
		}
		g.Expect(ParseList(strings.Join(names, ","))).To(Equal(names), "parsing the result changes nothing")
	})
}
