package webhook

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podkeep/podkeep/internal/selection"
)

// durationBuckets are in seconds. The promise is 10 ms for 99 of 100 admissions,
// so most buckets are around it; the last is the timeout.
var durationBuckets = []float64{0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.5, 1, 5}

// metrics are what the webhook counts.
type metrics struct {
	decisions *prometheus.CounterVec
	volumes   *prometheus.CounterVec
	duration  *prometheus.HistogramVec
}

// newMetrics registers the metrics. Metrics that are registered already are used
// again, so that a process can set up twice.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podkeep_webhook_decisions_total",
			Help: "Admissions, by webhook, whether the pod was admitted, and reason.",
		}, []string{"webhook", "admitted", "reason"}),
		volumes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podkeep_webhook_volume_decisions_total",
			Help: "Volumes of stamped pods, by whether file system backup takes them, and reason.",
		}, []string{"included", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "podkeep_webhook_duration_seconds",
			Help:    "Time from the arrival of a request to the end of its answer, by webhook.",
			Buckets: durationBuckets,
		}, []string{"webhook"}),
	}
	var errs [3]error
	m.decisions, errs[0] = register(registry, m.decisions)
	m.volumes, errs[1] = register(registry, m.volumes)
	m.duration, errs[2] = register(registry, m.duration)
	return m, errors.Join(errs[:]...)
}

func register[C prometheus.Collector](registry prometheus.Registerer, c C) (C, error) {
	err := registry.Register(c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, same := known.ExistingCollector.(C); same {
			return existing, nil
		}
	}
	return c, err
}

// observe counts one admission.
func (m *metrics) observe(webhook string, v verdict) {
	m.decisions.WithLabelValues(webhook, strconv.FormatBool(!v.denied), string(v.reason)).Inc()
	for _, d := range v.decisions {
		m.countVolume(d)
	}
}

// took records how long a request took, from its first byte to the last of the
// answer.
func (m *metrics) took(webhook string, d time.Duration) {
	m.duration.WithLabelValues(webhook).Observe(d.Seconds())
}

func (m *metrics) countVolume(d selection.Decision) {
	m.volumes.WithLabelValues(strconv.FormatBool(d.Included), string(d.Reason)).Inc()
}
