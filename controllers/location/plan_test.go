package location

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type mod func(*velerov1.BackupStorageLocation)

func bsl(name string, mods ...mod) *velerov1.BackupStorageLocation {
	l := &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(t0)}}
	for _, m := range mods {
		m(l)
	}
	return l
}

func checked(phase velerov1.BackupStorageLocationPhase, at time.Time) mod {
	return func(l *velerov1.BackupStorageLocation) {
		l.Status.Phase = phase
		l.Status.LastValidationTime = &metav1.Time{Time: at}
	}
}

func available(at time.Time) mod {
	return checked(velerov1.BackupStorageLocationPhaseAvailable, at)
}

func unavailable(at time.Time) mod {
	return checked(velerov1.BackupStorageLocationPhaseUnavailable, at)
}

func every(d time.Duration) mod {
	return func(l *velerov1.BackupStorageLocation) { l.Spec.ValidationFrequency = &metav1.Duration{Duration: d} }
}

func isDefault(l *velerov1.BackupStorageLocation) { l.Spec.Default = true }

func created(at time.Time) mod {
	return func(l *velerov1.BackupStorageLocation) { l.CreationTimestamp = metav1.NewTime(at) }
}

func deleted(l *velerov1.BackupStorageLocation) {
	l.DeletionTimestamp = &metav1.Time{Time: t0}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	validate := step{action: actValidate}
	wait := func(d time.Duration) step { return step{action: actNothing, after: d} }

	tests := map[string]struct {
		location *velerov1.BackupStorageLocation
		others   []velerov1.BackupStorageLocation
		changed  bool
		want     step
	}{
		"one that goes away is left":                    {location: bsl("a", deleted), changed: true, want: wait(0)},
		"a new one is checked at once":                  {location: bsl("a"), want: validate},
		"one that Velero has never checked is checked":  {location: bsl("a", func(l *velerov1.BackupStorageLocation) { l.Status.Phase = "Available" }), want: validate},
		"a changed one is checked at once":              {location: bsl("a", available(t0)), changed: true, want: validate},
		"a checked one waits for the default frequency": {location: bsl("a", available(t0.Add(-20*time.Second))), want: wait(40 * time.Second)},
		"a due one is checked":                          {location: bsl("a", available(t0.Add(-time.Minute))), want: validate},
		"its own frequency counts":                      {location: bsl("a", available(t0.Add(-time.Minute)), every(time.Hour)), want: wait(59 * time.Minute)},
		"an available one is checked once at 0":         {location: bsl("a", available(t0.Add(-time.Hour)), every(0)), want: wait(0)},
		"a negative frequency is 0":                     {location: bsl("a", available(t0.Add(-time.Hour)), every(-time.Second)), want: wait(0)},
		"an unavailable one is tried again soon":        {location: bsl("a", unavailable(t0.Add(-4*time.Second)), every(time.Hour)), want: wait(6 * time.Second)},
		"an unavailable one is tried again also at 0":   {location: bsl("a", unavailable(t0.Add(-10*time.Second)), every(0)), want: validate},
		"a frequency below the retry is kept":           {location: bsl("a", unavailable(t0), every(3*time.Second)), want: wait(3 * time.Second)},
		"a check in the future does not count":          {location: bsl("a", available(t0.Add(time.Hour))), want: validate},
		"the newer default wins": {
			location: bsl("a", isDefault, available(t0)),
			others:   []velerov1.BackupStorageLocation{*bsl("b", isDefault, created(t0.Add(time.Second)))},
			want:     step{action: actUnsetDefault},
		},
		"the newest default stays": {
			location: bsl("a", isDefault, available(t0)),
			others:   []velerov1.BackupStorageLocation{*bsl("b", isDefault, created(t0.Add(-time.Second)))},
			want:     wait(time.Minute),
		},
		"of two as new the first by name stays": {
			location: bsl("b", isDefault, available(t0)),
			others:   []velerov1.BackupStorageLocation{*bsl("a", isDefault)},
			want:     step{action: actUnsetDefault},
		},
		"a default that goes away does not count": {
			location: bsl("a", isDefault, available(t0)),
			others:   []velerov1.BackupStorageLocation{*bsl("b", isDefault, deleted, created(t0.Add(time.Second)))},
			want:     wait(time.Minute),
		},
		"one that is not the default does not compete": {
			location: bsl("a", available(t0)),
			others:   []velerov1.BackupStorageLocation{*bsl("b", isDefault, created(t0.Add(time.Second)))},
			want:     wait(time.Minute),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := plan(observed{
				location:         tc.location,
				all:              append(tc.others, *tc.location),
				changed:          tc.changed,
				defaultFrequency: DefaultValidationFrequency,
				now:              t0,
			})

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

// Exactly one of several defaults stays.
func TestPlanKeepsOneDefault(t *testing.T) {
	t.Parallel()
	all := []velerov1.BackupStorageLocation{
		*bsl("a", isDefault, available(t0)), *bsl("b", isDefault, available(t0)),
		*bsl("c", isDefault, available(t0), created(t0.Add(-time.Hour))), *bsl("d", available(t0), created(t0.Add(time.Hour))),
	}

	var kept []string
	for i := range all {
		o := observed{location: &all[i], all: all, now: t0, defaultFrequency: time.Minute}
		if all[i].Spec.Default && plan(o).action != actUnsetDefault {
			kept = append(kept, all[i].Name)
		}
	}

	NewWithT(t).Expect(kept).To(Equal([]string{"a"}))
}
