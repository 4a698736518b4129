package webhook

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/internal/selection"
)

// TestPodPatchGivesTheInjectorsPod tries many random pods: the patch, applied to
// the pod's JSON, gives the pod that the injector made.
func TestPodPatchGivesTheInjectorsPod(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) // fixed: a failure must come back
	config, _ := gateconfig.Parse(nil, "registry.example.com/podkeep:v1")
	for range 1000 {
		g := NewWithT(t)
		before := randomPod(random)
		after := []func() *corev1.Pod{
			func() *corev1.Pod { p, _ := injector.Ungate(before); return p },
			func() *corev1.Pod {
				uid := types.UID(fmt.Sprintf("uid-%d", random.IntN(2)))
				p, _ := injector.Gate(before, injector.GateRequest{RestoreUID: uid, Volumes: []string{"data"}[:random.IntN(2)], Config: config})
				return p
			},
			func() *corev1.Pod {
				return injector.Stamp(before, selection.Decide(selection.Input{Pod: before}), "h1")
			},
		}[random.IntN(3)]()

		patched := apply(t, before, after)

		// An empty list and none are the same pod.
		if len(after.Spec.InitContainers) == 0 {
			after.Spec.InitContainers, patched.Spec.InitContainers = nil, nil
		}
		g.Expect(patched).To(Equal(after))
	}
}

func TestPodPatchOfNothingIsEmpty(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	config, _ := gateconfig.Parse(nil, "registry.example.com/podkeep:v1")
	req := injector.GateRequest{RestoreUID: "uid-1", Volumes: []string{"data"}, Config: config}
	gated, _ := injector.Gate(podWith(volumes("data")), req)

	again, _ := injector.Gate(gated, req)

	g.Expect(podPatch(gated, again)).To(BeEmpty())
}

func TestPodPatchKeepsFieldsOfNewerServers(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	raw := []byte(`{"metadata":{"annotations":{"a/b~c":"1"}},"spec":{"fromTheFuture":1,"initContainers":[` +
		`{"name":"restore-wait"},{"name":"seed","fromTheFuture":2}],"volumes":[{"name":"data"}]}}`)
	before := &corev1.Pod{}
	g.Expect(json.Unmarshal(raw, before)).To(Succeed())
	after, _ := injector.Ungate(before)
	delete(after.Annotations, "a/b~c")

	ops, err := json.Marshal(podPatch(before, after))
	g.Expect(err).NotTo(HaveOccurred())
	patch, err := jsonpatch.DecodePatch(ops)
	g.Expect(err).NotTo(HaveOccurred())
	patched, err := patch.Apply(raw)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(patched).To(MatchJSON(`{"metadata":{"annotations":{}},"spec":{"fromTheFuture":1,"initContainers":[` +
		`{"name":"seed","fromTheFuture":2}],"volumes":[{"name":"data"}]}}`))
}

func apply(t *testing.T, before, after *corev1.Pod) *corev1.Pod {
	t.Helper()
	g := NewWithT(t)
	raw, err := json.Marshal(before)
	g.Expect(err).NotTo(HaveOccurred())
	ops, err := json.Marshal(podPatch(before, after))
	g.Expect(err).NotTo(HaveOccurred())
	patch, err := jsonpatch.DecodePatch(ops)
	g.Expect(err).NotTo(HaveOccurred())
	raw, err = patch.Apply(raw)
	g.Expect(err).NotTo(HaveOccurred())
	patched := &corev1.Pod{}
	g.Expect(json.Unmarshal(raw, patched)).To(Succeed())
	return patched
}

func randomPod(random *rand.Rand) *corev1.Pod {
	pod := podWith(volumes("data"))
	if random.IntN(2) == 0 {
		pod.Annotations = map[string]string{"app/x~y": "1", velerov1.RestoreVolumesAnnotation: "data"}
	}
	if random.IntN(2) == 0 && pod.Annotations != nil {
		pod.Annotations[velerov1.SelectedVolumesAnnotation] = "old"
	}
	names := []string{"seed", "restore-wait", "mesh", "restic-wait"}
	for range random.IntN(5) {
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: names[random.IntN(len(names))]})
	}
	return pod
}
