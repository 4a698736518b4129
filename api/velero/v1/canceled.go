package v1

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// setCanceled sets the condition of a volume that ended because somebody wanted it
// to.
func setCanceled(conditions *[]metav1.Condition, now metav1.Time, why string) {
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: ConditionCompleted, Status: metav1.ConditionFalse, Reason: ReasonCanceled, Message: why, LastTransitionTime: now,
	})
}
