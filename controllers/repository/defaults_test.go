package repository

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
)

func TestNewRepositoryGetsTheConfiguredDefaults(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	scheme := runtime.NewScheme()
	g.Expect(corev1.AddToScheme(scheme)).To(Succeed())
	var got wire.Repository
	r := reconciler(t, func(_ context.Context, r wire.Repository) error { got = r; return nil })
	r.ConfigMap, r.MaintenanceFrequency = "settings", 2*time.Hour
	r.Reader = fake.NewClientBuilder().WithScheme(scheme).WithObjects(&corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "settings"},
		Data:       map[string]string{"kopia": `{"cacheLimitMB":100,"fullMaintenanceInterval":"eagerGC"}`},
	}).Build()
	repo := repository(noDefaults)
	o := observedWith(repo)

	step1(t.Context(), r, o)
	step1(t.Context(), r, o)

	g.Expect(repo.Spec.MaintenanceFrequency.Duration).To(Equal(2 * time.Hour))
	g.Expect(got.CacheLimitMB).To(BeEquivalentTo(100))
	g.Expect(got.FullMaintenanceSeconds).To(BeEquivalentTo(6 * 3600))

	t.Run("what it says already stays", func(t *testing.T) {
		g := NewWithT(t)
		repo := repository(noDefaults, func(r *velerov1.BackupRepository) { r.Spec.RepositoryConfig = map[string]string{"cacheLimitMB": "7"} })
		step1(t.Context(), r, observedWith(repo))
		g.Expect(repo.Spec.RepositoryConfig).To(Equal(map[string]string{"cacheLimitMB": "7"}))
	})
	t.Run("a missing ConfigMap is told", func(t *testing.T) {
		g := NewWithT(t)
		r.ConfigMap = "missing"
		repo := repository(noDefaults)
		_, f := step1(t.Context(), r, observedWith(repo))
		g.Expect(f.err).To(MatchError(ContainSubstring("missing")))
		g.Expect(repo.Spec.MaintenanceFrequency.Duration).To(BeZero(), "it is tried again")
	})
	t.Run("an unknown interval is told", func(t *testing.T) {
		g := NewWithT(t)
		repo := repository(func(r *velerov1.BackupRepository) {
			r.Spec.RepositoryConfig = map[string]string{"fullMaintenanceInterval": "hourly"}
		})
		_, f := step1(t.Context(), r, observedWith(repo))
		g.Expect(f.reason).To(Equal(velerov1.ReasonInvalidSpec))
		g.Expect(f.err).To(MatchError(ContainSubstring(`Unsupported value: "hourly"`)))
	})
}
