package coverage

import (
	"iter"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
)

// Rows judges every claim, and every volume of a pod that has no claim and could
// hold data, once each and in no certain order. Left out are volumes that Kubernetes
// fills, volumes that no container uses, volumes without a claim of pods that have
// ended, and podkeep's own mover pods.
func Rows(f Facts) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		e := newEvaluation(f)
		if e.podRows(yield) {
			e.claimRows(yield)
		}
	}
}

// podRows asks about all pods, and yields the rows of their volumes without a claim.
// It returns false when no more are wanted.
func (e *evaluation) podRows(yield func(Row) bool) bool {
	for _, p := range e.facts.Pods {
		if p.mover && p.Namespace == e.facts.InstallNamespace {
			continue
		}
		for i, c := range e.lookAt(p) {
			if c != nil && !yield(e.podRow(p, i, c)) {
				return false
			}
		}
	}
	return true
}

// claimRows yields the rows of all claims, after podRows.
func (e *evaluation) claimRows(yield func(Row) bool) {
	for _, c := range e.facts.Claims {
		if !yield(e.claimRow(c)) {
			return
		}
	}
}

// evaluation is one run of Rows.
type evaluation struct {
	facts     Facts
	schedules []*schedule
	history   *history
	covers    map[string][]cover     // by namespace
	claims    map[string]*claimFacts // by namespace and name
	snapshots map[string]Snapshot    // the newest of each claim
}

// claimFacts is a claim with what its pods have turned out to say.
type claimFacts struct {
	*Claim

	facts     selection.ClaimFacts // as if file system backup could read it
	policy    resourcepolicy.Volume
	hostPath  bool
	candidate candidate
}

func newEvaluation(f Facts) *evaluation {
	e := &evaluation{
		facts: f, schedules: newSchedules(f), history: newHistory(f),
		covers: map[string][]cover{}, claims: make(map[string]*claimFacts, len(f.Claims)), snapshots: map[string]Snapshot{},
	}
	for _, c := range f.Claims {
		e.claims[c.Namespace+"/"+c.Name] = e.factsOf(c)
	}
	for _, s := range f.Snapshots {
		key := s.Namespace + "/" + s.Claim
		if last, ok := e.snapshots[key]; !ok || s.At.After(last.At) {
			e.snapshots[key] = s
		}
	}
	return e
}

func (e *evaluation) factsOf(c *Claim) *claimFacts {
	facts := &claimFacts{Claim: c, facts: selection.ClaimFacts{Wish: c.wish}}
	if v := e.facts.Volumes[c.volume]; v != nil && c.volume != "" {
		facts.policy, facts.hostPath = v.facts, v.hostPath
	}
	facts.policy.ClaimLabels, facts.policy.ClaimPhase = c.Labels, string(c.phase)
	facts.candidate.hear(e.ofClaim(c))
	return facts
}

// ofClaim is what the claim and its namespace say against it, with or without pods.
func (e *evaluation) ofClaim(c *Claim) opinion {
	namespace := e.facts.Namespaces[c.Namespace]
	switch {
	case namespace.Excluded:
		return opinion{rank: rankObject, reason: ReasonExcludedByLabel, by: ByNamespace}
	case c.excluded:
		return opinion{rank: rankObject, reason: ReasonExcludedByLabel, by: ByClaim}
	case c.wish == velerov1.ClaimExclude:
		return opinion{rank: rankObject, reason: Reason(selection.ReasonExcludedByClaim), by: ByClaim}
	case namespace.Policy == velerov1.FSBackupOff:
		return opinion{rank: rankObject, reason: Reason(selection.ReasonNamespacePolicy), by: ByNamespace}
	default:
		return opinion{}
	}
}

// cover is what the filters of a schedule say of a namespace.
type cover struct {
	*schedule

	namespace filter.Verdict
}

// coversOf returns the schedules that have to do with a namespace: those that take
// it, and those that leave it out by its name.
func (e *evaluation) coversOf(namespace string) []cover {
	if covers, ok := e.covers[namespace]; ok {
		return covers
	}
	covers := []cover{}
	for _, s := range e.schedules {
		if v := s.filter.Namespace(namespace); v.Included || v.Reason == filter.ReasonNamespaceExcluded {
			covers = append(covers, cover{schedule: s, namespace: v})
		}
	}
	e.covers[namespace] = covers
	return covers
}

