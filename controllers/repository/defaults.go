package repository

import (
	"cmp"
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/repositoryconfig"
)

// setDefaults fills in what a new repository does not say. Later changes of the
// ConfigMap do not change it any more, as in Velero.
func (r *Reconciler) setDefaults(ctx context.Context, repo *velerov1.BackupRepository) *failure {
	if r.ConfigMap != "" && len(repo.Spec.RepositoryConfig) == 0 {
		configMap := &corev1.ConfigMap{}
		err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.ConfigMap}, configMap)
		if err != nil {
			return &failure{reason: velerov1.ReasonRepositoryNotReady, err: fmt.Errorf("getting ConfigMap %s: %w", r.ConfigMap, err)}
		}
		repo.Spec.RepositoryConfig, err = repositoryconfig.Parse(configMap.Data)
		if err != nil {
			return &failure{reason: velerov1.ReasonInvalidSpec, err: fmt.Errorf("reading ConfigMap %s: %w", r.ConfigMap, err)}
		}
	}
	repo.Spec.MaintenanceFrequency = metav1.Duration{Duration: cmp.Or(r.MaintenanceFrequency, DefaultMaintenanceFrequency)}
	return nil
}
