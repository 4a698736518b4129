package schedule

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type mod func(*velerov1.Schedule)

// nightly is due at 3 o'clock and was made at 8.
func nightly(mods ...mod) *velerov1.Schedule {
	s := &velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly", UID: "s-1", CreationTimestamp: metav1.Time{Time: t0}},
		Spec:       velerov1.ScheduleSpec{Schedule: "0 3 * * *"},
	}
	for _, m := range mods {
		m(s)
	}
	return s
}

func paused(s *velerov1.Schedule)  { s.Spec.Paused = true }
func skips(s *velerov1.Schedule)   { s.Spec.SkipImmediately = ptr.To(true) }
func noSkip(s *velerov1.Schedule)  { s.Spec.SkipImmediately = ptr.To(false) }
func deleted(s *velerov1.Schedule) { s.DeletionTimestamp = &metav1.Time{Time: t0} }

func TestPlan(t *testing.T) {
	t.Parallel()
	due := t0.Add(-5 * time.Hour)
	next := t0.Add(19 * time.Hour)
	for name, tc := range map[string]struct {
		o    observed
		want step
	}{
		"one that goes away is left":      {observed{schedule: nightly(deleted), due: due}, step{action: actNothing}},
		"a bad one is rejected":           {observed{schedule: nightly(paused), problems: []string{"bad"}}, step{action: actReject, reason: velerov1.ReasonInvalidSpec}},
		"a paused one makes nothing":      {observed{schedule: nightly(paused, skips), due: due}, step{action: actNothing, reason: velerov1.ReasonPaused, message: "spec.paused is true"}},
		"a skip is asked for":             {observed{schedule: nightly(skips), due: due}, step{action: actSkip}},
		"the server skips by default":     {observed{schedule: nightly(), due: due, skipByDefault: true}, step{action: actSkip}},
		"a skip that is done stays so":    {observed{schedule: nightly(noSkip), due: due, skipByDefault: true}, step{action: actCreate}},
		"it waits exactly until the next": {observed{schedule: nightly(), next: next}, step{action: actNothing, reason: velerov1.ReasonSucceeded, after: 19 * time.Hour, message: "The next backup is due at 2026-11-23T03:00:00Z"}},
		"one that runs is waited for":     {observed{schedule: nightly(), due: due, running: "nightly-1"}, step{action: actNothing, reason: velerov1.ReasonWaitingForBackup, message: "The backup that was due at 2026-11-22T03:00:00Z waits for the end of nightly-1"}},
		"one is due":                      {observed{schedule: nightly(), due: due, next: next}, step{action: actCreate}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.o.now = t0
			NewWithT(t).Expect(plan(tc.o)).To(Equal(tc.want))
		})
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: t0.Add(d)} }
	for name, tc := range map[string]struct {
		s    *velerov1.Schedule
		want time.Time
	}{
		"when it was made":              {nightly(), t0},
		"the last backup":               {nightly(func(s *velerov1.Schedule) { s.Status.LastBackup = at(time.Hour) }), t0.Add(time.Hour)},
		"a later skip":                  {nightly(func(s *velerov1.Schedule) { s.Status.LastBackup, s.Status.LastSkipped = at(time.Hour), at(2*time.Hour) }), t0.Add(2 * time.Hour)},
		"an earlier skip":               {nightly(func(s *velerov1.Schedule) { s.Status.LastBackup, s.Status.LastSkipped = at(time.Hour), at(0) }), t0.Add(time.Hour)},
		"a clock that was set back":     {nightly(func(s *velerov1.Schedule) { s.Status.LastBackup = at(48 * time.Hour) }), t0.Add(4 * time.Hour)},
		"a skip before any backup":      {nightly(func(s *velerov1.Schedule) { s.Status.LastSkipped = at(time.Minute) }), t0.Add(time.Minute)},
		"a skip before it was imported": {nightly(func(s *velerov1.Schedule) { s.Status.LastSkipped = at(-time.Minute) }), t0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(base(tc.s, t0.Add(4*time.Hour))).To(Equal(tc.want))
		})
	}
}

// TestReportIsTheSameAgain keeps a status from changing on each look.
func TestReportIsTheSameAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o   observed
		err error
	}{
		"waiting":  {observed{schedule: nightly(), next: t0.Add(time.Hour)}, nil},
		"paused":   {observed{schedule: nightly(paused)}, nil},
		"rejected": {observed{schedule: nightly(), problems: []string{"bad"}}, nil},
		"refused":  {observed{schedule: nightly(), due: t0}, outcome.Terminalf(velerov1.ReasonInvalidSpec, "no")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.o.now = t0
			report(tc.o, plan(tc.o), tc.err)
			first := tc.o.schedule.DeepCopy()
			g.Expect(first.Status.Phase).NotTo(BeEmpty())

			tc.o.now = t0.Add(time.Minute)
			report(tc.o, plan(tc.o), tc.err)

			g.Expect(tc.o.schedule).To(Equal(first))
		})
	}
}
