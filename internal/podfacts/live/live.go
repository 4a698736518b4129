// Package live finds the facts of pods, and the policies of backups, in a cache or an
// API server, whichever the
// reader is. It belongs to internal/podfacts and is apart from it because only this
// needs a client.
package live

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// Source reads objects one by one. Of namespaces only the metadata is read.
type Source struct{ Reader client.Reader }

var _ podfacts.Source = Source{}

// Namespace reads the metadata of a namespace; nil when there is none.
func (s Source) Namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	found, err := s.get(ctx, client.ObjectKey{Name: name}, namespace)
	if err != nil {
		return nil, fmt.Errorf("getting namespace %s: %w", name, err)
	}
	if !found {
		return nil, nil
	}
	return namespace, nil
}

// Claim reads a claim; nil when there is none.
func (s Source) Claim(ctx context.Context, namespace, name string) (*corev1.PersistentVolumeClaim, error) {
	claim := &corev1.PersistentVolumeClaim{}
	found, err := s.get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, claim)
	if err != nil {
		return nil, fmt.Errorf("getting claim %s/%s: %w", namespace, name, err)
	}
	if !found {
		return nil, nil
	}
	return claim, nil
}

// Volume reads a persistent volume; nil when there is none.
func (s Source) Volume(ctx context.Context, name string) (*corev1.PersistentVolume, error) {
	volume := &corev1.PersistentVolume{}
	found, err := s.get(ctx, client.ObjectKey{Name: name}, volume)
	if err != nil {
		return nil, fmt.Errorf("getting persistent volume %s: %w", name, err)
	}
	if !found {
		return nil, nil
	}
	return volume, nil
}

func (s Source) get(ctx context.Context, key client.ObjectKey, into client.Object) (found bool, err error) {
	err = s.Reader.Get(ctx, key, into)
	return err == nil, client.IgnoreNotFound(err)
}

// kindConfigMap is the only kind that spec.resourcePolicy may name, in any case.
const kindConfigMap = "configmap"

// Policies reads the policies that a backup in the namespace names; nil when it names
// none. problems say what is wrong with them, each with its field, and err that they
// could not be read now.
func Policies(
	ctx context.Context, r client.Reader, namespace string, ref *corev1.TypedLocalObjectReference,
) (_ *resourcepolicy.Policies, problems []string, err error) {
	switch {
	case ref == nil:
		return nil, nil, nil
	case !strings.EqualFold(ref.Kind, kindConfigMap):
		return nil, []string{fmt.Sprintf("spec.resourcePolicy.kind: Unsupported value: %q: supported values: %q", ref.Kind, kindConfigMap)}, nil
	}
	config := &corev1.ConfigMap{}
	err = r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, config)
	switch {
	case apierrors.IsNotFound(err):
		return nil, []string{fmt.Sprintf("spec.resourcePolicy.name: Not found: %q: create the ConfigMap in namespace %s", ref.Name, namespace)}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("getting resource policies %s: %w", ref.Name, err)
	}
	policies, problems := resourcepolicy.Parse(config.Data)
	for i := range problems {
		problems[i] = fmt.Sprintf("spec.resourcePolicy.name: Invalid value: %q: %s", ref.Name, strings.Join(strings.Fields(problems[i]), " "))
	}
	return policies, problems, nil
}
