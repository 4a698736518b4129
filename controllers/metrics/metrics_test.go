package metrics

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/instruments/instrumentstest"
)

var t0 = time.Date(2026, 8, 1, 3, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: t0.Add(d)} }

func backup(mods ...func(*velerov1.Backup)) *velerov1.Backup {
	b := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{
		Namespace: "velero", Name: "nightly-1", UID: "b", Labels: map[string]string{velerov1.ScheduleNameLabel: "nightly"},
	}}
	for _, mod := range mods {
		mod(b)
	}
	return b
}

func started(b *velerov1.Backup) {
	b.Status.Phase, b.Status.StartTimestamp = velerov1.BackupPhaseInProgress, at(0)
}

func ended(phase velerov1.BackupPhase, after time.Duration) func(*velerov1.Backup) {
	return func(b *velerov1.Backup) {
		started(b)
		b.Status.Phase, b.Status.CompletionTimestamp = phase, at(after)
	}
}

func warned(b *velerov1.Backup) { b.Status.Warnings = 3 }

func TestChangesOfABackup(t *testing.T) {
	t.Parallel()
	minute := time.Minute
	duration := change{metric: backupDuration, label: "nightly", took: &minute}
	tests := map[string]struct {
		before, after *velerov1.Backup
		want          []change
	}{
		"it starts":                       {backup(), backup(started), []change{count(backupAttempts, "nightly")}},
		"it goes on":                      {backup(started), backup(started), nil},
		"it completes":                    {backup(started), backup(ended(velerov1.BackupPhaseCompleted, minute)), []change{count(backupSuccesses, "nightly"), duration}},
		"it completes with warnings":      {backup(started), backup(ended(velerov1.BackupPhaseCompleted, minute), warned), []change{count(backupSuccesses, "nightly"), count(backupWarnings, "nightly"), duration}},
		"it has errors":                   {backup(started), backup(ended(velerov1.BackupPhasePartiallyFailed, minute)), []change{count(backupPartialFailures, "nightly"), duration}},
		"it fails":                        {backup(started), backup(ended(velerov1.BackupPhaseFailed, minute)), []change{count(backupFailures, "nightly"), duration}},
		"it is refused":                   {backup(), backup(func(b *velerov1.Backup) { b.Status.Phase = velerov1.BackupPhaseFailedValidation }), []change{count(backupValidationFailures, "nightly")}},
		"it is marked for deletion":       {backup(ended(velerov1.BackupPhaseCompleted, minute)), backup(ended(velerov1.BackupPhaseDeleting, minute)), nil},
		"a label of a finished one is no": {backup(ended(velerov1.BackupPhaseFailed, minute)), backup(ended(velerov1.BackupPhaseFailed, minute), warned), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(ofBackup(tc.before, tc.after)).To(Equal(tc.want))
		})
	}
}

func TestChangesOfOtherKinds(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	restore := func(phase velerov1.RestorePhase) *velerov1.Restore {
		r := &velerov1.Restore{Spec: velerov1.RestoreSpec{ScheduleName: "nightly"}}
		if r.Status.Phase = phase; phase != "" {
			r.Status.StartTimestamp = at(0)
		}
		return r
	}
	g.Expect(ofRestore(restore(""), restore(velerov1.RestorePhaseInProgress))).To(Equal([]change{count(restoreAttempts, "nightly")}))
	for phase, metric := range map[velerov1.RestorePhase]string{
		velerov1.RestorePhaseCompleted: restoreSuccesses, velerov1.RestorePhasePartiallyFailed: restorePartialFailures,
		velerov1.RestorePhaseFailed: restoreFailures, velerov1.RestorePhaseFailedValidation: restoreValidationFailures,
	} {
		g.Expect(ofRestore(restore(velerov1.RestorePhaseInProgress), restore(phase))).To(Equal([]change{count(metric, "nightly")}))
		g.Expect(ofRestore(restore(phase), restore(phase))).To(BeEmpty())
	}

	request := func(phase velerov1.DeleteBackupRequestPhase) *velerov1.DeleteBackupRequest {
		return &velerov1.DeleteBackupRequest{Status: velerov1.DeleteBackupRequestStatus{Phase: phase}}
	}
	const inProgress, processed = velerov1.DeleteBackupRequestPhaseInProgress, velerov1.DeleteBackupRequestPhaseProcessed
	g.Expect(ofRequest(request(""), request(inProgress), "s")).To(Equal([]change{count(deletionAttempts, "s")}))
	g.Expect(ofRequest(request(inProgress), request(processed), "s")).To(Equal([]change{count(deletionFailures, "s")}))
	g.Expect(ofRequest(request(""), request(processed), "s")).To(BeEmpty(), "it was refused")
	g.Expect(ofGoneBackup(backup(ended(velerov1.BackupPhaseDeleting, time.Minute)))).To(Equal([]change{count(deletionSuccesses, "nightly")}))
	g.Expect(ofGoneBackup(backup(ended(velerov1.BackupPhaseCompleted, time.Minute)))).To(BeEmpty(), "its data is still there")
}

