package repository

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/event"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/repositories"
	"github.com/podkeep/podkeep/internal/wire"
)

var errPassword = errors.New("wrong password")

// access is a resolver of one location.
type access struct {
	passwordFile string
	passwordErr  error
}

func (a access) Resolve(context.Context, *velerov1.BackupStorageLocation) (location.Location, error) {
	return location.Location{Name: "default"}, nil
}

func (a access) RepositoryPasswordFile(context.Context) (string, error) {
	return a.passwordFile, a.passwordErr
}

func (a access) RepositoryPasswordVersion(context.Context) (string, error) { return "1", nil }

// step1 carries out one step and reports it, as Reconcile does.
func step1(ctx context.Context, r *Reconciler, o observed) (step, *failure) {
	s := plan(o)
	f := r.act(ctx, o, s)
	report(o, s, f, r.Clock.Now())
	return s, f
}

func reconciler(t *testing.T, ensure func(context.Context, wire.Repository) error) *Reconciler {
	t.Helper()
	return &Reconciler{
		Clock:      clocktesting.NewFakePassiveClock(t0),
		Namespace:  "velero",
		Access:     access{passwordFile: "/password"},
		ScratchDir: t.TempDir(),
		Ensure:     ensure,
		EnsureReason: func(err error) string {
			if errors.Is(err, errPassword) {
				return velerov1.ReasonRepositoryPasswordWrong
			}
			return ""
		},
	}
}

func succeed(context.Context, wire.Repository) error { return nil }

func observedWith(r *velerov1.BackupRepository) observed {
	return observed{
		repository: r,
		bsl:        bsl(velerov1.BackupStorageLocationPhaseAvailable),
		location:   location.Location{Name: "default", Bucket: "b"},
		hash:       "now",
	}
}

func TestNewRepositoryBecomesReady(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var got wire.Repository
	r := reconciler(t, func(_ context.Context, r wire.Repository) error {
		got = r
		g.Expect(r.CacheDir).To(BeADirectory())
		return os.WriteFile(filepath.Join(r.CacheDir, "cache"), nil, 0o600)
	})
	repo := repositories.New("velero", "shop", "default")
	o := observedWith(repo)

	step1(t.Context(), r, o)
	g.Expect(repo.Spec.MaintenanceFrequency.Duration).To(Equal(time.Hour))
	g.Expect(repo.Status.Phase).To(Equal(velerov1.BackupRepositoryPhaseNew))

	step1(t.Context(), r, o)
	g.Expect(repo.Status.Phase).To(Equal(velerov1.BackupRepositoryPhaseReady))
	g.Expect(repo.Status.Message).To(BeEmpty())
	g.Expect(repo.Status.LastMaintenanceTime.Time).To(Equal(t0))
	g.Expect(repo.Annotations).To(HaveKeyWithValue(velerov1.CheckedWithAnnotation, "now"))
	g.Expect(got.Location).To(Equal(o.location))
	g.Expect(got.Namespace).To(Equal("shop"))
	g.Expect(got.PasswordFile).To(Equal("/password"))
	g.Expect(got.CacheDir).NotTo(BeADirectory(), "scratch files are removed")

	s, _ := step1(t.Context(), r, o)
	g.Expect(s.action).To(Equal(actNothing))
}

