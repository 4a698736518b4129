package backup

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/podfacts"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
	"github.com/podkeep/podkeep/internal/selection"
)

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
