package v1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
)

// TestReasonsAreNamedAfterTheirValues keeps the constants greppable: who sees a
// reason in a status finds its constant, and its meaning, by name.
func TestReasonsAreNamedAfterTheirValues(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, parser.ParseComments)
	g.Expect(err).NotTo(HaveOccurred())

	count := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		count++
		name := spec.Names[0].Name
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(name).To(BeElementOf("Reason"+value, "Condition"+value))
		g.Expect(spec.Doc.Text()).To(HavePrefix(name + " "))
		return false
	})
	g.Expect(count).To(BeNumerically(">", 0))
}
