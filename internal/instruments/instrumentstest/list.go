// Package instrumentstest compares metrics with a list of Velero's.
//
// It is for tests. A list has a line for each metric: name, type and labels, with
// tabs between and "-" for no label (velero-facts §9).
package instrumentstest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
)

// ExpectList fails the test unless the registry has exactly the metrics of the list
// in a file. Each must have a series.
func ExpectList(t *testing.T, registry prometheus.Gatherer, file string) {
	t.Helper()
	g := NewWithT(t)
	want, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	families, err := registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	var got []string
	for _, f := range families {
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		got = append(got, line(f.GetName(), strings.ToLower(f.GetType().String()), labels))
	}
	var wanted []string
	for text := range strings.Lines(string(want)) {
		fields := strings.Split(strings.TrimSpace(text), "\t")
		g.Expect(fields).To(HaveLen(3), text)
		var labels []string
		if fields[2] != "-" {
			labels = strings.Split(fields[2], ",")
		}
		wanted = append(wanted, line(fields[0], fields[1], labels))
	}
	g.Expect(got).To(ConsistOf(wanted))
}

func line(name, kind string, labels []string) string {
	slices.Sort(labels)
	return fmt.Sprintf("%s %s %v", name, kind, labels)
}