func TestRepositoryNotReady(t *testing.T) {
	t.Parallel()
	fail := func(err error) func(context.Context, wire.Repository) error {
		return func(context.Context, wire.Repository) error { return err }
	}
	tests := map[string]struct {
		ensure     func(context.Context, wire.Repository) error
		access     access
		repository *velerov1.BackupRepository
		bsl        *velerov1.BackupStorageLocation
		accessErr  error
		wantReason string
		wantText   string
	}{
		"a wrong password says where to put the right one": {
			ensure: fail(errPassword), repository: repository(),
			wantReason: velerov1.ReasonRepositoryPasswordWrong, wantText: locationaccess.RepositorySecret,
		},
		"an error nobody knows": {
			ensure: fail(errors.New("strange\nerror")), repository: repository(),
			wantReason: velerov1.ReasonRepositoryNotReady, wantText: "strange error",
		},
		"no password": {
			ensure: succeed, access: access{passwordErr: locationaccess.ErrNoPassword}, repository: repository(),
			wantReason: velerov1.ReasonRepositoryNotReady, wantText: "no repository password",
		},
		"a location that cannot be resolved": {
			ensure: succeed, repository: repository(), accessErr: errors.New("no such Secret"),
			wantReason: velerov1.ReasonLocationUnavailable, wantText: "no such Secret",
		},
		"a cache limit that is no number": {
			ensure: succeed,
			repository: repository(func(r *velerov1.BackupRepository) {
				r.Spec.RepositoryConfig = map[string]string{"cacheLimitMB": "much"}
			}),
			wantReason: velerov1.ReasonInvalidSpec, wantText: `"much"`,
		},
		"an unavailable location": {
			ensure: succeed, repository: repository(), bsl: bsl(velerov1.BackupStorageLocationPhaseUnavailable),
			wantReason: velerov1.ReasonLocationUnavailable, wantText: "default is unavailable",
		},
		"a ready one whose location changed for the worse": {
			ensure: fail(errPassword), repository: repository(ready("before")),
			wantReason: velerov1.ReasonRepositoryPasswordWrong, wantText: "wrong password",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			r := reconciler(t, tc.ensure)
			r.Access = tc.access
			o := observedWith(tc.repository)
			o.accessErr = tc.accessErr
			if tc.bsl != nil {
				o.bsl = tc.bsl
			}

			_, f := step1(t.Context(), r, o)

			g.Expect(f).NotTo(BeNil())
			g.Expect(tc.repository.Status.Phase).To(Equal(velerov1.BackupRepositoryPhaseNotReady))
			g.Expect(tc.repository.Status.Message).NotTo(BeEmpty())
			g.Expect(tc.repository.Status.Conditions).To(HaveLen(1))
			g.Expect(tc.repository.Status.Conditions[0].Status).To(Equal(metav1.ConditionFalse))
			g.Expect(tc.repository.Status.Conditions[0].Reason).To(Equal(tc.wantReason))
			g.Expect(tc.repository.Status.Conditions[0].Message).To(ContainSubstring(tc.wantText))
			left, err := os.ReadDir(r.ScratchDir)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(left).To(BeEmpty())
		})
	}
}

func TestMissingLocationIsNamed(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	repo := repository()

	step1(t.Context(), reconciler(t, succeed), observed{repository: repo})

	g.Expect(repo.Status.Conditions[0].Reason).To(Equal(velerov1.ReasonLocationNotFound))
	g.Expect(repo.Status.Message).To(ContainSubstring("default"))
}

func TestReadyKeepsMaintenanceTime(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	last := metav1.NewTime(t0.Add(-time.Hour))
	repo := repository(notReady, func(r *velerov1.BackupRepository) { r.Status.LastMaintenanceTime = &last })

	step1(t.Context(), reconciler(t, succeed), observedWith(repo))

	g.Expect(repo.Status.Phase).To(Equal(velerov1.BackupRepositoryPhaseReady))
	g.Expect(repo.Status.LastMaintenanceTime.Time).To(Equal(last.Time))
}

func TestRepositoryChangedDropsOwnPatches(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before, after *velerov1.BackupRepository
		want          bool
	}{
		"a failure is reported":      {repository(), repository(notReady), false},
		"it becomes ready":           {repository(notReady), repository(ready("now")), false},
		"defaults are set":           {repository(noDefaults), repository(), true},
		"it is deleted":              {repository(), repository(deleted), true},
		"somebody asks for a try":    {repository(notReady), repository(), true},
		"nothing that counts is new": {repository(), repository(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}
			NewWithT(t).Expect(repositoryChanged().Update(e)).To(Equal(tc.want))
		})
	}
}

func TestLocationChangedDropsChecks(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	available := bsl(velerov1.BackupStorageLocationPhaseAvailable)
	checkedAgain := available.DeepCopy()
	checkedAgain.Status.LastValidationTime = &metav1.Time{Time: t0}
	moved := available.DeepCopy()
	moved.Spec.Config = map[string]string{"region": "x"}

	g.Expect(locationChanged().Update(event.UpdateEvent{ObjectOld: available, ObjectNew: checkedAgain})).To(BeFalse())
	g.Expect(locationChanged().Update(event.UpdateEvent{ObjectOld: available, ObjectNew: moved})).To(BeTrue())
	g.Expect(locationChanged().Update(event.UpdateEvent{ObjectOld: bsl(""), ObjectNew: available})).To(BeTrue())
}
