package webhook

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestDecideGuard(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		facts       guardFacts
		wantReason  reason
		wantMessage string
	}{
		"a mirror pod is left alone": {
			facts:      guardFacts{pod: podWith(mirror), restoring: map[string]string{"data": "shop-1"}},
			wantReason: reasonMirrorPod,
		},
		"a pod whose claims are free starts": {
			facts: guardFacts{pod: podWith()}, wantReason: reasonClaimFree,
		},
		"a pod with a claim that is being restored is denied": {
			facts:      guardFacts{pod: podWith(), restoring: map[string]string{"logs": "shop-2", "data": "shop-1"}},
			wantReason: reasonClaimRestoring,
			wantMessage: `claim "data" is being restored by restore "shop-1"; the pod is admitted when the data is in place; ` +
				`controllers try again on their own`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			v := decideGuard(tc.facts)

			g.Expect(v.reason).To(Equal(tc.wantReason))
			g.Expect(v.denied).To(Equal(tc.wantMessage != ""))
			g.Expect(v.message).To(Equal(tc.wantMessage))
			g.Expect(v.pod).To(BeNil())
		})
	}
}

func TestGuardFindsClaimsThatAreBeingRestored(t *testing.T) {
	t.Parallel()
	claim := claimOf("shop", "data", "claim-uid")
	tests := map[string]struct {
		cache, live *world
		pod         *corev1.Pod
		wantReason  reason
	}{
		"an unfinished restore of the claim": {
			cache: worldWith(claim, volumeRestore("claim-uid", velerov1.PodVolumeRestorePhaseInProgress)), live: worldWith(),
			pod: podWith(claimVolume("data")), wantReason: reasonClaimRestoring,
		},
		"a restore of the claim nobody has taken yet": {
			cache: worldWith(claim, volumeRestore("claim-uid", "")), live: worldWith(),
			pod: podWith(claimVolume("data")), wantReason: reasonClaimRestoring,
		},
		"a claim that the cache does not have yet": {
			cache: worldWith(volumeRestore("claim-uid", "")), live: worldWith(claim),
			pod: podWith(claimVolume("data")), wantReason: reasonClaimRestoring,
		},
		"a finished restore does not hold": {
			cache: worldWith(claim, volumeRestore("claim-uid", velerov1.PodVolumeRestorePhaseCompleted)), live: worldWith(),
			pod: podWith(claimVolume("data")), wantReason: reasonClaimFree,
		},
		"the restore of another claim does not hold": {
			cache: worldWith(claim, volumeRestore("other-uid", "")), live: worldWith(),
			pod: podWith(claimVolume("data")), wantReason: reasonClaimFree,
		},
		"a claim that does not exist does not hold": {
			cache: worldWith(volumeRestore("claim-uid", "")), live: worldWith(),
			pod: podWith(claimVolume("data")), wantReason: reasonClaimFree,
		},
		"a pod without claims is not held": {
			cache: worldWith(claim, volumeRestore("claim-uid", "")), live: worldWith(),
			pod: podWith(volumes("data")), wantReason: reasonClaimFree,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			h := &guardHandler{cache: tc.cache, live: tc.live, namespace: installNamespace}

			v, err := h.judge(t.Context(), review{pod: tc.pod, namespace: "shop"})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(v.reason).To(Equal(tc.wantReason))
		})
	}
}

func TestGuardDoesNotAdmitWhatItCannotJudge(t *testing.T) {
	t.Parallel()
	unreachable := errors.New("connection refused")
	h := &guardHandler{cache: &world{err: unreachable}, live: worldWith(), namespace: installNamespace}

	_, err := h.judge(t.Context(), review{pod: podWith(claimVolume("data")), namespace: "shop"})

	NewWithT(t).Expect(err).To(MatchError(unreachable))
}