func TestChangesOfARepository(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	run := func(start time.Duration, result velerov1.BackupRepositoryMaintenanceResult) velerov1.BackupRepositoryMaintenanceStatus {
		return velerov1.BackupRepositoryMaintenanceStatus{Result: result, StartTimestamp: at(start), CompleteTimestamp: at(start + time.Minute)}
	}
	repository := func(runs ...velerov1.BackupRepositoryMaintenanceStatus) *velerov1.BackupRepository {
		return &velerov1.BackupRepository{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Status: velerov1.BackupRepositoryStatus{RecentMaintenance: runs}}
	}
	const succeeded, failed = velerov1.BackupRepositoryMaintenanceSucceeded, velerov1.BackupRepositoryMaintenanceFailed
	minute := time.Minute
	duration := change{metric: maintenanceDuration, label: "shop", took: &minute}

	g.Expect(ofRepository(repository(run(0, succeeded)), repository(run(0, succeeded), run(time.Hour, failed)))).To(Equal([]change{
		count(maintenanceFailures, "shop"), duration,
	}))
	g.Expect(ofRepository(repository(run(0, "")), repository(run(0, succeeded)))).To(Equal([]change{count(maintenanceSuccesses, "shop"), duration}))
	g.Expect(ofRepository(repository(run(0, succeeded), run(time.Hour, succeeded)), repository(run(time.Hour, succeeded)))).To(BeEmpty(), "old ones are dropped")
}

func TestSamplesAreOfTheObjectsAsTheyAre(t *testing.T) {
	t.Parallel()
	w := world{now: t0, restores: 2}
	w.schedules = []velerov1.Schedule{
		{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}, Spec: velerov1.ScheduleSpec{Schedule: "0 3 * * *"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "broken"}, Spec: velerov1.ScheduleSpec{Schedule: "often"}},
	}
	w.locations = []velerov1.BackupStorageLocation{
		{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Status: velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable}},
		{ObjectMeta: metav1.ObjectMeta{Name: "new"}},
	}
	w.backups = []velerov1.Backup{
		*backup(ended(velerov1.BackupPhasePartiallyFailed, 2*time.Hour), func(b *velerov1.Backup) {
			b.Status.Errors, b.Status.Progress = 4, &velerov1.BackupProgress{TotalItems: 50}
		}),
		*backup(ended(velerov1.BackupPhaseCompleted, time.Hour)),
		*backup(ended(velerov1.BackupPhaseCompleted, 0)),
		*backup(started),
	}

	NewWithT(t).Expect(samples(w)).To(ConsistOf(
		sample{backupTotal, "", 4}, sample{restoreTotal, "", 2},
		sample{backupLastStatus, "", valueOK}, sample{backupLastStatus, "broken", valueOK},
		sample{backupLastStatus, "nightly", valueFailure}, sample{backupItems, "nightly", 50}, sample{backupItemErrors, "nightly", 4},
		sample{backupLastSuccess, "nightly", float64(t0.Add(time.Hour).Unix())},
		sample{scheduleInterval, "nightly", 86400},
		sample{locationStatus, "default", valueOK}, sample{locationStatus, "new", valueFailure},
	))
}

// started watches with a recorder until the test ends.
func startRecorder(t *testing.T, objects ...client.Object) (*Recorder, *informertest.FakeInformers, *prometheus.Registry) {
	t.Helper()
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(velerov1.AddToScheme(scheme)).To(Succeed())
	registry := prometheus.NewRegistry()
	informers := &informertest.FakeInformers{Scheme: scheme}
	r := &Recorder{Registry: registry, Clock: testingclock.NewFakePassiveClock(t0), Namespace: "velero"}
	var err error
	r.counts, err = newCounts(registry)
	g.Expect(err).NotTo(HaveOccurred())
	r.cache, r.reader = informers, fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	registry.MustRegister(newState(r.reader, r.Namespace, r.Clock, r.filled.Load))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		g.Expect(<-ended).To(Succeed())
	})
	g.Eventually(r.filled.Load).Should(BeTrue())
	return r, informers, registry
}

