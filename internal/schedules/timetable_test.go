package schedules

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ expression, want string }{
		"nothing":                         {"", "no cron expression"},
		"spaces":                          {"   ", "no cron expression"},
		"a zone without anything":         {"CRON_TZ=Europe/Berlin", "no cron expression"},
		"a zone and spaces":               {"TZ=UTC  ", "no cron expression"},
		"an unknown zone":                 {"CRON_TZ=Mars/Olympus 0 0 * * *", "Mars/Olympus"},
		"four fields":                     {"0 0 * *", "expected exactly 5 fields"},
		"six fields":                      {"0 0 0 * * *", "expected exactly 5 fields"},
		"a minute that does not exist":    {"60 0 * * *", "60"},
		"a day that no month has":         {"0 0 31 2 *", "no time ever matches"},
		"an unknown descriptor":           {"@fortnightly", "@fortnightly"},
		"an interval of nothing":          {"@every 0s", "shorter than 1s"},
		"a negative interval":             {"@every -1h", "shorter than 1s"},
		"less than a second":              {"@every 10ms", "shorter than 1s"},
		"an interval that is no duration": {"@every day", "day"},
		"a negative interval with a zone": {"TZ=UTC @every -1h", "shorter than 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tc.expression)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		expression           string
		base, now            string
		wantLatest, wantNext string // "" means none
	}{
		"nothing is due yet":                     {"0 3 * * *", "2026-11-22T04:00:00Z", "2026-11-23T02:59:59Z", "", "2026-11-23T03:00:00Z"},
		"due exactly now":                        {"0 3 * * *", "2026-11-22T04:00:00Z", "2026-11-23T03:00:00Z", "2026-11-23T03:00:00Z", "2026-11-23T03:00:00Z"},
		"due since a while":                      {"0 3 * * *", "2026-11-22T04:00:00Z", "2026-11-23T05:00:00Z", "2026-11-23T03:00:00Z", "2026-11-23T03:00:00Z"},
		"of all that were missed the newest":     {"0 3 * * *", "2026-01-01T03:00:00Z", "2026-11-22T12:00:00Z", "2026-11-22T03:00:00Z", "2026-01-02T03:00:00Z"},
		"the base itself is not due again":       {"0 3 * * *", "2026-11-22T03:00:00Z", "2026-11-22T03:00:00Z", "", "2026-11-23T03:00:00Z"},
		"each minute for years":                  {"* * * * *", "2020-01-01T00:00:00Z", "2026-11-22T12:00:30Z", "2026-11-22T12:00:00Z", "2020-01-01T00:01:00Z"},
		"a burst once a year":                    {"* * 1 1 *", "2025-06-01T00:00:00Z", "2026-11-22T12:00:00Z", "2026-01-01T23:59:00Z", "2026-01-01T00:00:00Z"},
		"a zone":                                 {"CRON_TZ=Asia/Tokyo 0 3 * * *", "2026-11-22T00:00:00Z", "2026-11-22T18:00:00Z", "2026-11-22T18:00:00Z", "2026-11-22T18:00:00Z"},
		"the other name of zones":                {"TZ=Asia/Tokyo 0 3 * * *", "2026-11-22T00:00:00Z", "2026-11-22T17:59:59Z", "", "2026-11-22T18:00:00Z"},
		"summer time moves it by an hour":        {"CRON_TZ=Europe/Berlin 0 3 * * *", "2026-07-01T02:00:00Z", "2026-07-02T01:00:00Z", "2026-07-02T01:00:00Z", "2026-07-02T01:00:00Z"},
		"a descriptor":                           {"@weekly", "2026-11-22T01:00:00Z", "2026-11-29T00:00:01Z", "2026-11-29T00:00:00Z", "2026-11-29T00:00:00Z"},
		"an interval counts from the base":       {"@every 6h", "2026-11-22T01:30:00Z", "2026-11-22T07:30:00Z", "2026-11-22T07:30:00Z", "2026-11-22T07:30:00Z"},
		"an interval that is not over":           {"@every 6h", "2026-11-22T01:30:00Z", "2026-11-22T07:29:59Z", "", "2026-11-22T07:30:00Z"},
		"an interval that was missed many times": {"@every 1s", "2020-01-01T00:00:00Z", "2026-11-22T12:00:00.5Z", "2026-11-22T12:00:00Z", "2020-01-01T00:00:01Z"},
		"spaces around it":                       {"  0 3 * * * ", "2026-11-22T04:00:00Z", "2026-11-23T03:00:00Z", "2026-11-23T03:00:00Z", "2026-11-23T03:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			timetable, err := Parse(tc.expression)
			g.Expect(err).NotTo(HaveOccurred())

			latest := timetable.Latest(at(tc.base), at(tc.now))

			if tc.wantLatest == "" {
				g.Expect(latest.IsZero()).To(BeTrue(), latest.String())
			} else {
				g.Expect(latest).To(Equal(at(tc.wantLatest)))
			}
			g.Expect(timetable.Next(at(tc.base))).To(Equal(at(tc.wantNext)))
		})
	}
}

