package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/apirequests"
	"github.com/podkeep/podkeep/tests/suite"
)

// costs are what has been spent so far.
type costs struct {
	cpu      time.Duration // of the server
	agentCPU time.Duration
	memory   memory // of the server
	metrics  serverMetrics
}

// serverMetrics are what the server says of itself.
type serverMetrics struct {
	lists      map[string]int // lists that it has asked the API server for, by resource and group
	pages      map[string]int // pages of these after the first
	reconciles reconciles     // of backups
}

// reconciles are what the server's metrics say of one controller.
type reconciles struct {
	count   int
	seconds float64
}

func (r reconciles) since(before reconciles) reconciles {
	return reconciles{r.count - before.count, r.seconds - before.seconds}
}

// mean is the time of one.
func (r reconciles) mean() time.Duration {
	return time.Duration(r.seconds / float64(max(r.count, 1)) * float64(time.Second))
}

func (s *scale) readCosts(ctx context.Context) (c costs, err error) {
	var failed [4]error
	c.cpu, failed[0] = processorTime(s.server)
	c.agentCPU, failed[1] = processorTime(s.agent)
	c.memory, failed[2] = readMemory(s.server)
	c.metrics, failed[3] = s.readMetrics(ctx)
	return c, errors.Join(failed[:]...)
}

// metricsPort is that of the server's pod (config/install).
const metricsPort = 8085

// readMetrics asks the server's pod, which this machine can reach.
func (s *scale) readMetrics(ctx context.Context) (m serverMetrics, err error) {
	pods := &corev1.PodList{}
	if err := s.cluster.Client.List(ctx, pods, client.InNamespace(suite.Namespace), client.MatchingLabels{"deploy": "velero"}); err != nil {
		return m, err
	}
	if len(pods.Items) != 1 {
		return m, fmt.Errorf("there are %d pods of the server, not one", len(pods.Items))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/metrics", pods.Items[0].Status.PodIP, metricsPort), nil)
	if err != nil {
		return m, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return m, fmt.Errorf("reading the metrics of the server: %w", err)
	}
	defer response.Body.Close()
	return parseServerMetrics(response.Body)
}

// Metrics of the server that this program reads.
const (
	reconcileSum   = "controller_runtime_reconcile_time_seconds_sum"
	reconcileCount = "controller_runtime_reconcile_time_seconds_count"
)

func parseServerMetrics(text io.Reader) (serverMetrics, error) {
	m := serverMetrics{lists: map[string]int{}, pages: map[string]int{}}
	err := eachMetric(text, "", func(labels map[string]string, value float64) {
		switch name := labels[metricName]; {
		case name == apirequests.Name && labels[apirequests.VerbLabel] == apirequests.VerbList:
			m.lists[labels[apirequests.ResourceLabel]] = int(value)
		case name == apirequests.Name && labels[apirequests.VerbLabel] == apirequests.VerbPage:
			m.pages[labels[apirequests.ResourceLabel]] = int(value)
		case name == reconcileSum && labels["controller"] == "backup":
			m.reconciles.seconds = value
		case name == reconcileCount && labels["controller"] == "backup":
			m.reconciles.count = int(value)
		}
	})
	return m, err
}

// metricName is the label under which eachMetric gives the full name of a metric.
const metricName = "__name__"

// eachMetric reads the lines of Prometheus' text format whose names begin with a
// prefix.
func eachMetric(text io.Reader, prefix string, visit func(labels map[string]string, value float64)) error {
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || !strings.HasPrefix(line, prefix) {
			continue
		}
		labels, value, err := parseMetric(line)
		if err != nil {
			return fmt.Errorf("reading metric %q: %w", line, err)
		}
		visit(labels, value)
	}
	return lines.Err()
}

var errNoMetric = errors.New("is no metric")

// parseMetric takes a line apart: name{label="value",…} number.
func parseMetric(line string) (labels map[string]string, value float64, err error) {
	labels = map[string]string{}
	name, rest, found := strings.Cut(line, "{")
	if !found {
		name, rest, _ = strings.Cut(line, " ")
	}
	labels[metricName] = name
	for found && !strings.HasPrefix(rest, "}") {
		key, after, ok := strings.Cut(strings.TrimPrefix(rest, ","), "=")
		if !ok {
			return nil, 0, errNoMetric
		}
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, 0, err
		}
		if labels[key], err = strconv.Unquote(quoted); err != nil {
			return nil, 0, err
		}
		rest = after[len(quoted):]
	}
	value, err = strconv.ParseFloat(strings.TrimSpace(strings.TrimPrefix(rest, "}")), 64)
	return labels, value, err
}

// resetPeak makes the peak of a process what it has now (proc_pid_clear_refs(5)).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200)
}

// Columns of /proc/<pid>/stat after the name (proc_pid_stat(5)), and what they
// count in.
const (
	statUser       = 11
	statSystem     = 12
	ticksPerSecond = 100
)

// processorTime is what a process has used.
func processorTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have spaces
	fields := strings.Fields(rest)
	if len(fields) <= statSystem {
		return 0, fmt.Errorf("reading /proc/%d/stat: %q", pid, stat)
	}
	user, uerr := strconv.Atoi(fields[statUser])
	system, serr := strconv.Atoi(fields[statSystem])
	return time.Duration(user+system) * time.Second / ticksPerSecond, errors.Join(uerr, serr)
}
