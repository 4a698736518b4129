package coverage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/schedules"
)

// Grace is what a backup may take after it was due, as a part of the schedule's
// interval: half of it, and within these bounds. The upper one is what the server
// gives the volumes of a backup (--fs-backup-timeout); the lower one keeps
// schedules of minutes from an alert at each hiccup.
const (
	minGrace = 15 * time.Minute
	maxGrace = 4 * time.Hour
)

// grace is the time that a backup has after it was due.
func grace(interval time.Duration) time.Duration {
	return min(max(interval/2, minGrace), maxGrace)
}

// Kinds whose items say whether a backup takes the data of a volume.
var (
	podsResource = filter.Resource{
		GroupResource: schema.GroupResource{Resource: "pods"}, Kind: "Pod", Singular: "pod", ShortNames: []string{"po"}, Namespaced: true,
	}
	claimsResource = filter.Resource{
		GroupResource: schema.GroupResource{Resource: "persistentvolumeclaims"}, Kind: "PersistentVolumeClaim",
		Singular: "persistentvolumeclaim", ShortNames: []string{"pvc"}, Namespaced: true,
	}
	volumesResource = filter.Resource{
		GroupResource: schema.GroupResource{Resource: "persistentvolumes"}, Kind: "PersistentVolume",
		Singular: "persistentvolume", ShortNames: []string{"pv"},
	}
)

// catalog resolves the names of these kinds; names of others match none of them.
var catalog = filter.NewCatalog([]filter.Resource{podsResource, claimsResource, volumesResource})

// schedule is a Schedule with what all volumes need computed once.
type schedule struct {
	name     string
	problem  string // why its backups are not valid; "" when they are
	paused   bool
	since    time.Time // it makes backups since then
	required time.Time // a backup that is older is stale
	next     time.Time

	filter   *filter.Filter
	pods     filter.Verdict
	claims   filter.Verdict
	policies *resourcepolicy.Policies // nil without volume policies
	question question

	// failed is the newest backup of the schedule, if it has ended and failed as a
	// whole.
	failed *ended
}

// ended is a backup that has failed as a whole.
type ended struct {
	name    string
	at      time.Time
	message string
}

// question is what the backups of a schedule ask of a volume beyond what pod, claim
// and namespace say. Schedules with the same question get the same answer.
type question struct {
	backupDefault triState
	policies      *resourcepolicy.Policies
}

// triState is an optional boolean that can be compared.
type triState int8

const (
	unset triState = iota
	no
	yes
)

func triStateOf(b *bool) triState {
	switch {
	case b == nil:
		return unset
	case *b:
		return yes
	default:
		return no
	}
}

func (t triState) pointer() *bool {
	if t == unset {
		return nil
	}
	b := t == yes
	return &b
}

// newSchedules reads all schedules, sorted by name.
func newSchedules(f Facts) []*schedule {
	failed := failedBackups(f.Backups)
	list := make([]*schedule, 0, len(f.Schedules))
	for i := range f.Schedules {
		if s := &f.Schedules[i]; s.DeletionTimestamp.IsZero() {
			list = append(list, newSchedule(f, s, failed[velerov1.ValidLabelValue(s.Name)]))
		}
	}
	slices.SortFunc(list, func(a, b *schedule) int { return strings.Compare(a.name, b.name) })
	return list
}

