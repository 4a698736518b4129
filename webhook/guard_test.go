package webhook

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestGuardHoldsPodsOnVolumesThatARestoreFills(t *testing.T) {
	t.Parallel()
	active, over := restore("shop-1", velerov1.RestorePhaseInProgress), restore("shop-1", velerov1.RestorePhaseCompleted)
	other := restore("shop-2", velerov1.RestorePhaseInProgress)
	other.UID = "other-uid"
	claim := claimOf("shop", "data", "claim-uid")
	ours, foreign := filledBy(claim, "restore-uid", "shop-1"), filledBy(claim, "other-uid", "shop-2")
	marked := namespaceWith("shop", "")
	marked.Labels = map[string]string{velerov1.RestoringLabel: "shop-1"}
	busy := volumeRestore("claim-uid", velerov1.PodVolumeRestorePhaseInProgress)
	done := volumeRestore("claim-uid", velerov1.PodVolumeRestorePhaseCompleted)
	gone := ofOwner(volumeRestore("", velerov1.PodVolumeRestorePhaseFailed), "ReplicaSet/web", "scratch")
	arrived := ofOwner(volumeRestore("", velerov1.PodVolumeRestorePhaseCompleted), "ReplicaSet/web", "scratch")
	tests := map[string]struct {
		cache, live []client.Object
		pod         *corev1.Pod
		wantReason  reason
		wantVolumes string // "": it does not wait
		wantLive    int    // reads of the API server
	}{
		"the restore that has made the claim goes on": {
			cache: objects(active, ours), pod: podWith(claimVolume("data")), wantReason: reasonHeld, wantVolumes: "data",
		},
		"also when the claim is filled: the gate removes the marker": {
			cache: objects(active, ours, done), pod: podWith(claimVolume("data")), wantReason: reasonHeld, wantVolumes: "data",
		},
		"it has ended": {
			cache: objects(over, ours), pod: podWith(claimVolume("data")), wantReason: reasonClaimFree,
		},
		"it was deleted": {
			cache: objects(ours), pod: podWith(claimVolume("data")), wantReason: reasonClaimFree, wantLive: 1,
		},
		"it is so new that the cache lacks it": {
			cache: objects(ours), live: objects(active), pod: podWith(claimVolume("data")), wantReason: reasonHeld, wantVolumes: "data", wantLive: 1,
		},
		"another restore has its name": {
			cache: objects(active, filledBy(claim, "older-uid", "shop-1")), live: objects(active), pod: podWith(claimVolume("data")),
			wantReason: reasonClaimFree, wantLive: 1,
		},
		"the claim was there before and is being filled": {
			cache: objects(active, claim, busy), pod: podWith(claimVolume("data")), wantReason: reasonHeld, wantVolumes: "data",
		},
		"the claim was there before and is filled": {
			cache: objects(active, claim, done), pod: podWith(claimVolume("data")), wantReason: reasonClaimFree,
		},
		"the claim is so new that the cache lacks it": {
			cache: objects(active), live: objects(ours), pod: podWith(claimVolume("data")), wantReason: reasonHeld, wantVolumes: "data", wantLive: 1,
		},
		"the claim does not exist yet": {
			cache: objects(active, marked), pod: podWith(claimVolume("data")), wantReason: reasonHeld, wantVolumes: "data", wantLive: 1,
		},
		"the claim does not exist, and no restore goes on": {
			cache: objects(over, marked), pod: podWith(claimVolume("data")), wantReason: reasonClaimFree, wantLive: 1,
		},
		"a pod without claims": {
			cache: objects(active, ours), pod: podWith(volumes("data")), wantReason: reasonClaimFree,
		},
		"a pod that the controller of a lost one has made": {
			cache: objects(active, gone), pod: podWith(volumes("scratch", "other"), owned("ReplicaSet", "web")), wantReason: reasonHeld, wantVolumes: "scratch",
		},
		"a pod that the controller of a started one has made": {
			cache: objects(active, arrived), pod: podWith(volumes("scratch"), owned("ReplicaSet", "web")), wantReason: reasonClaimFree,
		},
		"a pod of another controller": {
			cache: objects(active, gone), pod: podWith(volumes("scratch"), owned("ReplicaSet", "web-2")), wantReason: reasonClaimFree,
		},
		"a pod of two restores": {
			cache: objects(active, other, ours, filledBy(claimOf("shop", "logs", "logs-uid"), "other-uid", "shop-2")),
			pod:   podWith(claimVolume("data"), claimVolume("logs")), wantReason: reasonClaimRestoring,
		},
		"a claim that a restore has left incomplete": {
			cache: objects(over, incomplete(ours)), pod: podWith(claimVolume("data")), wantReason: reasonClaimIncomplete,
		},
		"an incomplete claim that is being restored again": {
			cache: objects(other, incomplete(foreign)), pod: podWith(claimVolume("data")), wantReason: reasonHeld, wantVolumes: "data",
		},
		"a mirror pod": {
			cache: objects(active, ours), pod: podWith(claimVolume("data"), mirror), wantReason: reasonMirrorPod,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			live := worldWith(tc.live...)
			h := &guardHandler{&gateHandler{cache: worldWith(tc.cache...), live: live, namespace: installNamespace, image: gateImage}}

			v, err := h.judge(t.Context(), review{pod: tc.pod, namespace: "shop"})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(v.reason).To(Equal(tc.wantReason), v.message)
			g.Expect(v.denied).To(Equal(v.reason == reasonClaimRestoring || v.reason == reasonClaimIncomplete))
			g.Expect(live.reads).To(Equal(tc.wantLive))
			if tc.wantVolumes == "" {
				g.Expect(v.pod).To(BeNil())
				return
			}
			g.Expect(initNames(v.pod)).To(Equal([]string{"restore-wait"}))
			g.Expect(v.pod.Annotations).To(HaveKeyWithValue(velerov1.RestoreVolumesAnnotation, tc.wantVolumes))
			g.Expect(v.pod.Labels).To(HaveKeyWithValue(velerov1.GatedByLabel, v.pod.Spec.InitContainers[0].Args[0]))
		})
	}
}

