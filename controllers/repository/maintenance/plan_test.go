package maintenance

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/repositories"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func at(d time.Duration) *metav1.Time { return &metav1.Time{Time: t0.Add(d)} }

type mod func(*velerov1.BackupRepository)

// ready was maintained an hour ago and is due now.
func ready(mods ...mod) *velerov1.BackupRepository {
	r := repositories.New("velero", "shop", "default")
	r.UID = "r-1"
	r.CreationTimestamp = *at(-48 * time.Hour)
	r.Spec.MaintenanceFrequency = metav1.Duration{Duration: time.Hour}
	r.Status.Phase = velerov1.BackupRepositoryPhaseReady
	r.Status.LastMaintenanceTime = at(-time.Hour)
	for _, m := range mods {
		m(r)
	}
	return r
}

// runs are results of maintenance that ended at these times before now.
func runs(result velerov1.BackupRepositoryMaintenanceResult, ago ...time.Duration) mod {
	return func(r *velerov1.BackupRepository) {
		for _, d := range ago {
			r.Status.RecentMaintenance = append(r.Status.RecentMaintenance, velerov1.BackupRepositoryMaintenanceStatus{
				Result: result, StartTimestamp: at(-d - time.Minute), CompleteTimestamp: at(-d),
			})
		}
	}
}

const (
	succeeded = velerov1.BackupRepositoryMaintenanceSucceeded
	failed    = velerov1.BackupRepositoryMaintenanceFailed
)

func bsl(mods ...func(*velerov1.BackupStorageLocation)) *velerov1.BackupStorageLocation {
	l := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "default"},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: "aws", Config: map[string]string{"region": "eu-west-1"},
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "backups"}},
		},
		Status: velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable},
	}
	for _, m := range mods {
		m(l)
	}
	return l
}

// job was made at that time; condition is "" while it runs.
func job(name string, made time.Duration, condition batchv1.JobConditionType) batchv1.Job {
	j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: *at(made)}}
	if condition != "" {
		j.Status.Conditions = []batchv1.JobCondition{{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: *at(made + time.Minute)}}
		j.Status.CompletionTime = at(made + time.Minute)
	}
	return j
}

func running(j batchv1.Job) batchv1.Job {
	j.Status.Ready = ptr.To[int32](1)
	return j
}

func TestPlan(t *testing.T) {
	t.Parallel()
	available := bsl()
	for name, tc := range map[string]struct {
		o          observed
		wantAction action
		wantJob    string
		wantAfter  time.Duration
	}{
		"one that goes away is left":          {o: observed{repository: ready(func(r *velerov1.BackupRepository) { r.DeletionTimestamp = at(0) }), location: available}, wantAction: actNothing},
		"a restic repository is left":         {o: observed{repository: ready(func(r *velerov1.BackupRepository) { r.Spec.RepositoryType = "restic" }), location: available}, wantAction: actNothing},
		"what ended is written down":          {o: observed{repository: ready(), location: available, jobs: []batchv1.Job{job("a", -time.Minute, batchv1.JobComplete)}}, wantAction: actRecord, wantJob: "a"},
		"the oldest first":                    {o: observed{repository: ready(), jobs: []batchv1.Job{job("a", -2*time.Minute, batchv1.JobFailed), job("b", -time.Minute, batchv1.JobComplete)}}, wantAction: actRecord, wantJob: "a"},
		"also of one that is not ready":       {o: observed{repository: ready(func(r *velerov1.BackupRepository) { r.Status.Phase = "NotReady" }), jobs: []batchv1.Job{job("a", -time.Minute, batchv1.JobFailed)}}, wantAction: actRecord, wantJob: "a"},
		"one that runs is waited for":         {o: observed{repository: ready(), location: available, jobs: []batchv1.Job{running(job("a", -5*time.Hour, ""))}}, wantAction: actNothing},
		"one that does not start is, too":     {o: observed{repository: ready(), location: available, jobs: []batchv1.Job{job("a", -10*time.Minute, "")}}, wantAction: actNothing, wantAfter: 20 * time.Minute},
		"but not forever":                     {o: observed{repository: ready(), location: available, jobs: []batchv1.Job{job("a", -30*time.Minute, "")}}, wantAction: actGiveUp, wantJob: "a"},
		"one that is not ready waits":         {o: observed{repository: ready(func(r *velerov1.BackupRepository) { r.Status.Phase = "NotReady" }), location: available}, wantAction: actNothing},
		"one without defaults waits":          {o: observed{repository: ready(func(r *velerov1.BackupRepository) { r.Spec.MaintenanceFrequency.Duration = 0 }), location: available}, wantAction: actNothing},
		"without a location nothing is done":  {o: observed{repository: ready()}, wantAction: actNothing},
		"a read-only location stays as it is": {o: observed{repository: ready(), location: bsl(func(l *velerov1.BackupStorageLocation) { l.Spec.AccessMode = "ReadOnly" })}, wantAction: actNothing},
		"an unavailable location is left":     {o: observed{repository: ready(), location: bsl(func(l *velerov1.BackupStorageLocation) { l.Status.Phase = "Unavailable" })}, wantAction: actNothing},
		"one that is not due waits":           {o: observed{repository: ready(func(r *velerov1.BackupRepository) { r.Status.LastMaintenanceTime = at(-time.Minute) }), location: available}, wantAction: actNothing, wantAfter: 59 * time.Minute},
		"others go first":                     {o: observed{repository: ready(), location: available, running: maxJobs}, wantAction: actNothing, wantAfter: slotRecheck},
		"one is due":                          {o: observed{repository: ready(), location: available, running: maxJobs - 1}, wantAction: actStart},
		"what is written down is done":        {o: observed{repository: ready(runs(succeeded, time.Hour)), location: available, jobs: []batchv1.Job{job("a", -61*time.Minute, batchv1.JobComplete)}}, wantAction: actStart},
		"one that failed is tried later":      {o: observed{repository: ready(runs(failed, time.Minute)), location: available}, wantAction: actNothing, wantAfter: 4 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.o.now = t0

			got := plan(tc.o)

			g.Expect(got.action).To(Equal(tc.wantAction))
			g.Expect(got.after).To(Equal(tc.wantAfter))
			if tc.wantJob != "" {
				g.Expect(got.job.Name).To(Equal(tc.wantJob))
			}
		})
	}
}

