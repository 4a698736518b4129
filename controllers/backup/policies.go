package backup

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
)

// configMapKind is the only kind that spec.resourcePolicy may name, in any case.
const configMapKind = "configmap"

// readPolicies returns the policies that a backup names; nil when it names none.
// problems say what is wrong with them, and err that they could not be read now.
func (r *Reconciler) readPolicies(ctx context.Context, b *velerov1.Backup) (_ *resourcepolicy.Policies, problems []string, err error) {
	ref := b.Spec.ResourcePolicy
	switch {
	case ref == nil:
		return nil, nil, nil
	case !strings.EqualFold(ref.Kind, configMapKind):
		return nil, []string{fmt.Sprintf("spec.resourcePolicy.kind: Unsupported value: %q: supported values: %q", ref.Kind, configMapKind)}, nil
	}
	config := &corev1.ConfigMap{}
	err = r.Reader.Get(ctx, client.ObjectKey{Namespace: b.Namespace, Name: ref.Name}, config)
	switch {
	case apierrors.IsNotFound(err):
		return nil, []string{fmt.Sprintf("spec.resourcePolicy.name: Not found: %q: create the ConfigMap in namespace %s", ref.Name, b.Namespace)}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("getting resource policies %s: %w", ref.Name, err)
	}
	policies, problems := resourcepolicy.Parse(config.Data)
	for i := range problems {
		problems[i] = fmt.Sprintf("spec.resourcePolicy.name: Invalid value: %q: %s", ref.Name, oneLine(problems[i]))
	}
	return policies, problems, nil
}

// volumePolicy is the rule of the volume policies for the volumes of a pod; nil
// when there are none.
func (c *collector) volumePolicy(claims map[string]*claim) func(corev1.Volume) selection.PolicyAction {
	return podfacts.VolumePolicy(c.policies, func(v corev1.Volume) *resourcepolicy.Volume {
		if cl := claims[v.Name]; cl != nil {
			return cl.policyFacts
		}
		return nil
	})
}

func (c *collector) hasVolumePolicies() bool {
	return c.policies != nil && len(c.policies.VolumePolicies) > 0
}
