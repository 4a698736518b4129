package hookrun

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Owner reads the owner of a record, of a kind, into obj. It reports false when it is
// gone, or another object has its name. A cache that is behind is not believed.
func (r Runner) Owner(ctx context.Context, record *corev1.ConfigMap, kind string, obj client.Object) (bool, error) {
	at := slices.IndexFunc(record.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == kind })
	if at < 0 {
		return false, nil
	}
	owner := record.OwnerReferences[at]
	key := client.ObjectKey{Namespace: record.Namespace, Name: owner.Name}
	err := r.Client.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) || (err == nil && obj.GetUID() != owner.UID) {
		err = r.Reader.Get(ctx, key, obj)
	}
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("getting %s %s: %w", strings.ToLower(kind), owner.Name, err)
	default:
		return obj.GetUID() == owner.UID, nil
	}
}
