package watchdog

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Values of the label "problem".
const (
	problemNoStamp = "StampMissing"
	problemNoGate  = "GateMissing"
)

// Values of the label "repair".
const (
	repairStamped   = "Stamped"
	repairRecreated = "Recreated"
	repairReported  = "Reported"
	repairUnmarked  = "NamespaceUnmarked"
)

// metrics are what the watchdog counts.
type metrics struct {
	pods     *prometheus.GaugeVec
	repairs  *prometheus.CounterVec
	lastScan prometheus.Gauge
}

// newMetrics registers the metrics. Metrics that are registered already are used
// again.
func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		pods: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "podkeep_watchdog_pods",
			Help: "Pods that the last scan has found without what the webhook gives them, by problem.",
		}, []string{"problem"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "podkeep_watchdog_repairs_total",
			Help: "What the watchdog has done about what it found, by repair.",
		}, []string{"repair"}),
		lastScan: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "podkeep_watchdog_last_scan_timestamp_seconds",
			Help: "When the last scan ended, in seconds since 1970.",
		}),
	}
	for _, problem := range []string{problemNoStamp, problemNoGate} {
		m.pods.WithLabelValues(problem)
	}
	for _, repair := range []string{repairStamped, repairRecreated, repairReported, repairUnmarked} {
		m.repairs.WithLabelValues(repair)
	}
	return m, errors.Join(register(registry, &m.pods), register(registry, &m.repairs), register(registry, &m.lastScan))
}

// register registers *c, or replaces it by the one that is registered already.
func register[C prometheus.Collector](registry prometheus.Registerer, c *C) error {
	err := registry.Register(*c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, same := known.ExistingCollector.(C); same {
			*c = existing
			return nil
		}
	}
	return err
}