func informerFor(t *testing.T, informers *informertest.FakeInformers, kind client.Object) *controllertest.FakeInformer {
	t.Helper()
	informer, err := informers.FakeInformerFor(t.Context(), kind)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return informer
}

// TestEveryMetricOfVelero compares with the list of velero-facts §9.1.
func TestEveryMetricOfVelero(t *testing.T) {
	t.Parallel()
	r, informers, registry := startRecorder(t,
		backup(ended(velerov1.BackupPhaseCompleted, time.Minute), func(b *velerov1.Backup) { b.Status.Progress = &velerov1.BackupProgress{} }),
		&velerov1.Schedule{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly"}, Spec: velerov1.ScheduleSpec{Schedule: "@daily"}},
		&velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "default"}},
	)
	r.Archived(backup(), 1000)
	before := &velerov1.BackupRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "shop"}}
	after := before.DeepCopy()
	for d, result := range []velerov1.BackupRepositoryMaintenanceResult{velerov1.BackupRepositoryMaintenanceSucceeded, velerov1.BackupRepositoryMaintenanceFailed} {
		after.Status.RecentMaintenance = append(after.Status.RecentMaintenance, velerov1.BackupRepositoryMaintenanceStatus{
			Result: result, StartTimestamp: at(time.Duration(d) * time.Hour), CompleteTimestamp: at(time.Duration(d+1) * time.Hour),
		})
	}
	informerFor(t, informers, &velerov1.BackupRepository{}).Update(before, after)

	instrumentstest.ExpectList(t, registry, "testdata/velero.tsv")
}

func TestRecorderCountsWhatHappens(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r, informers, _ := startRecorder(t, backup(ended(velerov1.BackupPhaseDeleting, time.Minute)))
	value := func(metric, schedule string) float64 {
		return testutil.ToFloat64(r.counts.counters[metric].WithLabelValues(schedule))
	}
	backups := informerFor(t, informers, &velerov1.Backup{})

	backups.Add(backup(ended(velerov1.BackupPhaseCompleted, time.Minute))) // found in a bucket
	g.Expect(value(backupSuccesses, "nightly")).To(BeZero())
	backups.Update(backup(started), backup(ended(velerov1.BackupPhaseCompleted, time.Minute)))
	g.Expect(value(backupSuccesses, "nightly")).To(BeEquivalentTo(1))
	again := backup(started)
	again.UID = "another"
	backups.Update(backup(ended(velerov1.BackupPhaseFailed, 0)), again)
	g.Expect(value(backupAttempts, "nightly")).To(BeZero(), "it was not seen to begin")

	before := &velerov1.DeleteBackupRequest{Spec: velerov1.DeleteBackupRequestSpec{BackupName: "nightly-1"}}
	after := before.DeepCopy()
	after.Status.Phase = velerov1.DeleteBackupRequestPhaseInProgress
	informerFor(t, informers, &velerov1.DeleteBackupRequest{}).Update(before, after)
	g.Expect(value(deletionAttempts, "nightly")).To(BeEquivalentTo(1))
	backups.Delete(backup(ended(velerov1.BackupPhaseDeleting, time.Minute)))
	g.Expect(value(deletionSuccesses, "nightly")).To(BeEquivalentTo(1))

	schedules := informerFor(t, informers, &velerov1.Schedule{})
	weekly := &velerov1.Schedule{ObjectMeta: metav1.ObjectMeta{Name: "weekly"}}
	schedules.Add(weekly)
	g.Expect(testutil.CollectAndCount(r.counts.counters[backupFailures])).To(Equal(2), "without a schedule, and weekly: at zero")
	schedules.Delete(weekly)
	g.Expect(testutil.CollectAndCount(r.counts.counters[backupFailures])).To(Equal(1))
}

func TestNothingIsSaidBeforeTheCacheIsFilled(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := newState(nil, "velero", testingclock.NewFakePassiveClock(t0), func() bool { return false })

	g.Expect(testutil.CollectAndCount(s)).To(BeZero())
}
