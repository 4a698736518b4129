// Package volumemetrics counts the volumes that a node backs up, under Velero's
// names (velero-facts §9.2).
//
// The reconciler of PodVolumeBackups tells it what it has written; it decides
// nothing. Velero has no metric for restores of volumes. Those of data uploads and
// downloads, which podkeep does not make, are there at zero, so that alerts on them
// keep working.
package volumemetrics

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/instruments"
)

// Names of metrics, which are Velero's.
const (
	enqueued     = "podVolume_pod_volume_backup_enqueue_count"
	dequeued     = "podVolume_pod_volume_backup_dequeue_count"
	latency      = "podVolume_pod_volume_operation_latency_seconds"
	latencyGauge = "podVolume_pod_volume_operation_latency_seconds_gauge"

	labelNode      = "node"
	labelOperation = "operation"
	labelBackup    = "backupName"
	labelVolume    = "pod_volume_backup"
)

// zeros are the counters of what podkeep does not do.
var zeros = map[string]string{
	"podVolume_data_upload_success_total":   "Data uploads that succeeded; podkeep makes none.",
	"podVolume_data_upload_failure_total":   "Data uploads that failed; podkeep makes none.",
	"podVolume_data_upload_cancel_total":    "Data uploads that were canceled; podkeep makes none.",
	"podVolume_data_download_success_total": "Data downloads that succeeded; podkeep makes none.",
	"podVolume_data_download_failure_total": "Data downloads that failed; podkeep makes none.",
	"podVolume_data_download_cancel_total":  "Data downloads that were canceled; podkeep makes none.",
}

// Metrics are those of one node. A nil *Metrics counts nothing.
type Metrics struct {
	node         string
	enqueued     *prometheus.CounterVec
	dequeued     *prometheus.CounterVec
	latency      *prometheus.HistogramVec
	latencyGauge *prometheus.GaugeVec
}

// New registers the metrics of a node.
func New(registry prometheus.Registerer, node string) (*Metrics, error) {
	m := &Metrics{node: node}
	var errs [4]error
	m.enqueued, errs[0] = counter(registry, enqueued, "Volumes whose data began to move.")
	m.dequeued, errs[1] = counter(registry, dequeued, "Volumes whose backup completed.")
	labels := []string{labelNode, labelOperation, labelBackup, labelVolume}
	m.latency, errs[2] = instruments.Register(registry, prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Name: latency, Help: "Time that the backup of a volume took.", Buckets: instruments.Buckets()}, labels))
	m.latencyGauge, errs[3] = instruments.Register(registry, prometheus.NewGaugeVec(
		prometheus.GaugeOpts{Name: latencyGauge, Help: "Time that the backup of a volume took."}, labels))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	m.enqueued.WithLabelValues(node)
	m.dequeued.WithLabelValues(node)
	for name, help := range zeros {
		c, err := counter(registry, name, help)
		if err != nil {
			return nil, err
		}
		c.WithLabelValues(node)
	}
	return m, nil
}

func counter(registry prometheus.Registerer, name, help string) (*prometheus.CounterVec, error) {
	return instruments.Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{labelNode}))
}

// Changed counts what a change of a backup means. It is called once for each write.
func (m *Metrics) Changed(before, after *velerov1.PodVolumeBackup) {
	if m == nil {
		return
	}
	if before.Status.StartTimestamp == nil && after.Status.StartTimestamp != nil && after.Status.AcceptedTimestamp != nil {
		m.enqueued.WithLabelValues(m.node).Inc()
	}
	if before.IsFinished() || after.Status.Phase != velerov1.PodVolumeBackupPhaseCompleted {
		return
	}
	m.dequeued.WithLabelValues(m.node).Inc()
	if after.Status.StartTimestamp == nil || after.Status.CompletionTimestamp == nil {
		return
	}
	seconds := float64(int64(after.Status.CompletionTimestamp.Sub(after.Status.StartTimestamp.Time).Seconds()))
	labels := []string{m.node, operationOf(after), after.Namespace + "/" + after.Labels[velerov1.BackupNameLabel], after.Name}
	m.latency.WithLabelValues(labels...).Observe(seconds)
	m.latencyGauge.WithLabelValues(labels...).Set(seconds)
}

// Forget removes the series of a backup that is gone. Velero keeps them until it is
// started anew, and grows by two for each volume of each backup.
func (m *Metrics) Forget(name string) {
	if m == nil {
		return
	}
	of := prometheus.Labels{labelVolume: name}
	m.latency.DeletePartialMatch(of)
	m.latencyGauge.DeletePartialMatch(of)
}

func operationOf(b *velerov1.PodVolumeBackup) string {
	return fmt.Sprintf("%s-%s-%s-%s-backup", b.Name, b.Spec.BackupStorageLocation, b.Spec.Pod.Namespace, b.Spec.UploaderType)
}
