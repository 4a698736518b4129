package injector

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/internal/selection"
)

var update = flag.Bool("update", false, "rewrite the golden files; never in CI")

// golden is the input of one case: what is asked for, and the pod.
type golden struct {
	RestoreUID types.UID         `json:"restoreUID"`
	Volumes    []string          `json:"volumes"`
	ConfigMap  map[string]string `json:"configMap"` // nil: there is none
	Pod        *corev1.Pod       `json:"pod"`
}

// TestGate runs every testdata/*.in.yaml and compares with its *.golden.yaml. A
// golden file that nobody produces fails the test.
func TestGate(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	goldens, err := filepath.Glob("testdata/*.golden.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(inputs).NotTo(BeEmpty())
	if !*update {
		NewWithT(t).Expect(goldens).To(HaveLen(len(inputs)), "run with -update, or delete the stale golden file")
	}

	for _, in := range inputs {
		name := strings.TrimSuffix(filepath.Base(in), ".in.yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod, req := readGolden(t, in)
			before := pod.DeepCopy()

			out, report := Gate(pod, req)

			g.Expect(pod).To(Equal(before), "Gate changed its argument")
			again, second := Gate(out, req)
			g.Expect(again).To(Equal(out), "the second admission changed the pod")
			g.Expect(second.Gated).To(Equal(report.Gated))
			g.Expect(second.RemovedGates).To(BeZero())
			compare(t, filepath.Join("testdata", name+".golden.yaml"), map[string]any{"report": report, "pod": out})
		})
	}
}

func readGolden(t *testing.T, path string) (*corev1.Pod, GateRequest) {
	t.Helper()
	g := NewWithT(t)
	raw, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	var in golden
	g.Expect(yaml.UnmarshalStrict(raw, &in)).To(Succeed())
	var configMaps []corev1.ConfigMap
	if in.ConfigMap != nil {
		configMaps = append(configMaps, corev1.ConfigMap{Data: in.ConfigMap})
	}
	config, problems := gateconfig.Parse(configMaps, "registry.example.com/podkeep/podkeep:v1")
	g.Expect(problems).To(BeEmpty())
	return in.Pod, GateRequest{RestoreUID: in.RestoreUID, Volumes: in.Volumes, Config: config}
}

func compare(t *testing.T, path string, value any) {
	t.Helper()
	g := NewWithT(t)
	got, err := yaml.Marshal(value)
	g.Expect(err).NotTo(HaveOccurred())
	if *update {
		g.Expect(os.WriteFile(path, got, 0o644)).To(Succeed())
	}
	want, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(string(want)))
}

func TestGateReplacesAGateThatIsNotWhatItShouldBe(t *testing.T) {
	t.Parallel()
	config, _ := gateconfig.Parse(nil, "registry.example.com/podkeep/podkeep:v1")
	req := GateRequest{RestoreUID: "uid-1", Volumes: []string{"data"}, Config: config}
	tests := map[string]func(gate *corev1.Container){
		"the gate of another restore":          func(c *corev1.Container) { c.Args = []string{"uid-0"} },
		"another image":                        func(c *corev1.Container) { c.Image = "x/y:z" },
		"a gate that does not wait":            func(c *corev1.Container) { c.Command = []string{"true"} },
		"a gate that is a sidecar":             func(c *corev1.Container) { c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways) },
		"a gate with a deadline nobody set":    func(c *corev1.Container) { c.Env = append(c.Env, corev1.EnvVar{Name: DeadlineVariable, Value: "1s"}) },
		"a gate that does not see the volume":  func(c *corev1.Container) { c.VolumeMounts = nil },
		"a gate that sees another volume":      func(c *corev1.Container) { c.VolumeMounts[0].Name = "logs" },
		"a gate with another security context": func(c *corev1.Container) { c.SecurityContext.RunAsUser = ptr.To[int64](7) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			good, _ := Gate(podWithVolumes("data", "logs"), req)
			bad := good.DeepCopy()
			spoil(&bad.Spec.InitContainers[0])

			out, report := Gate(bad, req)

			g.Expect(out).To(Equal(good))
			g.Expect(report).To(Equal(Report{Gated: []string{"data"}, RemovedGates: 1}))
		})
	}
}

func TestUngate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	pod := podWithVolumes("data")
	pod.Annotations = map[string]string{velerov1.RestoreVolumesAnnotation: "data", "other": "kept"}
	pod.Spec.InitContainers = []corev1.Container{{Name: "seed"}, {Name: GateName}, {Name: legacyGateName}}
	before := pod.DeepCopy()

	out, report := Ungate(pod)

	g.Expect(pod).To(Equal(before))
	g.Expect(report).To(Equal(Report{RemovedGates: 2}))
	g.Expect(out.Annotations).To(Equal(map[string]string{"other": "kept"}))
	g.Expect(out.Spec.InitContainers).To(HaveExactElements(HaveField("Name", "seed")))
}

func TestStamp(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	pod := podWithVolumes("data", "tmp")
	decisions := []selection.Decision{
		{Volume: "data", Included: true, Reason: selection.ReasonIncludedByPod},
		{Volume: "tmp", Reason: selection.ReasonExcludedByPod},
	}

	once := Stamp(pod, decisions, "h1")
	twice := Stamp(once, decisions, "h1")

	g.Expect(pod.Annotations).To(BeNil(), "Stamp changed its argument")
	g.Expect(once.Annotations).To(Equal(map[string]string{
		velerov1.SelectedVolumesAnnotation: "data",
		velerov1.SkippedVolumesAnnotation:  "tmp=ExcludedByPod",
		velerov1.SelectionInputsAnnotation: "h1",
	}))
	g.Expect(twice).To(Equal(once))
}

func TestMissingVolumes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(MissingVolumes(podWithVolumes("data"), []string{"x", "data", "a", "x"})).To(Equal([]string{"a", "x"}))
	g.Expect(MissingVolumes(podWithVolumes("data"), []string{"data"})).To(BeEmpty())
}

func podWithVolumes(names ...string) *corev1.Pod {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}
	for _, n := range names {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: n})
	}
	return pod
}
