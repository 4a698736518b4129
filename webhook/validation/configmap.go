package validation

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/configmaps"
)

// ConfigMapFacts is what the verdict on a ConfigMap is made from.
type ConfigMapFacts struct {
	// New is the ConfigMap as it is written, Old as it was; Old is nil for a new one.
	New, Old *corev1.ConfigMap

	Names configmaps.Names

	// Others are names of other ConfigMaps with the labels of the gate, of which only
	// one may be.
	Others []string
}

// ConfigMap judges a ConfigMap of the install namespace. Each case is one row of the
// table in docs/validation.md.
func ConfigMap(f ConfigMapFacts) Verdict {
	roles := configmaps.RolesOf(f.New, f.Names)
	switch {
	case len(roles) == 0:
		return Verdict{Reason: ReasonNotOurs}
	case f.Old != nil && maps.Equal(f.Old.Data, f.New.Data) && slices.Equal(configmaps.RolesOf(f.Old, f.Names), roles):
		return Verdict{Reason: ReasonUnchanged}
	}
	found := findings(configmaps.Check(f.New, roles))
	if slices.Contains(roles, configmaps.RoleGate) && len(f.Others) > 0 {
		found.Ignored = append(found.Ignored, "metadata.labels: ConfigMap "+f.Others[0]+
			" has the labels of the restore gate, too: none of them is used until one is removed")
	}
	var known []string
	if f.Old != nil && slices.Equal(configmaps.RolesOf(f.Old, f.Names), roles) {
		known = configmaps.Check(f.Old, roles).Invalid
	}
	return judge(found, known)
}