func TestNewBackup(t *testing.T) {
	t.Parallel()
	s := &velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: "nightly", UID: "s-1",
			Labels: map[string]string{"team": "shop"},
			Annotations: map[string]string{
				"note": "keep", "kubectl.kubernetes.io/last-applied-configuration": "{}",
			},
		},
		Spec: velerov1.ScheduleSpec{Template: velerov1.BackupSpec{IncludedNamespaces: []string{"shop"}}},
	}
	when := time.Date(2026, 11, 22, 4, 5, 6, 0, time.FixedZone("east", 3600))

	t.Run("its name has the time in UTC", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		b := NewBackup(s, when)
		g.Expect(b.Name).To(Equal("nightly-20261122030506"))
		g.Expect(b.Namespace).To(Equal("velero"))
		g.Expect(b.Spec).To(Equal(s.Spec.Template))
		g.Expect(b.OwnerReferences).To(BeEmpty())
	})
	t.Run("labels and annotations are the schedule's", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		b := NewBackup(s, when)
		g.Expect(b.Labels).To(Equal(map[string]string{"team": "shop", velerov1.ScheduleNameLabel: "nightly"}))
		g.Expect(b.Annotations).To(Equal(map[string]string{"note": "keep"}))
		g.Expect(s.Labels).NotTo(HaveKey(velerov1.ScheduleNameLabel), "the schedule is not changed")
	})
	t.Run("labels of the template win", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		labelled := s.DeepCopy()
		labelled.Spec.Template.Metadata.Labels = map[string]string{"tier": "gold"}
		g.Expect(NewBackup(labelled, when).Labels).To(Equal(map[string]string{"tier": "gold", velerov1.ScheduleNameLabel: "nightly"}))
	})
	t.Run("the schedule owns it if it wants to", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		owner := s.DeepCopy()
		owner.Spec.UseOwnerReferencesInBackup = ptr.To(true)
		g.Expect(NewBackup(owner, when).OwnerReferences).To(ConsistOf(metav1.OwnerReference{
			APIVersion: "velero.io/v1", Kind: "Schedule", Name: "nightly", UID: "s-1", Controller: ptr.To(true),
		}))
	})
}

func TestLastAndInterval(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		expression   string
		at           string
		wantLast     string
		wantInterval time.Duration
	}{
		"each night":             {"0 3 * * *", "2026-11-22T12:00:00Z", "2026-11-22T03:00:00Z", 24 * time.Hour},
		"exactly when it is due": {"0 3 * * *", "2026-11-22T03:00:00Z", "2026-11-22T03:00:00Z", 24 * time.Hour},
		"not at weekends":        {"0 3 * * 1-5", "2026-11-22T12:00:00Z", "2026-11-20T03:00:00Z", 72 * time.Hour},
		"an interval":            {"@every 6h", "2026-11-22T12:00:00Z", "2026-11-22T06:00:00Z", 6 * time.Hour},
		"once in four years":     {"0 0 29 2 *", "2026-11-22T12:00:00Z", "2024-02-29T00:00:00Z", 1461 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			timetable, err := Parse(tc.expression)
			g.Expect(err).NotTo(HaveOccurred())

			g.Expect(timetable.Last(at(tc.at))).To(Equal(at(tc.wantLast)))
			g.Expect(timetable.Interval(at(tc.at))).To(Equal(tc.wantInterval))
		})
	}
}
