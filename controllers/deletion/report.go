package deletion

import (
	"cmp"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
)

// report turns a step and its error into labels and status of the request. It is
// the only writer of them.
//
// Conditions have no observedGeneration: without a status subresource every change
// of the status is a new generation, so it would never be up to date.
func report(o observed, s step, err error) {
	r := o.request
	switch {
	case outcome.IsTerminal(err):
		process(o, outcome.Reason(err), oneLine(err.Error()))
	case err != nil:
		set(o, velerov1.ConditionCompleted, metav1.ConditionFalse, cmp.Or(outcome.Reason(err), velerov1.ReasonRetrying), oneLine(err.Error()))
	case s.action == actRefuse:
		process(o, s.reason, s.message)
	case s.reason == "":
		// Nothing to say.
	case s.failing:
		set(o, velerov1.ConditionCompleted, metav1.ConditionFalse, s.reason, s.message)
	default:
		if s.action == actTake {
			take(o)
		}
		if done := doneBy[s.action]; done != "" {
			set(o, done, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
		}
		if isTaken(r) {
			set(o, velerov1.ConditionCompleted, metav1.ConditionUnknown, s.reason, s.message)
		}
	}
}

// doneBy are the conditions that are true after an action.
var doneBy = map[action]string{
	actDeleteSnapshots: velerov1.ConditionSnapshotsDeleted,
	actDeleteObjects:   velerov1.ConditionObjectsDeleted,
}

// take fills in what clients select requests by.
func take(o observed) {
	r := o.request
	r.Status.Phase = velerov1.DeleteBackupRequestPhaseInProgress
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	r.Labels[velerov1.BackupNameLabel] = velerov1.ValidLabelValue(o.backup.Name)
	r.Labels[velerov1.BackupUIDLabel] = string(o.backup.UID)
}

// process ends a request that could not do what it was asked for.
func process(o observed, reason, message string) {
	o.request.Status.Phase = velerov1.DeleteBackupRequestPhaseProcessed
	o.request.Status.Errors = []string{message}
	set(o, velerov1.ConditionCompleted, metav1.ConditionFalse, reason, message)
}

func set(o observed, typ string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&o.request.Status.Conditions, metav1.Condition{
		Type: typ, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Time{Time: o.now},
	})
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
