package coverage

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podkeep/podkeep/internal/coverage"
)

// Names of the metrics. They are API: rules and dashboards name them.
const (
	// MetricVolumes counts volumes, by namespace, verdict and reason.
	MetricVolumes = "podkeep_coverage_volumes"

	// MetricOldestBackup is, by namespace, when the oldest of the last backups of its
	// volumes began that a schedule takes, in seconds since 1970. A namespace without
	// such backups has none.
	MetricOldestBackup = "podkeep_coverage_oldest_backup_timestamp_seconds"

	// MetricEvaluated is when the others were computed, in seconds since 1970.
	MetricEvaluated = "podkeep_coverage_evaluation_timestamp_seconds"

	// MetricDuration is how long that took, in seconds.
	MetricDuration = "podkeep_coverage_evaluation_duration_seconds"
)

// Labels of the metrics.
const (
	LabelNamespace = "namespace"
	LabelVerdict   = "verdict"
	LabelReason    = "reason"
)

var (
	volumesDesc = prometheus.NewDesc(MetricVolumes,
		"Volumes, by namespace, verdict and reason (docs/coverage.md).", []string{LabelNamespace, LabelVerdict, LabelReason}, nil)
	oldestDesc = prometheus.NewDesc(MetricOldestBackup,
		"When the oldest of the last backups of the volumes that a schedule takes began.", []string{LabelNamespace}, nil)
	evaluatedDesc = prometheus.NewDesc(MetricEvaluated, "When the coverage was last computed.", nil, nil)
	durationDesc  = prometheus.NewDesc(MetricDuration, "How long it took to compute the coverage.", nil, nil)
)

// totals are the metrics of one evaluation. They are not changed once they are
// published.
type totals struct {
	volumes map[group]int
	oldest  map[string]time.Time // by namespace
	at      time.Time
	took    time.Duration
}

// group is what volumes are counted by.
type group struct {
	namespace string
	verdict   coverage.Verdict
	reason    coverage.Reason
}

// total counts the volumes of a cluster.
func total(f coverage.Facts) *totals {
	t := &totals{volumes: map[group]int{}, oldest: map[string]time.Time{}, at: f.Now}
	for r := range coverage.Rows(f) {
		t.volumes[group{r.Namespace, r.Verdict, r.Reason}]++
		if r.LastSuccess == nil || len(r.Schedules) == 0 {
			continue
		}
		if oldest, ok := t.oldest[r.Namespace]; !ok || r.LastSuccess.At.Before(oldest) {
			t.oldest[r.Namespace] = r.LastSuccess.At
		}
	}
	return t
}

// collector shows the newest totals; before the first there are no metrics, so that
// nobody takes a server that has just started for a cluster without volumes.
type collector struct{ newest atomic.Pointer[totals] }

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{volumesDesc, oldestDesc, evaluatedDesc, durationDesc} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	t := c.newest.Load()
	if t == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for g, n := range t.volumes {
		gauge(volumesDesc, float64(n), g.namespace, string(g.verdict), string(g.reason))
	}
	for namespace, at := range t.oldest {
		gauge(oldestDesc, float64(at.Unix()), namespace)
	}
	gauge(evaluatedDesc, float64(t.at.Unix()))
	gauge(durationDesc, t.took.Seconds())
}