// lookAt asks the schedules about the volumes of a pod. It returns what there is to
// say of its volumes without a claim, nil for those with one: these are remembered
// with the claim.
func (e *evaluation) lookAt(p *Pod) []*candidate {
	own := make([]*candidate, len(p.volumes))
	volumes := make([]offered, len(p.volumes))
	input := selection.Input{
		Pod: p.readable(), Claims: map[string]selection.ClaimFacts{},
		NamespacePolicy: e.facts.Namespaces[p.Namespace].Policy, ServerDefault: e.facts.ServerDefault,
	}
	for i, v := range p.volumes {
		volumes[i].pod = p
		name := p.claimName(v.source)
		switch c := e.claims[p.Namespace+"/"+name]; {
		case name == "" && !p.ended:
			own[i] = &candidate{}
			volumes[i].candidate = own[i]
		case name != "" && c != nil:
			input.Claims[name] = c.facts
			volumes[i].candidate, volumes[i].claim = &c.candidate, c
		default:
			continue
		}
		volumes[i].candidate.use(p, i)
	}
	e.ask(input, p, volumes)
	return own
}

// ask puts the question of each schedule, and that of a backup without any wishes.
// Volumes without a candidate are of no interest.
func (e *evaluation) ask(input selection.Input, p *Pod, volumes []offered) {
	answers := map[question][]selection.Decision{}
	answer := func(q question) []selection.Decision {
		if _, ok := answers[q]; !ok {
			in := input
			in.BackupDefault, in.VolumePolicy = q.backupDefault.pointer(), e.volumePolicy(p, q.policies)
			answers[q] = selection.Decide(in)
		}
		return answers[q]
	}
	for i, d := range answer(question{}) {
		if c := volumes[i].candidate; c != nil {
			c.hear(e.ofPod(p, d))
			c.asked = c.asked || isAsked(d)
		}
	}
	for _, s := range e.coversOf(p.Namespace) {
		for i, d := range answer(s.question) {
			if o := volumes[i]; o.candidate != nil {
				o.decision = d
				o.candidate.asked = o.candidate.asked || d.Reason == selection.ReasonVolumePolicyFSBackup
				e.offer(s, o)
			}
		}
	}
}

// isAsked reports whether a decision is about this volume and no default.
func isAsked(d selection.Decision) bool {
	switch d.Reason {
	case selection.ReasonIncludedByPod, selection.ReasonIncludedByClaim:
		return true
	case selection.ReasonNamespacePolicy:
		return d.Included
	default:
		return false
	}
}

// volumePolicy is the rule of a schedule's volume policies, nil when it has none. It
// looks at volumes as they are, also at those that readable has replaced.
func (e *evaluation) volumePolicy(p *Pod, policies *resourcepolicy.Policies) func(corev1.Volume) selection.PolicyAction {
	rule := podfacts.VolumePolicy(policies, func(v corev1.Volume) *resourcepolicy.Volume {
		if c := e.claims[p.Namespace+"/"+p.claimName(v)]; c != nil {
			return &c.policy
		}
		return nil
	})
	if rule == nil {
		return nil
	}
	byName := make(map[string]corev1.Volume, len(p.volumes))
	for _, v := range p.volumes {
		byName[v.source.Name] = v.source
	}
	return func(v corev1.Volume) selection.PolicyAction { return rule(byName[v.Name]) }
}

func policyAction(p *resourcepolicy.Policies, v resourcepolicy.Volume) selection.PolicyAction {
	action, ok := p.Match(v)
	if !ok {
		return selection.PolicyNone
	}
	return selection.PolicyAction(action.Type)
}

// ofPod is what the pod and its namespace say against a volume, whatever schedules
// there are.
func (e *evaluation) ofPod(p *Pod, d selection.Decision) opinion {
	namespace := e.facts.Namespaces[p.Namespace]
	switch {
	case namespace.Excluded:
		return opinion{rank: rankObject, reason: ReasonExcludedByLabel, by: ByNamespace}
	case p.excluded:
		return opinion{rank: rankObject, reason: ReasonExcludedByLabel, by: ByPod}
	case d.Reason == selection.ReasonExcludedByPod:
		return opinion{rank: rankObject, reason: Reason(d.Reason), by: ByPod}
	case d.Reason == selection.ReasonNamespacePolicy && namespace.Policy == velerov1.FSBackupOff:
		return opinion{rank: rankObject, reason: Reason(d.Reason), by: ByNamespace}
	default:
		return opinion{}
	}
}
