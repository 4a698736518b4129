package coverage

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/selection"
)

// subject is one volume with all that its verdict depends on.
type subject struct {
	*candidate

	created    time.Time
	past       past
	snapshot   *Snapshot // the newest of the claim, nil when there is none
	impossible Reason    // why file system backup can never read it; "" when it can
	lost       bool
	unbound    bool
	endsWith   bool // it ends with its pod
	node       bool // it is a directory of the node
	deletedBy  By   // what is being deleted; "" when nothing is
	row        Row
}

// podRow judges a volume without a claim.
func (e *evaluation) podRow(p *Pod, i int, c *candidate) Row {
	v := p.volumes[i]
	s := subject{
		candidate: c, created: p.Created, past: e.history.ofPod(p, i), endsWith: endsWithPod(v.source), node: v.source.HostPath != nil,
		row: Row{Namespace: p.Namespace, Pod: p.Name, Volume: v.source.Name, Type: typeOf(v.source), Labels: p.Labels},
	}
	switch {
	case s.node:
		s.impossible = Reason(selection.ReasonHostPathUnsupported)
	case v.device:
		s.impossible = Reason(selection.ReasonBlockVolume)
	}
	if e.facts.Namespaces[p.Namespace].Deleting {
		s.deletedBy = ByNamespace
	}
	return e.judge(s)
}

// claimRow judges a claim, after all pods have been looked at.
func (e *evaluation) claimRow(c *Claim) Row {
	f := e.claims[c.Namespace+"/"+c.Name]
	s := subject{
		candidate: &f.candidate, created: c.Created, past: e.history.ofClaim(c), endsWith: c.endsWithPod,
		lost: c.phase == corev1.ClaimLost, unbound: c.phase != corev1.ClaimBound && c.phase != corev1.ClaimLost,
		row: Row{
			Namespace: c.Namespace, Claim: c.Name, Type: typePersistentVolumeClaim, StorageClass: c.class, Capacity: c.capacity, Labels: c.Labels,
		},
	}
	if snapshot, ok := e.snapshots[c.Namespace+"/"+c.Name]; ok {
		s.snapshot = &snapshot
	}
	if s.pod == nil {
		for _, cover := range e.coversOf(c.Namespace) {
			e.offerUnmounted(cover, f)
		}
	} else {
		s.row.Pod, s.row.Volume = s.pod.Name, s.pod.volumes[s.volume].source.Name
	}
	switch {
	case f.hostPath:
		s.impossible = Reason(selection.ReasonHostPathUnsupported)
	case c.block, s.pod != nil && s.pod.volumes[s.volume].device:
		s.impossible = Reason(selection.ReasonBlockVolume)
	}
	switch {
	case e.facts.Namespaces[c.Namespace].Deleting:
		s.deletedBy = ByNamespace
	case c.deleting:
		s.deletedBy = ByClaim
	}
	return e.judge(s)
}

// typePersistentVolumeClaim is the type of the rows of claims.
const typePersistentVolumeClaim = "persistentVolumeClaim"

// outcome is a verdict and why.
type outcome struct {
	verdict  Verdict
	reason   Reason
	by       By
	schedule *schedule // that the message is about; nil when it is about none
	detail   string
}

// judge fills in the row.
func (e *evaluation) judge(s subject) Row {
	o := e.decide(s)
	if o.verdict == Unprotected && s.endsWith && !s.isRunning() && s.pod != nil && !s.pod.ended {
		o = outcome{verdict: Pending, reason: ReasonPodNotStarted}
	}
	r := s.row
	r.Verdict, r.Reason, r.By = o.verdict, o.reason, o.by
	if o.verdict == Protected {
		r.Method = Method(o.reason)
	}
	r.Message = message(s, o)
	r.LastSuccess, r.LastAttempt = s.past.success.asSuccess(), s.past.attempt.asAttempt()
	if s.snapshot != nil && (r.LastSuccess == nil || s.snapshot.At.After(r.LastSuccess.At)) {
		r.LastSuccess = &Success{Backup: s.snapshot.Name, At: s.snapshot.At}
	}
	for _, t := range slices.Concat(s.takers, s.snapshots) {
		r.Schedules = append(r.Schedules, t.name)
		if next := t.next; !next.IsZero() && (r.NextRun == nil || next.Before(*r.NextRun)) {
			r.NextRun = &next
		}
	}
	slices.Sort(r.Schedules)
	return r
}

