package repository

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
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
		repo.Spec.RepositoryConfig, err = parseConfig(configMap.Data)
		if err != nil {
			return &failure{reason: velerov1.ReasonInvalidSpec, err: fmt.Errorf("reading ConfigMap %s: %w", r.ConfigMap, err)}
		}
	}
	repo.Spec.MaintenanceFrequency = metav1.Duration{Duration: cmp.Or(r.MaintenanceFrequency, DefaultMaintenanceFrequency)}
	return nil
}

// parseConfig reads the JSON under the key of kopia repositories: numbers and texts
// become texts, as in Velero (velero-facts §8.2). It returns nil when there is none.
func parseConfig(data map[string]string) (map[string]string, error) {
	text, ok := data[velerov1.BackupRepositoryTypeKopia]
	if !ok {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewBufferString(text))
	decoder.UseNumber()
	var values map[string]any
	if err := decoder.Decode(&values); err != nil {
		return nil, fmt.Errorf("data[%s]: %w", velerov1.BackupRepositoryTypeKopia, err)
	}
	config := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		switch v := values[key].(type) {
		case json.Number:
			config[key] = v.String()
		case string:
			config[key] = v
		case bool:
			config[key] = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("data[%s]: %s: Invalid value: %v: must be a number or a text", velerov1.BackupRepositoryTypeKopia, key, v)
		}
	}
	return config, nil
}
