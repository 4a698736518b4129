package webhook

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

func TestDecideStamp(t *testing.T) {
	t.Parallel()
	hostPath := func(pod *corev1.Pod) { pod.Spec.Volumes[0].HostPath = &corev1.HostPathVolumeSource{Path: "/x"} }
	tests := map[string]struct {
		in           selection.Input
		wantReason   reason
		wantSelected string
		wantSkipped  string
		wantWarnings []string
	}{
		"a mirror pod is left alone": {
			in: selection.Input{Pod: podWith(volumes("data"), mirror)}, wantReason: reasonMirrorPod,
		},
		"volumes are selected and skipped with their reason": {
			in:         selection.Input{Pod: podWith(volumes("data", "tmp"), include("data"))},
			wantReason: reasonStamped, wantSelected: "data", wantSkipped: "tmp=ServerDefault",
		},
		"a name that is no volume is a warning": {
			in:         selection.Input{Pod: podWith(volumes("data"), include("data,dta"))},
			wantReason: reasonStamped, wantSelected: "data",
			wantWarnings: []string{"podkeep: the pod has no volumes named dta; correct its annotations backup.velero.io/backup-volumes and backup.velero.io/backup-volumes-excludes"},
		},
		"a selected volume that cannot be backed up is a warning": {
			in:         selection.Input{Pod: podWith(volumes("data"), include("data"), hostPath)},
			wantReason: reasonStamped, wantSkipped: "data=HostPathUnsupported",
			wantWarnings: []string{"podkeep: volume data cannot be backed up (HostPathUnsupported): it is a directory of the node; " +
				"use a PersistentVolumeClaim on a local or network volume, or list it in backup.velero.io/backup-volumes-excludes"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			v := decideStamp(tc.in)

			g.Expect(v.denied).To(BeFalse())
			g.Expect(v.reason).To(Equal(tc.wantReason))
			g.Expect(v.warnings).To(Equal(tc.wantWarnings))
			if tc.wantReason != reasonStamped {
				g.Expect(v.pod).To(BeNil())
				return
			}
			g.Expect(v.pod.Annotations).To(And(
				HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, tc.wantSelected),
				HaveKeyWithValue(velerov1.SkippedVolumesAnnotation, tc.wantSkipped),
				HaveKeyWithValue(velerov1.SelectionInputsAnnotation, selection.InputsHash(tc.in)),
			))
			g.Expect(v.decisions).To(HaveLen(len(tc.in.Pod.Spec.Volumes)))
		})
	}
}

func TestSelectionGathersTheFacts(t *testing.T) {
	t.Parallel()
	claim := claimOf("shop", "data", "claim-uid")
	claim.Spec.VolumeName = "pv-1"
	block := claimOf("shop", "data", "claim-uid")
	mode := corev1.PersistentVolumeBlock
	block.Spec.VolumeMode = &mode
	onNode := &corev1.PersistentVolume{}
	onNode.Name = "pv-1"
	onNode.Spec.HostPath = &corev1.HostPathVolumeSource{}
	optOut := namespaceWith("shop", velerov1.FSBackupOptOut)
	tests := map[string]struct {
		world      *world
		wantReason reason
		want       []selection.Decision
	}{
		"the policy of the namespace": {
			world: worldWith(optOut), wantReason: reasonStamped,
			want: []selection.Decision{{Volume: "data", Included: true, Reason: selection.ReasonNamespacePolicy}},
		},
		"the server's default for a namespace without policy": {
			world: worldWith(namespaceWith("shop", "")), wantReason: reasonStamped,
			want: []selection.Decision{{Volume: "data", Included: true, Reason: selection.ReasonServerDefault}},
		},
		"a claim whose volume is on the node": {
			world: worldWith(optOut, claim, onNode), wantReason: reasonStamped,
			want: []selection.Decision{{Volume: "data", Reason: selection.ReasonHostPathUnsupported}},
		},
		"a claim whose volume is not in the cache yet": {
			world: worldWith(optOut, claim), wantReason: reasonStamped,
			want: []selection.Decision{{Volume: "data", Included: true, Reason: selection.ReasonNamespacePolicy}},
		},
		"a claim in block mode": {
			world: worldWith(optOut, block), wantReason: reasonStamped,
			want: []selection.Decision{{Volume: "data", Reason: selection.ReasonBlockVolume}},
		},
		"no stamp for a namespace that is not in the cache yet": {
			world: worldWith(), wantReason: reasonNamespaceUnknown,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			h := &selectionHandler{cache: tc.world, serverDefault: true}

			v, err := h.judge(t.Context(), review{pod: podWith(claimVolume("data")), namespace: "shop"})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(v.reason).To(Equal(tc.wantReason))
			g.Expect(v.decisions).To(Equal(tc.want))
		})
	}
}

func TestSelectionReturnsErrors(t *testing.T) {
	t.Parallel()
	unreachable := errors.New("connection refused")
	h := &selectionHandler{cache: &world{err: unreachable}}

	_, err := h.judge(t.Context(), review{pod: podWith(claimVolume("data")), namespace: "shop"})

	NewWithT(t).Expect(err).To(MatchError(unreachable))
}
