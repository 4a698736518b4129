package sync

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type locationMod func(*velerov1.BackupStorageLocation)

// bsl is a location that can be used and has never been synced.
func bsl(name string, mods ...locationMod) *velerov1.BackupStorageLocation {
	l := &velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: name},
		Status:     velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable},
	}
	for _, m := range mods {
		m(l)
	}
	return l
}

func isDefault(l *velerov1.BackupStorageLocation) { l.Spec.Default = true }

func deleted(l *velerov1.BackupStorageLocation) { l.DeletionTimestamp = &metav1.Time{Time: t0} }

func phase(p velerov1.BackupStorageLocationPhase) locationMod {
	return func(l *velerov1.BackupStorageLocation) { l.Status.Phase = p }
}

func synced(at time.Time) locationMod {
	return func(l *velerov1.BackupStorageLocation) { l.Status.LastSyncedTime = &metav1.Time{Time: at} }
}

func every(d time.Duration) locationMod {
	return func(l *velerov1.BackupStorageLocation) { l.Spec.BackupSyncPeriod = &metav1.Duration{Duration: d} }
}

func failedBefore(l *velerov1.BackupStorageLocation) {
	l.Status.Conditions = []metav1.Condition{{Type: velerov1.ConditionSynced, Status: metav1.ConditionFalse}}
}

func syncedFrom(place string) locationMod {
	return func(l *velerov1.BackupStorageLocation) {
		l.Annotations = map[string]string{velerov1.SyncedFromAnnotation: place}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	now := step{action: actSync}
	wait := func(d time.Duration) step { return step{action: actNothing, after: d} }
	tests := map[string]struct {
		location *velerov1.BackupStorageLocation
		others   []velerov1.BackupStorageLocation
		noPeriod bool
		want     step
	}{
		"one that goes away is left":                        {location: bsl("a", deleted), want: wait(0)},
		"a new one is synced at once":                       {location: bsl("a"), want: now},
		"one that is not checked yet waits for that":        {location: bsl("a", phase("")), want: wait(0)},
		"an unavailable one is left":                        {location: bsl("a", phase("Unavailable"), synced(t0.Add(-time.Hour))), want: wait(0)},
		"the default period counts":                         {location: bsl("a", synced(t0.Add(-20*time.Second))), want: wait(40 * time.Second)},
		"a due one is synced":                               {location: bsl("a", synced(t0.Add(-time.Minute))), want: now},
		"its own period counts":                             {location: bsl("a", synced(t0.Add(-time.Minute)), every(time.Hour)), want: wait(59 * time.Minute)},
		"period 0 is never":                                 {location: bsl("a", every(0)), want: wait(0)},
		"a negative period is never":                        {location: bsl("a", every(-time.Second)), want: wait(0)},
		"period 0 of the server is never":                   {location: bsl("a"), noPeriod: true, want: wait(0)},
		"its own period beats 0 of the server":              {location: bsl("a", every(time.Second)), noPeriod: true, want: now},
		"a sync in the future does not count":               {location: bsl("a", synced(t0.Add(time.Hour))), want: now},
		"a confirmed place is synced at once":               {location: bsl("a", synced(t0), syncedFrom("here")), want: now},
		"the default goes first":                            {location: bsl("a"), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault)}, want: wait(defaultFirstRecheck)},
		"also while it is not checked yet":                  {location: bsl("a"), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault, phase(""))}, want: wait(defaultFirstRecheck)},
		"the default itself does not wait":                  {location: bsl("a", isDefault), others: []velerov1.BackupStorageLocation{*bsl("b")}, want: now},
		"a default that was synced is not waited for":       {location: bsl("a"), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault, synced(t0))}, want: now},
		"nor one whose sync failed":                         {location: bsl("a"), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault, failedBefore)}, want: now},
		"nor an unavailable one":                            {location: bsl("a"), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault, phase("Unavailable"))}, want: now},
		"nor one that is never synced":                      {location: bsl("a"), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault, every(0))}, want: now},
		"nor one that goes away":                            {location: bsl("a"), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault, deleted)}, want: now},
		"one that was synced before does not wait any more": {location: bsl("a", synced(t0.Add(-time.Hour))), others: []velerov1.BackupStorageLocation{*bsl("b", isDefault)}, want: now},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := observed{location: tc.location, all: append(tc.others, *tc.location), defaultPeriod: DefaultPeriod, now: t0}
			if tc.noPeriod {
				o.defaultPeriod = 0
			}

			NewWithT(t).Expect(plan(o)).To(Equal(tc.want))
		})
	}
}
