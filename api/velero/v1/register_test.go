package v1_test

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestAddToSchemeRegistersEveryKind(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	scheme := runtime.NewScheme()

	g.Expect(velerov1.AddToScheme(scheme)).To(Succeed())

	known := scheme.KnownTypes(velerov1.SchemeGroupVersion)
	for name, k := range generatedKinds(t) {
		g.Expect(known).To(HaveKey(name))
		g.Expect(known).To(HaveKey(k.Names.ListKind))
	}
}
