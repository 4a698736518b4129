package volumemetrics

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/instruments/instrumentstest"
)

func at(seconds float64) *metav1.Time {
	return &metav1.Time{Time: time.Unix(1_800_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))}
}

// stages of the backup of a volume: New, Accepted, InProgress, Completed.
func stages() (fresh, accepted, moving, completed *velerov1.PodVolumeBackup) {
	fresh = &velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly-1", Labels: map[string]string{velerov1.BackupNameLabel: "nightly"}},
		Spec: velerov1.PodVolumeBackupSpec{
			BackupStorageLocation: "default", UploaderType: "kopia", Pod: corev1.ObjectReference{Namespace: "shop"},
		},
	}
	accepted = fresh.DeepCopy()
	accepted.Status.Phase, accepted.Status.AcceptedTimestamp = velerov1.PodVolumeBackupPhaseAccepted, at(0)
	moving = accepted.DeepCopy()
	moving.Status.Phase, moving.Status.StartTimestamp = velerov1.PodVolumeBackupPhaseInProgress, at(1)
	completed = moving.DeepCopy()
	completed.Status.Phase, completed.Status.CompletionTimestamp = velerov1.PodVolumeBackupPhaseCompleted, at(8.9)
	return fresh, accepted, moving, completed
}

// TestEveryMetricOfVelero compares with the list of velero-facts §9.2.
func TestEveryMetricOfVelero(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	m, err := New(registry, "n1")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	_, _, moving, completed := stages()

	m.Changed(moving, completed)

	instrumentstest.ExpectList(t, registry, "testdata/velero.tsv")
}

func TestVolumesAreCounted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	m, err := New(prometheus.NewRegistry(), "n1")
	g.Expect(err).NotTo(HaveOccurred())
	fresh, accepted, moving, completed := stages()

	m.Changed(fresh, accepted)
	g.Expect(testutil.ToFloat64(m.enqueued)).To(BeZero())
	m.Changed(accepted, moving)
	m.Changed(moving, moving)
	g.Expect(testutil.ToFloat64(m.enqueued)).To(BeEquivalentTo(1))
	g.Expect(testutil.ToFloat64(m.dequeued)).To(BeZero())
	m.Changed(moving, completed)
	m.Changed(completed, completed)
	g.Expect(testutil.ToFloat64(m.dequeued)).To(BeEquivalentTo(1))
	g.Expect(testutil.ToFloat64(m.latencyGauge.WithLabelValues("n1", "nightly-1-default-shop-kopia-backup", "velero/nightly", "nightly-1"))).
		To(BeEquivalentTo(7), "whole seconds")

	failed := moving.DeepCopy()
	failed.Status.Phase = velerov1.PodVolumeBackupPhaseFailed
	m.Changed(moving, failed)
	g.Expect(testutil.ToFloat64(m.dequeued)).To(BeEquivalentTo(1), "only those that completed")

	m.Forget("nightly-1")
	g.Expect(testutil.CollectAndCount(m.latency) + testutil.CollectAndCount(m.latencyGauge)).To(BeZero())
}

func TestNoMetricsCountNothing(t *testing.T) {
	t.Parallel()
	var m *Metrics
	_, _, moving, completed := stages()

	m.Changed(moving, completed)
	m.Forget("nightly-1")
}
