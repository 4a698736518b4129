package describe

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Why is what conditions say about where something stands.
type Why struct {
	Reason  string
	Message string
	Problem bool // something is wrong; without it the work just goes on
}

// WhyOf picks the condition that tells people most: first one that is False,
// then the newest one that is Unknown, which is where the work is. When all is
// done it is the condition Completed.
func WhyOf(conditions []metav1.Condition) Why {
	var pick *metav1.Condition
	for i := range conditions {
		if pick == nil || tellsMore(&conditions[i], pick) {
			pick = &conditions[i]
		}
	}
	if pick == nil {
		return Why{}
	}
	return Why{Reason: pick.Reason, Message: OneLine(pick.Message), Problem: urgency(pick) == urgent}
}

func tellsMore(a, b *metav1.Condition) bool {
	if urgency(a) != urgency(b) {
		return urgency(a) > urgency(b)
	}
	if isSummary(a) != isSummary(b) {
		// Of things that are wrong or done the summary tells most; of things that
		// go on it is the single step.
		return isSummary(a) == (a.Status != metav1.ConditionUnknown)
	}
	return a.LastTransitionTime.After(b.LastTransitionTime.Time)
}

// Urgencies of conditions: what is wrong before what goes on before what is done.
const (
	done = iota
	ongoing
	urgent
)

func urgency(c *metav1.Condition) int {
	switch {
	case c.Status == metav1.ConditionFalse && !isWaiting(c.Reason):
		return urgent
	case c.Status != metav1.ConditionTrue:
		return ongoing
	default:
		return done
	}
}

func isSummary(c *metav1.Condition) bool { return c.Type == velerov1.ConditionCompleted }

// isWaiting reports whether a reason is part of the ordinary course: nothing is
// wrong, something is not there yet.
func isWaiting(reason string) bool {
	return slices.Contains([]string{
		velerov1.ReasonWaitingForSlot, velerov1.ReasonWaitingForPod, velerov1.ReasonWaitingForRepository,
		velerov1.ReasonWaitingForVolumes, velerov1.ReasonPreparing, velerov1.ReasonMoving, velerov1.ReasonCanceling,
		velerov1.ReasonCollecting, velerov1.ReasonRestoringItems, velerov1.ReasonUploading,
	}, reason)
}
