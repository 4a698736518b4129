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

func TestOnlyListsOfTheServerAreCounted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	before, err := parseServerMetrics(strings.NewReader(`# HELP podkeep_api_requests_total Requests
podkeep_api_requests_total{resource="configmaps",verb="list"} 3
podkeep_api_requests_total{resource="leases.coordination.k8s.io",verb="list"} 4
apiserver_request_total{resource="configmaps",verb="LIST"} 100
`))
	g.Expect(err).NotTo(HaveOccurred())
	after, err := parseServerMetrics(strings.NewReader(`podkeep_api_requests_total{resource="configmaps",verb="list"} 5
podkeep_api_requests_total{resource="configmaps",verb="list-page"} 28
podkeep_api_requests_total{resource="configmaps",verb="get"} 9
podkeep_api_requests_total{resource="leases.coordination.k8s.io",verb="list"} 4
podkeep_api_requests_total{resource="events",verb="list"} 1
podkeep_api_requests_total{resource="podvolumebackups.velero.io",verb="list"} 7
controller_runtime_reconcile_time_seconds_sum{controller="backup"} 1.5
controller_runtime_reconcile_time_seconds_count{controller="backup"} 6
controller_runtime_reconcile_time_seconds_count{controller="restore"} 60
`))
	g.Expect(err).NotTo(HaveOccurred())

	g.Expect(listsBetween(before, after)).To(Equal([]listCount{
		{resource: "configmaps", lists: 2, pages: 28},
		{resource: "events", lists: 1},
	}))
	g.Expect(after.reconciles).To(Equal(reconciles{count: 6, seconds: 1.5}))
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
