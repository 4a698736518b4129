package location

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/locationaccess"
)

// remedies say, by reason, what to do. A reason without one speaks for itself.
var remedies = map[string]string{
	velerov1.ReasonAccessDenied:       "check the keys in the Secret of spec.credential, or the credentials of the installation, and their rights on the bucket",
	velerov1.ReasonBucketNotFound:     "create it, or correct spec.objectStorage.bucket or spec.config",
	velerov1.ReasonStorageUnavailable: "check that the storage runs and that spec.config leads to it",
	velerov1.ReasonInvalidSpec:        "correct the field",
}

// report turns the result of a check into the status. It is the only writer of
// phase, message, lastValidationTime and the condition Ready.
//
// The condition has no observedGeneration: without a status subresource every
// change of the status is a new generation, so it would never be up to date.
func report(l *velerov1.BackupStorageLocation, now time.Time, err error) {
	l.Status.LastValidationTime = &metav1.Time{Time: now}
	condition := metav1.Condition{
		Type:               velerov1.ConditionReady,
		Status:             metav1.ConditionTrue,
		Reason:             velerov1.ReasonSucceeded,
		Message:            "The location can be used",
		LastTransitionTime: metav1.Time{Time: now},
	}
	l.Status.Phase = velerov1.BackupStorageLocationPhaseAvailable
	l.Status.Message = ""
	if err != nil {
		l.Status.Phase = velerov1.BackupStorageLocationPhaseUnavailable
		l.Status.Message = fmt.Sprintf("BackupStorageLocation %q is unavailable: %s", l.Name, locationaccess.Text(err))
		condition.Status = metav1.ConditionFalse
		condition.Reason = locationaccess.Reason(err)
		condition.Message = l.Status.Message
		if remedy := remedies[condition.Reason]; remedy != "" {
			condition.Message += "; " + remedy
		}
	}
	meta.SetStatusCondition(&l.Status.Conditions, condition)
}
