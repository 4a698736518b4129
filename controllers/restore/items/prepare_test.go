package items

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// target maps namespace shop and keeps the volume called kept.
var target = Target{
	BackupName:     "nightly",
	RestoreName:    "nightly-again",
	Namespaces:     Namespaces{Mapping: map[string]string{"shop": "shop-2"}},
	KeptVolumes:    map[string]bool{"kept": true},
	StorageClasses: map[string]string{"slow": "fast"},
	Images:         []ImageRule{{Old: "registry.old/", New: "registry.new/"}, {Old: "registry", New: "never-second"}},
	JobsWithPods:   map[types.NamespacedName]bool{{Namespace: "shop", Name: "with-pods"}: true},
}

// TestPrepare runs every testdata/*.in.yaml and compares with its *.golden.yaml.
// A golden file nobody produces fails the test.
func TestPrepare(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	goldens, err := filepath.Glob("testdata/*.golden.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	NewWithT(t).Expect(len(goldens) == len(inputs) || *update).To(BeTrue(), "run with -update, or delete the stale golden file")

	for _, in := range inputs {
		name := strings.TrimSuffix(filepath.Base(in), ".in.yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			archived := readObject(g, in)
			before := archived.DeepCopy()

			prepared, reason := target.Prepare(archived)

			g.Expect(archived).To(Equal(before), "Prepare modified its argument")
			result := map[string]any{"reason": string(reason)}
			if prepared != nil {
				result["object"] = prepared.Object
			}
			got, err := yaml.Marshal(result)
			g.Expect(err).NotTo(HaveOccurred())
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				g.Expect(os.WriteFile(golden, got, 0o644)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(got)).To(Equal(string(want)))
		})
	}
}

func TestPreparingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	inPlace := target
	inPlace.Namespaces, inPlace.Images = Namespaces{}, target.Images[:1] // what was changed is not changed again

	for _, in := range inputs {
		t.Run(filepath.Base(in), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			archived := readObject(g, in)
			once, reason := inPlace.Prepare(archived)
			if reason != "" {
				t.Skip("it is not restored")
			}
			served := once.DeepCopy()
			served.SetManagedFields(archived.GetManagedFields()) // the server keeps who owns what

			twice, reason := inPlace.Prepare(served)

			g.Expect(reason).To(BeEmpty())
			g.Expect(twice).To(Equal(once))
			g.Expect(inPlace.Same(once, served)).To(BeTrue())
		})
	}
}

func readObject(g Gomega, file string) *unstructured.Unstructured {
	raw, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	asJSON, err := yaml.YAMLToJSON(raw)
	g.Expect(err).NotTo(HaveOccurred())
	obj := &unstructured.Unstructured{}
	g.Expect(obj.UnmarshalJSON(asJSON)).To(Succeed())
	return obj
}

func TestPreserveNodePorts(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	keeping := target
	keeping.PreserveNodePorts = true

	prepared, reason := keeping.Prepare(readObject(g, "testdata/service.in.yaml"))

	g.Expect(reason).To(BeEmpty())
	g.Expect(prepared.Object["spec"]).To(HaveKeyWithValue("healthCheckNodePort", BeEquivalentTo(31999)))
	g.Expect(prepared.Object["spec"]).To(HaveKeyWithValue("ports", ContainElement(HaveKeyWithValue("nodePort", BeEquivalentTo(31234)))))
	g.Expect(prepared.Object["spec"]).NotTo(HaveKey("clusterIP"))
}

func TestParseImageRules(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	rules, problems := ParseImageRules(map[string]string{
		"b": "1.1.1.1:5000,2.2.2.2:3000", "a": " dev/ , test/ ", "c": "no delimiter", "d": "old,", "e": "a,b,c",
	})

	g.Expect(rules).To(Equal([]ImageRule{{"dev/", "test/"}, {"1.1.1.1:5000", "2.2.2.2:3000"}}), "by their keys")
	g.Expect(problems).To(HaveExactElements(
		HavePrefix(`data.c: Invalid value: "no delimiter": must be the old and the new part`), HavePrefix(`data.d:`), HavePrefix(`data.e:`)))
}

func TestNewClasses(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(target.NewClasses(readObject(g, "testdata/statefulset.in.yaml"))).To(Equal([]string{"fast", "fast"}))
	g.Expect(target.NewClasses(readObject(g, "testdata/claim-of-kept-volume.in.yaml"))).To(BeEmpty())
	g.Expect(Target{}.NewClasses(readObject(g, "testdata/statefulset.in.yaml"))).To(BeEmpty())
}