func newSchedule(f Facts, o *velerov1.Schedule, failed *ended) *schedule {
	template := &o.Spec.Template
	s := &schedule{name: o.Name, paused: o.Spec.Paused, since: o.CreationTimestamp.Time, failed: failed}
	if skipped := o.Status.LastSkipped; skipped != nil && skipped.After(s.since) {
		s.since = skipped.Time
	}
	filters := filter.ForBackup(template)
	s.problem = s.readTimes(f.Now, o)
	if ref := template.ResourcePolicy; ref != nil && s.problem == "" {
		policy, ok := f.Policies[ref.Name]
		switch {
		case !ok:
			s.problem = fmt.Sprintf("ConfigMap %s with its resource policies is not known", ref.Name)
		case policy.Problem != "":
			s.problem = fmt.Sprintf("ConfigMap %s with its resource policies: %s", ref.Name, policy.Problem)
		default:
			filters.Policy = policy.Policies.Filter()
			s.policies = volumePolicies(policy.Policies)
		}
	}
	if problems := filters.Validate(); len(problems) > 0 && s.problem == "" {
		s.problem = problems[0]
	}
	s.filter = filter.New(filters, catalog)
	s.pods, s.claims = s.filter.Resource(podsResource), s.filter.Resource(claimsResource)
	s.question = question{backupDefault: backupDefault(template), policies: s.policies}
	return s
}

// readTimes sets when backups are due, and returns why that is not known.
func (s *schedule) readTimes(now time.Time, o *velerov1.Schedule) (problem string) {
	timetable, err := schedules.Parse(o.Spec.Schedule)
	switch {
	case err != nil:
		return fmt.Sprintf("spec.schedule %q: %v", o.Spec.Schedule, err)
	case o.Status.Phase == velerov1.SchedulePhaseFailedValidation:
		return strings.Join(o.Status.ValidationErrors, "; ")
	}
	s.required = timetable.Last(now.Add(-grace(timetable.Interval(now))))
	last := s.since
	if made := o.Status.LastBackup; made != nil && made.After(last) {
		last = made.Time
	}
	if s.next = timetable.Next(last); s.next.Before(now) {
		s.next = now // it is overdue
	}
	return ""
}

// volumePolicies is nil when there is no policy for volumes.
func volumePolicies(p *resourcepolicy.Policies) *resourcepolicy.Policies {
	if p == nil || len(p.VolumePolicies) == 0 {
		return nil
	}
	return p
}

// backupDefault is the default of a backup, also by its old name.
func backupDefault(spec *velerov1.BackupSpec) triState {
	if old := spec.DefaultVolumesToRestic; spec.DefaultVolumesToFsBackup == nil && old != nil && *old { //nolint:staticcheck // deprecated, and still in manifests
		return yes
	}
	return triStateOf(spec.DefaultVolumesToFsBackup)
}

// isEnabled reports whether the schedule makes backups.
func (s *schedule) isEnabled() bool { return !s.paused && s.problem == "" }

// failedBackups returns, by the label of the schedule, its newest backup that has
// ended, if that one failed as a whole. One that was canceled says nothing.
func failedBackups(backups []velerov1.Backup) map[string]*ended {
	newest := map[string]*velerov1.Backup{}
	for i := range backups {
		b := &backups[i]
		label := b.Labels[velerov1.ScheduleNameLabel]
		if label == "" || !b.IsFinished() || isCanceled(b) {
			continue
		}
		if last := newest[label]; last == nil || beginning(b).After(beginning(last)) {
			newest[label] = b
		}
	}
	failed := map[string]*ended{}
	for label, b := range newest {
		if isFailed(b) {
			failed[label] = &ended{name: b.Name, at: beginning(b), message: failureOf(b)}
		}
	}
	return failed
}

// beginning is when a backup began; for one that never did, when it was asked for.
func beginning(b *velerov1.Backup) time.Time {
	if b.Status.StartTimestamp != nil {
		return b.Status.StartTimestamp.Time
	}
	return b.CreationTimestamp.Time
}

func isFailed(b *velerov1.Backup) bool {
	return b.Status.Phase == velerov1.BackupPhaseFailed || b.Status.Phase == velerov1.BackupPhaseFailedValidation
}

func isCanceled(b *velerov1.Backup) bool {
	return b.Annotations[velerov1.CancelRequestedByAnnotation] != "" && isFailed(b)
}

func failureOf(b *velerov1.Backup) string {
	if b.Status.FailureReason != "" {
		return b.Status.FailureReason
	}
	if len(b.Status.ValidationErrors) > 0 {
		return strings.Join(b.Status.ValidationErrors, "; ")
	}
	return string(b.Status.Phase)
}
