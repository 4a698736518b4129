package webhook

import (
	"errors"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/gateconfig"
)

const (
	installNamespace = "velero"
	gateImage        = "registry.example.com/podkeep:v1"
)

func TestDecideGate(t *testing.T) {
	t.Parallel()
	active := restore("shop-1", velerov1.RestorePhaseInProgress)
	tests := map[string]struct {
		pod     *corev1.Pod
		restore *velerov1.Restore

		wantReason   reason
		wantInit     []string // nil and wantPod false: admitted as it is
		wantWarnings int
		wantMessage  string
		wantStripped bool // the list of volumes is gone
	}{
		"a mirror pod is left alone": {
			pod: podWith(restored("data"), oldGate, mirror), restore: active,
			wantReason: reasonMirrorPod, wantInit: []string{"restore-wait"},
		},
		"without a restore the pod starts": {
			pod:        podWith(volumes("data"), restored("data"), oldGate),
			wantReason: reasonRestoreNotFound, wantWarnings: 1, wantStripped: true,
		},
		"after its restore the pod starts": {
			pod: podWith(volumes("data"), restored("data"), oldGate), restore: restore("shop-1", velerov1.RestorePhaseCompleted),
			wantReason: reasonRestoreFinished, wantWarnings: 1, wantStripped: true,
		},
		"after a failed restore the pod starts": {
			pod: podWith(volumes("data"), restored("data")), restore: restore("shop-1", velerov1.RestorePhaseFailed),
			wantReason: reasonRestoreFinished, wantWarnings: 1, wantStripped: true,
		},
		"a restore that fills none of its volumes removes old gates only": {
			pod: podWith(volumes("data"), restored(""), oldGate, initContainer("seed")), restore: active,
			wantReason: reasonNothingToRestore, wantInit: []string{"seed"},
		},
		"a volume that the pod lacks is denied": {
			pod: podWith(volumes("data"), restored("data,logs")), restore: active,
			wantReason: reasonUnknownVolume, wantMessage: `restore "shop-1" fills volumes that the pod does not have: logs; correct the annotation podkeep.io/restore-volumes`,
		},
		"the pod waits": {
			pod: podWith(volumes("data"), restored("data"), initContainer("seed")), restore: active,
			wantReason: reasonGated, wantInit: []string{"restore-wait", "seed"},
		},
		"the pod waits although the restore has not begun by its status": {
			pod: podWith(volumes("data"), restored("data")), restore: restore("shop-1", ""),
			wantReason: reasonGated, wantInit: []string{"restore-wait"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			config, _ := gateconfig.Parse(nil, gateImage)
			before := tc.pod.DeepCopy()

			v := decideGate(gateFacts{pod: tc.pod, restore: tc.restore, config: config})

			g.Expect(tc.pod).To(Equal(before))
			g.Expect(v.reason).To(Equal(tc.wantReason))
			g.Expect(v.denied).To(Equal(tc.wantMessage != ""))
			g.Expect(v.message).To(Equal(tc.wantMessage))
			g.Expect(v.warnings).To(HaveLen(tc.wantWarnings))
			if v.denied {
				return
			}
			pod := tc.pod
			if v.pod != nil {
				pod = v.pod
			}
			g.Expect(initNames(pod)).To(Equal(tc.wantInit))
			if tc.wantStripped {
				g.Expect(pod.Annotations).NotTo(HaveKey(velerov1.RestoreVolumesAnnotation))
			}
		})
	}
}

func TestGateFindsTheRestore(t *testing.T) {
	t.Parallel()
	active, finished := restore("shop-1", velerov1.RestorePhaseInProgress), restore("shop-1", velerov1.RestorePhaseCompleted)
	longName := strings.Repeat("n", 100)
	long := restore(longName, velerov1.RestorePhaseInProgress)
	elsewhere := restore("shop-1", velerov1.RestorePhaseInProgress)
	elsewhere.Namespace = "other-install"
	tests := map[string]struct {
		cache, live *world
		label       string
		volumes     string

		wantReason    reason
		wantLiveReads int
	}{
		"in the cache": {
			cache: worldWith(active), live: worldWith(), volumes: "data", wantReason: reasonGated,
		},
		"in the API when the cache is behind": {
			cache: worldWith(), live: worldWith(active), volumes: "data", wantReason: reasonGated, wantLiveReads: 1,
		},
		"nowhere": {
			cache: worldWith(), live: worldWith(), volumes: "data", wantReason: reasonRestoreNotFound, wantLiveReads: 1,
		},
		"in the API when it was made again under the same name": {
			cache: worldWith(finished), live: worldWith(active), volumes: "data", wantReason: reasonGated, wantLiveReads: 1,
		},
		"finished in the cache, for a pod that need not wait": {
			cache: worldWith(finished), live: worldWith(active), wantReason: reasonRestoreFinished,
		},
		"finished in both": {
			cache: worldWith(finished), live: worldWith(finished), volumes: "data", wantReason: reasonRestoreFinished, wantLiveReads: 1,
		},
		"by the short form of a long name": {
			cache: worldWith(restore("other", ""), long), live: worldWith(), label: velerov1.ValidLabelValue(longName), volumes: "data", wantReason: reasonGated,
		},
		"not in the namespace of another install": {
			cache: worldWith(elsewhere), live: worldWith(elsewhere), volumes: "data", wantReason: reasonRestoreNotFound, wantLiveReads: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			h := &gateHandler{cache: tc.cache, live: tc.live, namespace: installNamespace, image: gateImage}
			pod := podWith(volumes("data"), restored(tc.volumes))
			if tc.label != "" {
				pod.Labels[velerov1.RestoreNameLabel] = tc.label
			}

			v, err := h.judge(t.Context(), review{pod: pod, namespace: "shop"})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(v.reason).To(Equal(tc.wantReason))
			g.Expect(tc.live.reads).To(Equal(tc.wantLiveReads))
		})
	}
}

func TestGateDoesNotAdmitWhatItCannotJudge(t *testing.T) {
	t.Parallel()
	unreachable := errors.New("connection refused")
	pod := podWith(volumes("data"), restored("data"))
	tests := map[string]*gateHandler{
		"the cache fails": {cache: &world{err: unreachable}, live: worldWith()},
		"the API fails":   {cache: worldWith(), live: &world{err: unreachable}},
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := h.judge(t.Context(), review{pod: pod, namespace: "shop"})

			NewWithT(t).Expect(err).To(MatchError(unreachable))
		})
	}
}

func TestGateFollowsItsConfigMap(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	configMap := gateConfigMap("gate", map[string]string{gateconfig.KeyImage: "mirror/helper:v9", gateconfig.KeyDeadline: "wrong"})
	unrelated := gateConfigMap("unrelated", map[string]string{gateconfig.KeyImage: "x/y:z"})
	unrelated.Labels = nil
	h := &gateHandler{
		cache: worldWith(restore("shop-1", ""), configMap, unrelated), live: worldWith(), namespace: installNamespace, image: gateImage,
	}

	v, err := h.judge(t.Context(), review{pod: podWith(volumes("data"), restored("data")), namespace: "shop"})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(v.pod.Spec.InitContainers[0].Image).To(Equal("mirror/helper:v9"))
}
