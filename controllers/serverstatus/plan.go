// Package serverstatus answers ServerStatusRequests: which version the server is,
// and what it does to items. Clients make one for "version" and "plugin get".
//
// One reconcile is observe → plan → act → report; plan is pure. The state table is
// in docs/download.md.
package serverstatus

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// lifetime is how long an answer is kept, as in Velero.
const lifetime = time.Minute

// observed is all plan may look at.
type observed struct {
	request *velerov1.ServerStatusRequest
	now     time.Time
}

type action string

const (
	actNothing action = "Nothing"
	actAnswer  action = "Answer"
	actDelete  action = "Delete"
)

// step is the one thing to do now.
type step struct {
	action action
	after  time.Duration // look again after; 0 means when the request changes
}

// plan decides the next step. Each case is one row of the state table in
// docs/download.md.
func plan(o observed) step {
	s := o.request.Status
	switch {
	case !o.request.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case s.Phase != velerov1.ServerStatusRequestPhaseProcessed || s.ProcessedTimestamp == nil:
		return step{action: actAnswer, after: lifetime}
	case !o.now.Before(s.ProcessedTimestamp.Add(lifetime)):
		return step{action: actDelete}
	default:
		return step{action: actNothing, after: s.ProcessedTimestamp.Add(lifetime).Sub(o.now)}
	}
}

// report writes the answer. It is the only writer of the status of a request.
func report(o observed, s step, serverVersion string) {
	if s.action != actAnswer {
		return
	}
	o.request.Status = velerov1.ServerStatusRequestStatus{
		Phase:              velerov1.ServerStatusRequestPhaseProcessed,
		ProcessedTimestamp: &metav1.Time{Time: o.now},
		ServerVersion:      serverVersion,
		Plugins:            plugins(),
	}
}
