// Package instruments registers Prometheus metrics.
//
// It holds what the metrics of all roles have in common, and no metric of its own:
// those are with what they measure (controllers/metrics, nodeagent/volumemetrics,
// internal/apirequests). Names are Velero's where Velero has the metric
// (velero-facts §9).
package instruments

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers a metric. One that is registered already is used again, so
// that a process can set up twice.
func Register[C prometheus.Collector](registry prometheus.Registerer, c C) (C, error) {
	err := registry.Register(c)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, same := known.ExistingCollector.(C); same {
			return existing, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("registering metrics: %w", err)
	}
	return c, nil
}

// Buckets are the bounds, in seconds, of Velero's histograms: of backups, of
// volumes and of maintenance alike.
func Buckets() []float64 {
	return []float64{60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400}
}
