package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// histogram is one of Prometheus': how many values are at most each bound. The last
// bound is infinite.
type histogram struct {
	bounds     []float64 // seconds, in order
	cumulative []float64
}

func (h histogram) since(before histogram) histogram {
	diff := histogram{bounds: h.bounds, cumulative: slices.Clone(h.cumulative)}
	for i := range before.cumulative { // none before the first value
		diff.cumulative[i] -= before.cumulative[i]
	}
	return diff
}

func (h histogram) count() float64 {
	if len(h.cumulative) == 0 {
		return 0
	}
	return h.cumulative[len(h.cumulative)-1]
}

// within is the share of values that are at most a bound of the histogram.
func (h histogram) within(bound float64) float64 {
	if i := slices.Index(h.bounds, bound); i >= 0 && h.count() > 0 {
		return h.cumulative[i] / h.count()
	}
	return math.NaN()
}

// quantile is the value below which a share of the values are, as Prometheus'
// histogram_quantile computes it: evenly spread in the bucket. Beyond the last finite
// bound it is infinite.
func (h histogram) quantile(share float64) float64 {
	rank := share * h.count()
	for i, n := range h.cumulative {
		if n < rank || n == 0 {
			continue
		}
		if math.IsInf(h.bounds[i], 1) {
			return h.bounds[i]
		}
		lower, below := 0.0, 0.0
		if i > 0 {
			lower, below = h.bounds[i-1], h.cumulative[i-1]
		}
		return lower + (h.bounds[i]-lower)*(rank-below)/(n-below)
	}
	return math.NaN()
}

// webhookCosts are what a replica has counted so far.
type webhookCosts struct {
	duration histogram // of the selection webhook
	requests float64   // at the API server
	cpu      time.Duration
}

// readWebhook asks a replica's pod, which this machine can reach.
func readWebhook(ctx context.Context, r replica) (c webhookCosts, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/metrics", r.pod.Status.PodIP, metricsPort), nil)
	if err != nil {
		return c, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return c, fmt.Errorf("reading the metrics of %s: %w", r.pod.Name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return c, fmt.Errorf("reading the metrics of %s: %w", r.pod.Name, err)
	}
	c.cpu, err = processorTime(r.pid)
	return c, errors.Join(err,
		eachMetric(bytes.NewReader(text), "podkeep_webhook_duration_seconds_bucket", func(labels map[string]string, value float64) {
			if bound, err := strconv.ParseFloat(labels["le"], 64); err == nil && labels["webhook"] == "selection" {
				c.duration.bounds = append(c.duration.bounds, bound)
				c.duration.cumulative = append(c.duration.cumulative, value)
			}
		}),
		eachMetric(bytes.NewReader(text), "rest_client_requests_total", func(_ map[string]string, value float64) { c.requests += value }))
}
