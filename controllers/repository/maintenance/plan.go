package maintenance

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// maxJobs bounds how many repositories are maintained at once: with hundreds of
	// namespaces all would be due in the same minute.
	maxJobs = 3

	// slotRecheck is the safety net of waiting for another Job to end.
	slotRecheck = time.Minute

	// startTimeout is how long the pod of a Job may take to run.
	startTimeout = 30 * time.Minute

	// firstBackoff is the pause after one failure; it doubles with each, up to the
	// frequency of maintenance.
	firstBackoff = 5 * time.Minute

	// maxRecent is how many runs the status keeps, as Velero's main branch does.
	maxRecent = 25
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	repository *velerov1.BackupRepository
	now        time.Time

	// location is that of the repository, nil when it does not exist.
	location *velerov1.BackupStorageLocation

	// jobs are those of the repository, oldest first; pod is that of the first one
	// that is to be recorded or given up, nil when it is gone.
	jobs []batchv1.Job
	pod  *corev1.Pod

	// running counts the unfinished Jobs of all repositories.
	running int
}

type action string

const (
	actNothing action = "Nothing"
	actRecord  action = "Record"
	actGiveUp  action = "GiveUp"
	actStart   action = "Start"
)

// step is the one thing to do now.
type step struct {
	action action
	job    *batchv1.Job  // with actRecord and actGiveUp
	after  time.Duration // look again after; 0 means when a watched object changes
}

// plan decides the next step. Each case is one row of the state table in
// docs/backup-repository.md.
func plan(o observed) step {
	r := o.repository
	ended, unfinished := endedJob(o), unfinishedJob(o.jobs)
	switch {
	case !r.DeletionTimestamp.IsZero() || r.Spec.RepositoryType != velerov1.BackupRepositoryTypeKopia:
		return step{action: actNothing}
	case ended != nil:
		return step{action: actRecord, job: ended}
	case unfinished != nil && hasStarted(unfinished):
		return step{action: actNothing}
	case unfinished != nil && !o.now.Before(unfinished.CreationTimestamp.Add(startTimeout)):
		return step{action: actGiveUp, job: unfinished}
	case unfinished != nil:
		return step{action: actNothing, after: unfinished.CreationTimestamp.Add(startTimeout).Sub(o.now)}
	case r.Status.Phase != velerov1.BackupRepositoryPhaseReady || r.Spec.MaintenanceFrequency.Duration <= 0 || !isWritable(o.location):
		return step{action: actNothing}
	case o.now.Before(nextTry(r)):
		return step{action: actNothing, after: nextTry(r).Sub(o.now)}
	case o.running >= maxJobs:
		return step{action: actNothing, after: slotRecheck}
	default:
		return step{action: actStart}
	}
}

// isWritable reports whether maintenance can be done in a location. What is wrong
// with it is said there.
func isWritable(bsl *velerov1.BackupStorageLocation) bool {
	return bsl != nil && bsl.Spec.AccessMode != velerov1.BackupStorageLocationAccessModeReadOnly &&
		bsl.Status.Phase != velerov1.BackupStorageLocationPhaseUnavailable
}

// nextTry is when the repository is to be maintained next.
func nextTry(r *velerov1.BackupRepository) time.Time {
	frequency := r.Spec.MaintenanceFrequency.Duration
	failures, last := recentFailures(r)
	if failures > 0 && last != nil {
		return last.Add(backoff(failures, frequency))
	}
	if r.Status.LastMaintenanceTime == nil {
		return r.CreationTimestamp.Time
	}
	return r.Status.LastMaintenanceTime.Add(frequency)
}

// recentFailures counts the failures since the last success, and says when the
// last of them ended.
func recentFailures(r *velerov1.BackupRepository) (int, *metav1.Time) {
	var last *metav1.Time
	count := 0
	for _, run := range slices.Backward(r.Status.RecentMaintenance) {
		if run.Result == velerov1.BackupRepositoryMaintenanceSucceeded {
			break
		}
		if last == nil {
			last = run.CompleteTimestamp
		}
		count++
	}
	return count, last
}

func backoff(failures int, frequency time.Duration) time.Duration {
	pause := firstBackoff
	for range failures - 1 {
		if pause *= 2; pause >= frequency {
			break
		}
	}
	return min(pause, frequency)
}

// endedJob returns the oldest Job whose end is not in the status.
func endedJob(o observed) *batchv1.Job {
	for i := range o.jobs {
		if j := &o.jobs[i]; isFinished(j) && !isRecorded(o.repository, j) {
			return j
		}
	}
	return nil
}

func unfinishedJob(jobs []batchv1.Job) *batchv1.Job {
	for i := range jobs {
		if !isFinished(&jobs[i]) {
			return &jobs[i]
		}
	}
	return nil
}

// isRecorded knows a run by when it began and ended.
func isRecorded(r *velerov1.BackupRepository, j *batchv1.Job) bool {
	ended := endOf(j)
	return slices.ContainsFunc(r.Status.RecentMaintenance, func(run velerov1.BackupRepositoryMaintenanceStatus) bool {
		return run.StartTimestamp.Equal(&j.CreationTimestamp) && run.CompleteTimestamp.Equal(&ended)
	})
}

// endOf is when a finished Job has ended.
func endOf(j *batchv1.Job) metav1.Time {
	if j.Status.CompletionTime != nil {
		return *j.Status.CompletionTime
	}
	return conditionOf(j).LastTransitionTime
}

// conditionOf returns the condition with which a Job has ended, or nil.
func conditionOf(j *batchv1.Job) *batchv1.JobCondition {
	for i := range j.Status.Conditions {
		c := &j.Status.Conditions[i]
		if (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

func isFinished(j *batchv1.Job) bool { return conditionOf(j) != nil }

// hasStarted reports whether the Job's pod runs, or has run.
func hasStarted(j *batchv1.Job) bool {
	return (j.Status.Ready != nil && *j.Status.Ready > 0) || j.Status.Failed > 0 || j.Status.Succeeded > 0
}

// surplus are the oldest of the finished and recorded Jobs, but for as many as are
// kept. current, which is being recorded, counts and stays.
func surplus(o observed, current *batchv1.Job, keep int) []batchv1.Job {
	var old []batchv1.Job
	for _, j := range o.jobs {
		if isFinished(&j) && isRecorded(o.repository, &j) && j.Name != current.Name {
			old = append(old, j)
		}
	}
	return old[:max(len(old)-(keep-1), 0)]
}