// decide returns the verdict. The order of the cases is that of the table in
// docs/coverage.md, and pinned by a test.
func (e *evaluation) decide(s subject) outcome {
	isTaken := len(s.takers)+len(s.snapshots) > 0
	switch {
	case s.deletedBy != "":
		return outcome{verdict: Excluded, reason: ReasonBeingDeleted, by: s.deletedBy}
	case !isTaken && s.best.excludes():
		return outcome{verdict: Excluded, reason: s.best.reason, by: s.best.by, schedule: s.best.schedule}
	case s.lost:
		return outcome{verdict: Unprotected, reason: ReasonClaimLost}
	case s.unbound:
		return outcome{verdict: Pending, reason: ReasonClaimNotBound}
	case s.node && !s.asked:
		return outcome{verdict: Excluded, reason: ReasonNodeDirectory, by: ByDefault}
	case s.impossible != "" && len(s.snapshots) == 0:
		return outcome{verdict: Unprotected, reason: s.impossible}
	case len(s.takers) > 0:
		return best(s.takers, func(t *schedule) outcome { return freshness(s, t) })
	case len(s.snapshots) > 0:
		return best(s.snapshots, func(t *schedule) outcome { return snapshotFreshness(s, t) })
	case s.endsWith && !s.asked:
		return outcome{verdict: Excluded, reason: ReasonEphemeralVolume, by: ByDefault}
	case s.pod == nil:
		return outcome{verdict: Unprotected, reason: ReasonClaimNotMounted}
	case s.best.rank != rankNone:
		return outcome{verdict: Unprotected, reason: s.best.reason, schedule: s.best.schedule, detail: s.best.detail}
	default:
		return outcome{verdict: Unprotected, reason: ReasonNoSchedule}
	}
}

// better orders what schedules say of a volume that each of them takes: one that
// protects it is enough, and only if none has had anything to do yet it is pending.
var better = []Reason{
	ReasonFileSystemBackup, ReasonVolumeSnapshot, ReasonLastBackupFailed, Reason(selection.ReasonPodNotRunning), ReasonStale,
	ReasonNeverBackedUp, ReasonSnapshotMissing, ReasonFirstBackupDue,
}

// best returns the outcome of the schedule that does best.
func best(list []*schedule, judge func(*schedule) outcome) outcome {
	outcomes := make([]outcome, 0, len(list))
	for _, t := range list {
		outcomes = append(outcomes, judge(t))
	}
	return slices.MinFunc(outcomes, func(a, b outcome) int {
		return slices.Index(better, a.reason) - slices.Index(better, b.reason)
	})
}

// freshness compares the backups of a volume with what a schedule demands that takes
// it: the last attempt has succeeded, and no later one was due more than the grace
// ago. Any backup of the volume counts, also one that somebody made by hand.
func freshness(s subject, t *schedule) outcome {
	last, success := s.past.ended, s.past.success
	switch {
	case last != nil && last.result == Failed:
		return outcome{verdict: Unprotected, reason: ReasonLastBackupFailed, schedule: t, detail: last.backup.Name + ": " + last.message}
	case hasFailed(s, t):
		return outcome{verdict: Unprotected, reason: ReasonLastBackupFailed, schedule: t, detail: t.failed.name + ": " + t.failed.message}
	case success != nil && !success.at.Before(t.required):
		return outcome{verdict: Protected, reason: ReasonFileSystemBackup, schedule: t}
	case !start(s, t).Before(t.required):
		return outcome{verdict: Pending, reason: ReasonFirstBackupDue, schedule: t}
	case !s.isRunning():
		return outcome{verdict: Unprotected, reason: Reason(selection.ReasonPodNotRunning), schedule: t}
	case success == nil:
		return outcome{verdict: Unprotected, reason: ReasonNeverBackedUp, schedule: t}
	default:
		return outcome{verdict: Unprotected, reason: ReasonStale, schedule: t}
	}
}

// hasFailed reports whether the newest backup of a schedule failed as a whole, before
// it came to the volume, and nothing has replaced it.
func hasFailed(s subject, t *schedule) bool {
	return t.failed != nil && !t.failed.at.Before(s.created) && (s.past.success == nil || t.failed.at.After(s.past.success.at))
}

// start is when a schedule could first take a volume. The volume of a workload is
// older than its pod when an earlier pod was backed up.
func start(s subject, t *schedule) time.Time {
	created := s.created
	if s.past.success != nil && s.past.success.at.Before(created) {
		created = s.past.success.at
	}
	if t.since.After(created) {
		return t.since
	}
	return created
}

// snapshotFreshness is freshness for snapshots.
func snapshotFreshness(s subject, t *schedule) outcome {
	switch {
	case s.snapshot != nil && !s.snapshot.At.Before(t.required):
		return outcome{verdict: Protected, reason: ReasonVolumeSnapshot, schedule: t}
	case !start(s, t).Before(t.required):
		return outcome{verdict: Pending, reason: ReasonFirstBackupDue, schedule: t}
	default:
		return outcome{verdict: Unprotected, reason: ReasonSnapshotMissing, schedule: t}
	}
}