func TestGuardSaysWhatToDoAboutAnIncompleteClaim(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	h := &guardHandler{&gateHandler{
		cache: worldWith(incomplete(claimOf("shop", "data", "claim-uid"))), live: worldWith(), namespace: installNamespace, image: gateImage,
	}}

	v, err := h.judge(t.Context(), review{pod: podWith(claimVolume("data")), namespace: "shop"})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(v.message).To(Equal(`restore "shop-1" has left claim "data" without all of its data; restore it again, or accept it as it is with: ` +
		`kubectl -n shop label pvc data podkeep.io/restore-incomplete-`))
}

func TestGateWaitsAlsoForSharedClaims(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	shared := filledBy(claimOf("shop", "shared", "claim-uid"), "restore-uid", "shop-1")
	h := &gateHandler{
		cache: worldWith(restore("shop-1", velerov1.RestorePhaseInProgress), shared), live: worldWith(), namespace: installNamespace, image: gateImage,
	}

	v, err := h.judge(t.Context(), review{pod: podWith(volumes("data"), claimVolume("shared"), restored("data")), namespace: "shop"})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(v.reason).To(Equal(reasonGated))
	g.Expect(v.pod.Annotations).To(HaveKeyWithValue(velerov1.RestoreVolumesAnnotation, "data,shared"))
}

func TestGuardDoesNotAdmitWhatItCannotJudge(t *testing.T) {
	t.Parallel()
	unreachable := errors.New("connection refused")
	h := &guardHandler{&gateHandler{cache: &world{err: unreachable}, live: worldWith(), namespace: installNamespace}}

	_, err := h.judge(t.Context(), review{pod: podWith(claimVolume("data")), namespace: "shop"})

	NewWithT(t).Expect(err).To(MatchError(unreachable))
}

func objects(all ...client.Object) []client.Object { return all }

// filledBy is a claim that a restore has made and fills.
func filledBy(claim *corev1.PersistentVolumeClaim, uid, name string) *corev1.PersistentVolumeClaim {
	c := claim.DeepCopy()
	c.Annotations = map[string]string{velerov1.FilledByAnnotation: uid}
	c.Labels = map[string]string{velerov1.RestoreNameLabel: name}
	return c
}

func incomplete(claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolumeClaim {
	c := claim.DeepCopy()
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	c.Labels[velerov1.RestoreIncompleteLabel] = "shop-1"
	return c
}

// ofOwner makes a volume restore one of a pod with a controller.
func ofOwner(v *velerov1.PodVolumeRestore, owner, volume string) *velerov1.PodVolumeRestore {
	v.Annotations = map[string]string{velerov1.PodOwnerAnnotation: owner}
	v.Spec.Volume = volume
	return v
}

// owned gives a pod a controller, and takes its name: it is made up later.
func owned(kind, name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Name, pod.GenerateName = "", name+"-"
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, Controller: ptr.To(true)}}
	}
}
