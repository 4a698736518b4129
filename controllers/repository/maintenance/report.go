package maintenance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
)

// textNoResult is Velero's message of a run that left none.
const textNoResult = "Repo maintenance failed but result is not retrieveable"

// report adds a run to the status. It is the only writer of recentMaintenance and
// the condition Maintained, and, after the first time, of lastMaintenanceTime.
func report(o observed, s step) {
	switch s.action {
	case actRecord:
		add(o, runOf(s.job, o.pod))
	case actGiveUp:
		add(o, velerov1.BackupRepositoryMaintenanceStatus{
			Result:            velerov1.BackupRepositoryMaintenanceFailed,
			StartTimestamp:    &s.job.CreationTimestamp,
			CompleteTimestamp: &metav1.Time{Time: o.now},
			Message:           joined(fmt.Sprintf("the pod did not start within %s", startTimeout), obstacle(o.pod)),
		})
	default:
	}
}

func add(o observed, run velerov1.BackupRepositoryMaintenanceStatus) {
	status := &o.repository.Status
	status.RecentMaintenance = append(status.RecentMaintenance, run)
	if surplus := len(status.RecentMaintenance) - maxRecent; surplus > 0 {
		status.RecentMaintenance = slices.Clone(status.RecentMaintenance[surplus:])
	}
	c := metav1.Condition{Type: velerov1.ConditionMaintained, LastTransitionTime: metav1.Time{Time: o.now}}
	if run.Result == velerov1.BackupRepositoryMaintenanceSucceeded {
		status.LastMaintenanceTime = run.CompleteTimestamp
		c.Status, c.Reason = metav1.ConditionTrue, velerov1.ReasonSucceeded
	} else {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, velerov1.ReasonMaintenanceFailed, run.Message
	}
	meta.SetStatusCondition(&status.Conditions, c)
}

// runOf is how a finished Job ended. pod is its pod, nil when it is gone.
func runOf(j *batchv1.Job, pod *corev1.Pod) velerov1.BackupRepositoryMaintenanceStatus {
	c, ended := conditionOf(j), endOf(j)
	run := velerov1.BackupRepositoryMaintenanceStatus{
		Result:            velerov1.BackupRepositoryMaintenanceSucceeded,
		StartTimestamp:    &j.CreationTimestamp,
		CompleteTimestamp: &ended,
	}
	if c.Type == batchv1.JobComplete {
		return run
	}
	run.Result = velerov1.BackupRepositoryMaintenanceFailed
	run.Message = cmp.Or(lastWords(pod), joined(textNoResult, c.Message))
	return run
}

// lastWords is what the mover says went wrong, or how its container ended.
func lastWords(pod *corev1.Pod) string {
	t := terminated(pod)
	if t == nil {
		return ""
	}
	if result, err := wire.ParseResult(t.Message); err == nil && result.Error != "" {
		return oneLine(result.Error)
	}
	return oneLine(joined(fmt.Sprintf("the container ended with exit code %d (%s)", t.ExitCode, t.Reason), t.Message))
}

// cycleOf is what a maintenance has done; "" when nobody knows.
func cycleOf(pod *corev1.Pod) wire.Cycle {
	t := terminated(pod)
	if t == nil {
		return ""
	}
	result, err := wire.ParseResult(t.Message)
	if err != nil {
		return ""
	}
	return result.Cycle
}

func terminated(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	if pod == nil || len(pod.Status.ContainerStatuses) == 0 {
		return nil
	}
	return pod.Status.ContainerStatuses[0].State.Terminated
}

// obstacle says why a pod does not run.
func obstacle(pod *corev1.Pod) string {
	if pod == nil {
		return "it was not created; see the events of the Job"
	}
	for _, s := range pod.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil {
			return joined(w.Reason, w.Message)
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return joined(c.Reason, c.Message)
		}
	}
	return ""
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
