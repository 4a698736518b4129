package crd

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
)

func TestAll(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	crds, err := All()

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(crds).To(HaveLen(11))
	var names []string
	for _, crd := range crds {
		names = append(names, crd.Name)
		g.Expect(crd.Labels).To(HaveKeyWithValue("component", "velero"), crd.Name)
		g.Expect(crd.Name).To(Equal(crd.Spec.Names.Plural + ".velero.io"))
		subresources := crd.Spec.Versions[0].Subresources
		g.Expect(subresources == nil || subresources.Status == nil).To(BeTrue(), "%s has a status subresource", crd.Name)
	}
	g.Expect(slices.IsSorted(names)).To(BeTrue(), "%v", names)
}

func TestAllBelongsToTheCaller(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	first, err := All()
	g.Expect(err).NotTo(HaveOccurred())

	first[0].Name = "changed"

	second, err := All()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(second[0].Name).NotTo(Equal("changed"))
}
