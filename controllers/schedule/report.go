package schedule

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
)

// report turns a step and its error into the status. It is the only writer of
// phase, times, validation errors and the condition Ready.
//
// The condition has no observedGeneration: without a status subresource every
// change of the status is a new generation, so it would never be up to date.
func report(o observed, s step, err error) {
	switch {
	case outcome.IsTerminal(err):
		reject(o, []string{oneLine(err.Error())})
		return
	case err != nil:
		return // retried and logged, not shown
	}
	sch := o.schedule
	switch s.action {
	case actReject:
		reject(o, o.problems)
	case actSkip:
		sch.Spec.SkipImmediately = ptr.To(false)
		sch.Status.LastSkipped = &metav1.Time{Time: o.now}
		enable(o, metav1.ConditionTrue, step{reason: velerov1.ReasonSucceeded})
	case actCreate:
		sch.Status.LastBackup = &metav1.Time{Time: o.due}
		enable(o, metav1.ConditionTrue, step{reason: velerov1.ReasonSucceeded})
	case actNothing:
		if s.reason != "" {
			enable(o, readiness(s), s)
		}
	}
}

func readiness(s step) metav1.ConditionStatus {
	if s.reason == velerov1.ReasonSucceeded {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

func enable(o observed, status metav1.ConditionStatus, s step) {
	o.schedule.Status.Phase = velerov1.SchedulePhaseEnabled
	o.schedule.Status.ValidationErrors = nil
	setReady(o, metav1.Condition{Status: status, Reason: s.reason, Message: s.message})
}

func reject(o observed, problems []string) {
	o.schedule.Status.Phase = velerov1.SchedulePhaseFailedValidation
	o.schedule.Status.ValidationErrors = problems
	setReady(o, metav1.Condition{
		Status: metav1.ConditionFalse, Reason: velerov1.ReasonInvalidSpec, Message: oneLine(strings.Join(problems, "; ")),
	})
}

func setReady(o observed, c metav1.Condition) {
	c.Type = velerov1.ConditionReady
	c.LastTransitionTime = metav1.Time{Time: o.now}
	meta.SetStatusCondition(&o.schedule.Status.Conditions, c)
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// untilNext is how long to wait after a step that has moved the schedule on.
func untilNext(next, now time.Time) time.Duration {
	return max(next.Sub(now), time.Millisecond)
}
