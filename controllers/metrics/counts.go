package metrics

import (
	"errors"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podkeep/podkeep/internal/instruments"
)

// counts are the metrics that changes add to.
type counts struct {
	counters    map[string]*prometheus.CounterVec
	durations   map[string]*prometheus.HistogramVec
	tarballSize *prometheus.GaugeVec
}

// newCounts registers the metrics.
func newCounts(registry prometheus.Registerer) (*counts, error) {
	c := &counts{counters: map[string]*prometheus.CounterVec{}, durations: map[string]*prometheus.HistogramVec{}}
	var errs []error
	add := func(help map[string]string, labels ...string) {
		for _, name := range slices.Sorted(maps.Keys(help)) {
			vec, err := instruments.Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help[name]}, labels))
			c.counters[name] = vec
			errs = append(errs, err)
		}
	}
	add(counters, labelSchedule)
	add(snapshotCounters, labelSchedule, labelBackup)
	add(maintenanceCounters, labelRepository)
	for _, h := range []struct{ name, help, label string }{
		{backupDuration, "Time from the start of a backup to its end.", labelSchedule},
		{maintenanceDuration, "Time that a maintenance run of a repository took.", labelRepository},
	} {
		vec, err := instruments.Register(registry, prometheus.NewHistogramVec(
			prometheus.HistogramOpts{Name: h.name, Help: h.help, Buckets: instruments.Buckets()}, []string{h.label}))
		c.durations[h.name] = vec
		errs = append(errs, err)
	}
	var err error
	c.tarballSize, err = instruments.Register(registry, prometheus.NewGaugeVec(
		prometheus.GaugeOpts{Name: backupTarballSize, Help: "Size of the archive of the last backup."}, []string{labelSchedule}))
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	c.begin("")
	return c, nil
}

// begin makes the series of a schedule, at zero: an alert on an increase sees the
// first one.
func (c *counts) begin(schedule string) {
	for name := range counters {
		c.counters[name].WithLabelValues(schedule)
	}
	for name := range snapshotCounters {
		c.counters[name].WithLabelValues(schedule, "")
	}
	c.durations[backupDuration].WithLabelValues(schedule)
}

// forget removes the series of a schedule that is gone.
func (c *counts) forget(schedule string) {
	of := prometheus.Labels{labelSchedule: schedule}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(counters)), slices.Collect(maps.Keys(snapshotCounters))) {
		c.counters[name].DeletePartialMatch(of)
	}
	c.durations[backupDuration].DeletePartialMatch(of)
	c.tarballSize.DeletePartialMatch(of)
}

// forgetRepository removes the series of a repository that is gone.
func (c *counts) forgetRepository(name string) {
	of := prometheus.Labels{labelRepository: name}
	for metric := range maintenanceCounters {
		c.counters[metric].DeletePartialMatch(of)
	}
	c.durations[maintenanceDuration].DeletePartialMatch(of)
}

func (c *counts) apply(changes []change) {
	for _, ch := range changes {
		if ch.took != nil {
			c.durations[ch.metric].WithLabelValues(ch.label).Observe(ch.took.Seconds())
			continue
		}
		c.counters[ch.metric].WithLabelValues(ch.label).Add(ch.add)
	}
}