func TestNextTry(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		repository *velerov1.BackupRepository
		want       time.Duration
	}{
		"an hour after the last":                        {ready(), 0},
		"a new one at once":                             {ready(func(r *velerov1.BackupRepository) { r.Status.LastMaintenanceTime = nil }), -48 * time.Hour},
		"soon after one failure":                        {ready(runs(failed, 0)), 5 * time.Minute},
		"later after the second":                        {ready(runs(failed, time.Hour, 0)), 10 * time.Minute},
		"never later than it is maintained anyway":      {ready(runs(failed, 5*time.Hour, 4*time.Hour, 3*time.Hour, 2*time.Hour, time.Hour, 0)), time.Hour},
		"a success ends it":                             {ready(runs(failed, 3*time.Hour, 2*time.Hour), runs(succeeded, time.Hour)), 0},
		"failures count from the last success":          {ready(runs(failed, 3*time.Hour), runs(succeeded, time.Hour), runs(failed, 0)), 5 * time.Minute},
		"a frequency that is shorter than the backoff":  {ready(runs(failed, 0), func(r *velerov1.BackupRepository) { r.Spec.MaintenanceFrequency.Duration = time.Minute }), time.Minute},
		"many failures of one that is maintained daily": {ready(runs(failed, 3, 2, 1, 0), func(r *velerov1.BackupRepository) { r.Spec.MaintenanceFrequency.Duration = 24 * time.Hour }), 40 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(nextTry(tc.repository).Sub(t0)).To(Equal(tc.want))
		})
	}
}

func TestSurplusJobs(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	jobs := []batchv1.Job{
		job("a", -5*time.Hour, batchv1.JobComplete), job("b", -4*time.Hour, batchv1.JobFailed), job("c", -3*time.Hour, batchv1.JobComplete),
		job("d", -2*time.Hour, batchv1.JobComplete),
	}
	repository := ready(runs(succeeded, 5*time.Hour-time.Minute, 4*time.Hour-time.Minute, 3*time.Hour-time.Minute))
	names := func(keep int) []string {
		var names []string
		for _, j := range surplus(observed{repository: repository, jobs: jobs}, &jobs[3], keep) {
			names = append(names, j.Name)
		}
		return names
	}

	g.Expect(names(3)).To(Equal([]string{"a"}))
	g.Expect(names(1)).To(Equal([]string{"a", "b", "c"}))
	g.Expect(names(10)).To(BeEmpty())
}

func terminatedPod(message string) *corev1.Pod {
	return &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", Message: message}},
	}}}}
}

func TestReportSaysWhatFailed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		action action
		pod    *corev1.Pod
		want   string
	}{
		"the mover says it":        {actRecord, terminatedPod(`{"totalBytes":0,"error":"wrong\npassword"}`), "wrong password"},
		"it died":                  {actRecord, terminatedPod("panic: no"), "the container ended with exit code 1 (Error): panic: no"},
		"nobody knows":             {actRecord, nil, "Repo maintenance failed but result is not retrieveable"},
		"the pod was never made":   {actGiveUp, nil, "the pod did not start within 30m0s: it was not created; see the events of the Job"},
		"the pod was not placed":   {actGiveUp, &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes"}}}}, "the pod did not start within 30m0s: Unschedulable: 0/1 nodes"},
		"the image does not exist": {actGiveUp, &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}}}}}, "the pod did not start within 30m0s: ErrImagePull"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			j := job("a", -time.Hour, batchv1.JobFailed)
			o := observed{repository: ready(), now: t0, pod: tc.pod}

			report(o, step{action: tc.action, job: &j})

			status := o.repository.Status
			g.Expect(status.RecentMaintenance).To(HaveLen(1))
			g.Expect(status.RecentMaintenance[0].Result).To(Equal(failed))
			g.Expect(status.RecentMaintenance[0].Message).To(Equal(tc.want))
			g.Expect(status.RecentMaintenance[0].StartTimestamp).To(Equal(at(-time.Hour)))
			g.Expect(status.LastMaintenanceTime).To(Equal(at(-time.Hour)), "it does not move")
			g.Expect(status.Conditions[0].Reason).To(Equal(velerov1.ReasonMaintenanceFailed))
		})
	}
}

func TestReportKeepsTheNewest(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	o := observed{repository: ready(), now: t0}

	for i := range maxRecent + 5 {
		j := job("a", time.Duration(i)*time.Minute, batchv1.JobComplete)
		report(o, step{action: actRecord, job: &j})
	}

	recent := o.repository.Status.RecentMaintenance
	g.Expect(recent).To(HaveLen(maxRecent))
	g.Expect(recent[maxRecent-1].StartTimestamp).To(Equal(at((maxRecent + 4) * time.Minute)))
	g.Expect(o.repository.Status.LastMaintenanceTime).To(Equal(at((maxRecent + 5) * time.Minute)))
}
