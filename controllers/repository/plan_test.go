package repository

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/repositories"
)

var t0 = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

type mod func(*velerov1.BackupRepository)

// repository has its defaults, and nobody has looked at it yet.
func repository(mods ...mod) *velerov1.BackupRepository {
	r := repositories.New("velero", "shop", "default")
	r.Spec.MaintenanceFrequency = metav1.Duration{Duration: time.Hour}
	for _, m := range mods {
		m(r)
	}
	return r
}

func ready(hash string) mod {
	return func(r *velerov1.BackupRepository) {
		r.Status.Phase = velerov1.BackupRepositoryPhaseReady
		r.Annotations = map[string]string{velerov1.CheckedWithAnnotation: hash}
	}
}

func notReady(r *velerov1.BackupRepository) {
	r.Status.Phase = velerov1.BackupRepositoryPhaseNotReady
}

func noDefaults(r *velerov1.BackupRepository) { r.Spec.MaintenanceFrequency = metav1.Duration{} }

func ofType(typ string) mod {
	return func(r *velerov1.BackupRepository) { r.Spec.RepositoryType = typ }
}

func deleted(r *velerov1.BackupRepository) { r.DeletionTimestamp = &metav1.Time{Time: t0} }

func bsl(phase velerov1.BackupStorageLocationPhase) *velerov1.BackupStorageLocation {
	l := &velerov1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	l.Status.Phase = phase
	return l
}

func TestPlan(t *testing.T) {
	t.Parallel()
	available := bsl(velerov1.BackupStorageLocationPhaseAvailable)
	unavailable := bsl(velerov1.BackupStorageLocationPhaseUnavailable)
	nothing := step{action: actNothing}
	prepare := step{action: actPrepare}

	tests := map[string]struct {
		repository *velerov1.BackupRepository
		bsl        *velerov1.BackupStorageLocation
		accessErr  error
		want       step
	}{
		"one that goes away is left":                       {repository: repository(deleted), bsl: available, want: nothing},
		"a restic repository is left":                      {repository: repository(ofType("restic")), bsl: available, want: nothing},
		"a repository of the old default type is left":     {repository: repository(ofType("")), bsl: available, want: nothing},
		"a new one gets its defaults first":                {repository: repository(noDefaults), bsl: available, want: step{action: actSetDefaults}},
		"defaults do not need the location":                {repository: repository(noDefaults), want: step{action: actSetDefaults}},
		"a new one is prepared":                            {repository: repository(), bsl: available, want: prepare},
		"a location that was never checked is tried":       {repository: repository(), bsl: bsl(""), want: prepare},
		"without its location it cannot be used":           {repository: repository(), want: step{action: actRefuse, reason: velerov1.ReasonLocationNotFound}},
		"a ready one whose location goes is not ready":     {repository: repository(ready("now")), want: step{action: actRefuse, reason: velerov1.ReasonLocationNotFound}},
		"an unavailable location is not tried":             {repository: repository(), bsl: unavailable, want: step{action: actRefuse, reason: velerov1.ReasonLocationUnavailable}},
		"one that is not ready is tried again":             {repository: repository(notReady), bsl: available, want: prepare},
		"a ready one is left":                              {repository: repository(ready("now")), bsl: available, want: nothing},
		"a ready one stays so while the location is away":  {repository: repository(ready("before")), bsl: unavailable, want: nothing},
		"a changed location is checked":                    {repository: repository(ready("before")), bsl: available, want: prepare},
		"one that Velero made ready is checked":            {repository: repository(ready("")), bsl: available, want: prepare},
		"a location that cannot be resolved is reported":   {repository: repository(), bsl: available, accessErr: errors.New("x"), want: prepare},
		"also for a ready one":                             {repository: repository(ready("now")), bsl: available, accessErr: errors.New("x"), want: prepare},
		"a negative maintenance frequency becomes default": {repository: repository(func(r *velerov1.BackupRepository) { r.Spec.MaintenanceFrequency.Duration = -1 }), bsl: available, want: step{action: actSetDefaults}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := plan(observed{repository: tc.repository, bsl: tc.bsl, hash: "now", accessErr: tc.accessErr})

			g.Expect(got).To(Equal(tc.want))
		})
	}
}
