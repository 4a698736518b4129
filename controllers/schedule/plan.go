package schedule

import (
	"fmt"
	"time"

	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	schedule *velerov1.Schedule
	now      time.Time

	// problems are what is wrong with the schedule.
	problems []string

	// due is when the newest backup that has not been made was due, zero when none
	// is; next is when the first one after the last is.
	due, next time.Time

	// running is the name of a backup of the schedule that has not ended, "" when
	// there is none. It is looked for only when one is due.
	running string

	skipByDefault bool
}

type action string

const (
	actNothing action = "Nothing"
	actReject  action = "Reject"
	actSkip    action = "Skip"
	actCreate  action = "Create"
)

// step is the one thing to do now, and why.
type step struct {
	action  action
	reason  string        // condition reason, from api/velero/v1
	message string        // for people; says what the reason leaves out
	after   time.Duration // look again after; 0 means when a watched object changes
}

// plan decides the next step. Each case is one row of the state table in
// docs/schedule.md.
func plan(o observed) step {
	s := o.schedule
	switch {
	case !s.DeletionTimestamp.IsZero():
		return step{action: actNothing}
	case len(o.problems) > 0:
		return step{action: actReject, reason: velerov1.ReasonInvalidSpec}
	case s.Spec.Paused:
		return step{action: actNothing, reason: velerov1.ReasonPaused, message: "spec.paused is true"}
	case ptr.Deref(s.Spec.SkipImmediately, o.skipByDefault):
		return step{action: actSkip}
	case o.due.IsZero():
		return step{
			action: actNothing, reason: velerov1.ReasonSucceeded, after: o.next.Sub(o.now),
			message: "The next backup is due at " + o.next.UTC().Format(time.RFC3339),
		}
	case o.running != "":
		return step{
			action: actNothing, reason: velerov1.ReasonWaitingForBackup,
			message: fmt.Sprintf("The backup that was due at %s waits for the end of %s", o.due.UTC().Format(time.RFC3339), o.running),
		}
	default:
		return step{action: actCreate}
	}
}

// base is the time after which backups are due: of the last one, or when the last
// one was skipped. A time in the future, after the clock was set back, does not
// count.
func base(s *velerov1.Schedule, now time.Time) time.Time {
	last := s.CreationTimestamp.Time
	if s.Status.LastBackup != nil {
		last = s.Status.LastBackup.Time
	}
	if skipped := s.Status.LastSkipped; skipped != nil && skipped.After(last) {
		last = skipped.Time
	}
	if last.After(now) {
		return now
	}
	return last
}
