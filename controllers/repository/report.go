package repository

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/locationaccess"
)

// remedies say, by reason, what to do. A reason without one speaks for itself.
var remedies = map[string]string{
	velerov1.ReasonRepositoryPasswordWrong: "put the password with which the repository was made into key " +
		locationaccess.RepositoryPasswordKey + " of Secret " + locationaccess.RepositorySecret,
	velerov1.ReasonRepositoryCorrupt:  "restore its files in the location, or delete them to begin a new repository",
	velerov1.ReasonLocationReadOnly:   "set spec.accessMode of the location to ReadWrite, or back up to another location",
	velerov1.ReasonAccessDenied:       "check the keys of the location and their rights on the bucket",
	velerov1.ReasonBucketNotFound:     "create it, or correct the location",
	velerov1.ReasonStorageUnavailable: "check that the storage runs and that the location leads to it",
}

// failure is why a repository cannot be used.
type failure struct {
	reason string
	err    error
}

// refusalOf turns a step of actRefuse into the failure to report.
func refusalOf(o observed, s step) *failure {
	bsl := o.repository.Spec.BackupStorageLocation
	switch s.reason {
	case velerov1.ReasonLocationNotFound:
		return &failure{reason: s.reason, err: fmt.Errorf("%w: %s; create it or delete this object", locationaccess.ErrLocationNotFound, bsl)}
	default:
		return &failure{reason: s.reason, err: errors.New(cmp.Or(o.bsl.Status.Message, "BackupStorageLocation "+bsl+" is unavailable"))}
	}
}

// report turns the step and its result into the status. It is the only writer of
// phase, message, lastMaintenanceTime and the condition Ready.
//
// The condition has no observedGeneration: without a status subresource every
// change of the status is a new generation, so it would never be up to date.
func report(o observed, s step, f *failure, now time.Time) {
	r := o.repository
	switch {
	case f != nil:
		reportNotReady(r, *f, now)
	case s.action == actPrepare:
		reportReady(r, o.hash, now)
	case s.action == actSetDefaults && r.Status.Phase == "":
		r.Status.Phase = velerov1.BackupRepositoryPhaseNew
	}
}

// reportReady also starts the clock of maintenance: a repository that was just
// found or made is not overdue.
func reportReady(r *velerov1.BackupRepository, hash string, now time.Time) {
	r.Status.Phase = velerov1.BackupRepositoryPhaseReady
	r.Status.Message = ""
	if r.Status.LastMaintenanceTime == nil {
		r.Status.LastMaintenanceTime = &metav1.Time{Time: now}
	}
	if r.Annotations == nil {
		r.Annotations = map[string]string{}
	}
	r.Annotations[velerov1.CheckedWithAnnotation] = hash
	setReady(r, metav1.Condition{
		Status:  metav1.ConditionTrue,
		Reason:  velerov1.ReasonSucceeded,
		Message: "The repository can be used",
	}, now)
}

func reportNotReady(r *velerov1.BackupRepository, f failure, now time.Time) {
	message := strings.Join(strings.Fields(f.err.Error()), " ")
	r.Status.Phase = velerov1.BackupRepositoryPhaseNotReady
	r.Status.Message = message
	if remedy := remedies[f.reason]; remedy != "" {
		message += "; " + remedy
	}
	setReady(r, metav1.Condition{Status: metav1.ConditionFalse, Reason: f.reason, Message: message}, now)
}

func setReady(r *velerov1.BackupRepository, c metav1.Condition, now time.Time) {
	c.Type = velerov1.ConditionReady
	c.LastTransitionTime = metav1.Time{Time: now}
	meta.SetStatusCondition(&r.Status.Conditions, c)
}
