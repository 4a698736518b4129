package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestEachMetric(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	text := `# HELP requests_total of the server
requests_total{code="200",resource="pods",verb="LIST"} 7
requests_total{code="200",path="a\"b,c=\\}",verb="LIST"} 1.5e+03
requests_total 3
other{verb="LIST"} 9
`
	var got []map[string]string
	var values []float64

	err := eachMetric(strings.NewReader(text), "requests_total", func(labels map[string]string, value float64) {
		got, values = append(got, labels), append(values, value)
	})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal([]map[string]string{
		{metricName: "requests_total", "code": "200", "resource": "pods", "verb": "LIST"},
		{metricName: "requests_total", "code": "200", "path": `a"b,c=\}`, "verb": "LIST"},
		{metricName: "requests_total"},
	}))
	g.Expect(values).To(Equal([]float64{7, 1500, 3}))
}

func TestEachMetricRefuses(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"m{a} 1", `m{a="b} 1`, `m{a="b"} x`, "m"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(eachMetric(strings.NewReader(line), "m", func(map[string]string, float64) {})).NotTo(Succeed())
		})
	}
}

func TestListsAreCountedByTheirPages(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	got := listsBetween(map[string]int{"configmaps": 10, "leases": 4}, map[string]int{"configmaps": 38, "secrets": 24, "leases": 4, "events": 3}, 500)

	g.Expect(got).To(Equal([]listCount{
		{resource: "events", requests: 3},
		{resource: "configmaps", requests: 28, items: 7000}, // 14 pages
		{resource: "secrets", requests: 24, items: 6000},    // 12 pages
	}))
	g.Expect([]int{got[0].lists(), got[1].lists(), got[2].lists()}).To(Equal([]int{3, 2, 2}))
}

func TestParseCounts(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(parseCounts("-objects", "500,2000")).To(Equal([]int{500, 2000}))
	for _, text := range []string{"", "0", "a", "2,1", "1,,2"} {
		_, err := parseCounts("-objects", text)
		g.Expect(err).To(MatchError(ContainSubstring("-objects: Invalid value")), text)
	}
}

func TestEachVisitsAllAndStopsAtAnError(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var visited atomic.Int64
	g.Expect(each(t.Context(), 3, 103, func(context.Context, int) error { visited.Add(1); return nil })).To(Succeed())
	g.Expect(visited.Load()).To(BeEquivalentTo(100))

	broken := errors.New("broken")
	err := each(t.Context(), 0, 1_000_000, func(ctx context.Context, i int) error {
		if i == 50 {
			return broken
		}
		return ctx.Err()
	})

	g.Expect(err).To(MatchError(broken))
}

func TestCostsOfAProcess(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	cpu, err := processorTime(os.Getpid())

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(cpu).To(And(BeNumerically(">=", 0), BeNumerically("<", time.Hour)))
}
