// Package download answers DownloadRequests: it gives out temporary addresses
// from which files of backups and restores can be read without credentials.
//
// One reconcile is observe → plan → act → report; plan is pure and holds every
// decision. An S3 location signs addresses itself. Files of a filesystem location
// have none, so the server serves them (FileServer), for as long as the request
// exists and only to who knows its address. The state table is in
// docs/download.md.
package download

import (
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// lifetime is how long an address can be used and its request is kept, as in
	// Velero.
	lifetime = 10 * time.Minute

	// retryInterval is the pause before a request is looked at again for which there
	// is no address yet. Somebody waits for it.
	retryInterval = 2 * time.Second
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	request *velerov1.DownloadRequest
	now     time.Time

	// file is what is asked for; obstacle is why there is no such file, and nil
	// when there is one.
	file     file
	obstacle *obstacle
}

// obstacle is why there is no address.
type obstacle struct {
	reason  string // condition reason
	message string
}

type action string

const (
	actNothing action = "Nothing"
	actExplain action = "Explain"
	actAddress action = "GiveAddress"
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
	left := expiration(o.request).Sub(o.now)
	switch {
	case !o.request.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case left <= 0:
		return step{action: actDelete}
	case o.request.Status.Phase == velerov1.DownloadRequestPhaseProcessed:
		return step{action: actNothing, after: left}
	case o.obstacle != nil:
		return step{action: actExplain, after: min(retryInterval, left)}
	default:
		return step{action: actAddress, after: lifetime}
	}
}

// expiration is when a request is deleted. One without an address has its time,
// too: who asked has gone by then.
func expiration(r *velerov1.DownloadRequest) time.Time {
	if r.Status.Expiration != nil {
		return r.Status.Expiration.Time
	}
	return r.CreationTimestamp.Add(lifetime)
}

// isAnswered reports whether nothing has to be looked up for the next step.
func isAnswered(r *velerov1.DownloadRequest, now time.Time) bool {
	return !r.DeletionTimestamp.IsZero() || r.Status.Phase == velerov1.DownloadRequestPhaseProcessed || !now.Before(expiration(r))
}
