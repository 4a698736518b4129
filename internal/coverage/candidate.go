package coverage

import (
	"slices"

	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/selection"
)

// candidate is what schedules, pods and claims say of one volume.
type candidate struct {
	takers    []*schedule // take it by file system backup
	snapshots []*schedule // leave it to snapshots

	// best is the strongest reason why none of them does.
	best opinion

	// asked says that somebody has asked for this very volume to be backed up: its
	// pod, its claim, its namespace, or a volume policy.
	asked bool

	// pod is the pod that the row names, nil when none uses the volume.
	pod    *Pod
	volume int
}

// isRunning reports whether a node agent can read the volume now.
func (c *candidate) isRunning() bool { return c.pod != nil && c.pod.running }

// use remembers a pod that uses the volume; one that runs is preferred, then the
// first by name.
func (c *candidate) use(p *Pod, volume int) {
	better := c.pod == nil || p.running && !c.pod.running || p.running == c.pod.running && p.Name < c.pod.Name
	if better {
		c.pod, c.volume = p, volume
	}
}

func (c *candidate) take(s *schedule) {
	if !slices.Contains(c.takers, s) {
		c.takers = append(c.takers, s)
	}
}

func (c *candidate) leaveToSnapshot(s *schedule) {
	if !slices.Contains(c.snapshots, s) {
		c.snapshots = append(c.snapshots, s)
	}
}

// rank orders the reasons against a volume. What is said about this one volume is
// stronger than what a schedule says in general, and a schedule that could take it is
// stronger than one that stays away.
type rank int

const (
	rankNone        rank = iota // nobody has anything to do with it
	rankFilter                  // a schedule leaves it out by name
	rankNotSelected             // a schedule comes to it, and nobody has selected it
	rankDisabled                // a schedule would take it and makes no backups
	rankPolicy                  // a volume policy leaves it out
	rankObject                  // pod, claim or namespace leave it out
)

// opinion is a reason against a volume.
type opinion struct {
	rank     rank
	reason   Reason
	by       By        // for those that exclude
	schedule *schedule // whose opinion it is; nil when it is nobody's
	detail   string    // for the message
}

// excludes reports whether somebody has left the volume out.
func (o opinion) excludes() bool { return o.by != "" }

// hear keeps the strongest opinion; of two that are equal, the first.
func (c *candidate) hear(o opinion) {
	if o.rank > c.best.rank {
		c.best = o
	}
}

// offered is a volume of a pod that a schedule is asked about.
type offered struct {
	pod       *Pod
	claim     *claimFacts // nil for a volume without one
	candidate *candidate
	decision  selection.Decision
}

// offer tells a volume of a pod what a schedule does with it.
func (e *evaluation) offer(s cover, o offered) {
	p, c, claim := o.pod, o.candidate, o.claim
	switch {
	case !s.namespace.Included, isLeftOut(s.pods), claim != nil && isLeftOut(s.claims):
		c.hear(opinion{rank: rankFilter, reason: ReasonExcludedByFilter, by: BySchedule, schedule: s.schedule})
	case p.excluded, claim != nil && claim.excluded, e.facts.Namespaces[p.Namespace].Excluded:
	case !s.pods.Included, claim != nil && !s.claims.Included, !s.filter.Labels(p.Labels).Included:
	case o.decision.Included && s.isEnabled():
		c.take(s.schedule)
	case o.decision.Included:
		c.hear(disabled(s.schedule))
	default:
		c.refuse(s.schedule, o.decision.Reason)
	}
}

// isLeftOut reports whether a filter names a kind to leave it out, rather than other
// kinds to take.
func isLeftOut(v filter.Verdict) bool { return v.Reason == filter.ReasonResourceExcluded }

// disabled is a schedule that would take a volume.
func disabled(s *schedule) opinion {
	if s.problem != "" {
		return opinion{rank: rankDisabled, reason: ReasonScheduleInvalid, schedule: s, detail: s.problem}
	}
	return opinion{rank: rankDisabled, reason: ReasonSchedulePaused, schedule: s}
}

// refuse hears why the backups of a schedule do not take a volume that they come to.
// What pod, claim and namespace say has been heard before.
func (c *candidate) refuse(s *schedule, reason selection.Reason) {
	switch reason {
	case selection.ReasonVolumePolicySnapshot:
		if s.isEnabled() {
			c.leaveToSnapshot(s)
			return
		}
		c.hear(disabled(s))
	case selection.ReasonVolumePolicySkip, selection.ReasonVolumePolicyCustom:
		c.hear(opinion{rank: rankPolicy, reason: Reason(reason), by: ByVolumePolicy, schedule: s})
	default:
		if s.isEnabled() {
			c.hear(opinion{rank: rankNotSelected, reason: ReasonNotSelected, schedule: s, detail: string(reason)})
		}
	}
}

// offerUnmounted tells a claim that no pod mounts what a schedule does with it: file
// system backup has nothing to read, but filters and policies may have a say.
func (e *evaluation) offerUnmounted(s cover, c *claimFacts) {
	switch {
	case !s.namespace.Included, isLeftOut(s.claims):
		c.candidate.hear(opinion{rank: rankFilter, reason: ReasonExcludedByFilter, by: BySchedule, schedule: s.schedule})
		return
	case !s.claims.Included, c.excluded, e.facts.Namespaces[c.Namespace].Excluded, !s.filter.Labels(c.Labels).Included:
		return
	}
	reason := policyReason(policyAction(s.policies, c.policy))
	switch {
	case reason != "":
		c.candidate.refuse(s.schedule, reason)
	case s.isEnabled():
		c.candidate.hear(opinion{rank: rankNotSelected, reason: ReasonClaimNotMounted, schedule: s.schedule})
	}
}

// policyReason is the reason of a policy against file system backup; "" when it has
// nothing against it.
func policyReason(action selection.PolicyAction) selection.Reason {
	switch action {
	case selection.PolicySkip:
		return selection.ReasonVolumePolicySkip
	case selection.PolicyCustom:
		return selection.ReasonVolumePolicyCustom
	case selection.PolicySnapshot:
		return selection.ReasonVolumePolicySnapshot
	default:
		return ""
	}
}
