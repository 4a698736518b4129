package download

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/locationaccess"
)

// report turns a step and its answer into the status. It is the only writer of
// the status of a request.
//
// The condition has no observedGeneration: without a status subresource every
// change of the status is a new generation, so it would never be up to date.
func report(o observed, s step, a answer) {
	if s.action == actNothing {
		return
	}
	r := o.request
	r.Status.Expiration = &metav1.Time{Time: expiration(r)}
	switch {
	case a.obstacle != nil:
		r.Status.Phase = velerov1.DownloadRequestPhaseNew
		set(r, metav1.ConditionFalse, *a.obstacle)
	case a.remark != nil:
		give(o, a.url)
		set(r, metav1.ConditionFalse, *a.remark)
	default:
		give(o, a.url)
		set(r, metav1.ConditionTrue, obstacle{velerov1.ReasonSucceeded, "The file can be read until status.expiration"})
	}
}

func give(o observed, url string) {
	o.request.Status.Phase = velerov1.DownloadRequestPhaseProcessed
	o.request.Status.DownloadURL = url
	o.request.Status.Expiration = &metav1.Time{Time: o.now.Add(lifetime)}
}

func set(r *velerov1.DownloadRequest, status metav1.ConditionStatus, why obstacle) {
	meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{
		Type: velerov1.ConditionReady, Status: status, Reason: why.reason, Message: why.message,
	})
}

func obstacleOf(err error) *obstacle {
	return &obstacle{locationaccess.Reason(err), locationaccess.Text(err)}
}

// notThere is about a file that its backup or restore does not have: it may be too
// old or too young for it, or have had nothing to write.
func notThere(f file) *obstacle {
	return &obstacle{velerov1.ReasonObjectNotFound, fmt.Sprintf("there is no file %s in location %s", f.key, f.location.Name)}
}
