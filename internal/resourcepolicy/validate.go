package resourcepolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// actionTypes are the valid ones.
var actionTypes = []ActionType{ActionSkip, ActionFSBackup, ActionSnapshot, ActionCustom}

const typeEphemeral = "ephemeral"

// volumeTypes are the fields of a volume source, of pods and of persistent
// volumes, that a policy may name (velero-facts §5.3). awsAzureDisk is no field;
// Velero takes it.
var volumeTypes = []string{
	"awsAzureDisk", "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi", "downwardAPI",
	"emptyDir", typeEphemeral, "fc", "flexVolume", "flocker", "gcePersistentDisk", "gitRepo", "glusterfs", "hostPath", "iscsi",
	"local", "nfs", "photonPersistentDisk", "portworxVolume", "projected", "quobyte", "rbd", "scaleIO", "secret", "storageOS",
	"vsphereVolume",
}

// claimPhases are those of k8s.io/api/core/v1.
var claimPhases = []string{"Pending", "Bound", "Lost"}

func (p *Policies) validate() []string {
	var problems []string
	complain := func(field, format string, args ...any) {
		problems = append(problems, field+": "+fmt.Sprintf(format, args...))
	}
	if p.Version != Version {
		complain("version", "Unsupported value: %q: supported values: %q", p.Version, Version)
	}
	for i := range p.VolumePolicies {
		v := &p.VolumePolicies[i]
		field := fmt.Sprintf("volumePolicies[%d]", i)
		if !slices.Contains(actionTypes, v.Action.Type) {
			complain(field+".action.type", "Unsupported value: %q: supported values: %q", v.Action.Type, actionTypes)
		}
		v.Conditions.validate(field+".conditions", complain)
	}
	if p.IncludeExclude != nil {
		p.IncludeExclude.validate(complain)
	}
	return problems
}

func (c *Conditions) validate(field string, complain func(field, format string, args ...any)) {
	if _, err := parseCapacity(c.Capacity); err != nil {
		complain(field+".capacity", "Invalid value: %q: %s", c.Capacity, err)
	}
	if c.CSI != nil && c.CSI.Driver == "" && len(c.CSI.VolumeAttributes) > 0 {
		complain(field+".csi.driver", "Required value: volumeAttributes are those of a driver")
	}
}

// Warnings say, for people, which values no volume ever has, each with its field.
// Velero takes them, and so they are no problems. p may be nil.
func (p *Policies) Warnings() []string {
	if p == nil {
		return nil
	}
	var warnings []string
	check := func(field string, values, known []string) {
		for i, value := range values {
			if !slices.Contains(known, value) {
				warnings = append(warnings, fmt.Sprintf("%s[%d]: Unsupported value: %q: matches no volume; supported values: %q", field, i, value, known))
			}
		}
	}
	for i, v := range p.VolumePolicies {
		field := fmt.Sprintf("%s[%d].%s.", keyVolumePolicies, i, keyConditions)
		check(field+keyVolumeTypes, v.Conditions.VolumeTypes, volumeTypes)
		check(field+keyPVCPhase, v.Conditions.PVCPhase, claimPhases)
		if slices.Contains(v.Conditions.StorageClass, "") {
			warnings = append(warnings, field+keyStorageClass+`: Unsupported value: "": matches no volume; name storage classes`)
		}
	}
	return warnings
}

func (ie *IncludeExcludePolicy) validate(complain func(field, format string, args ...any)) {
	pairs := []struct {
		suffix             string
		includes, excludes []string
	}{
		{"ClusterScopedResources", ie.IncludedClusterScopedResources, ie.ExcludedClusterScopedResources},
		{"NamespaceScopedResources", ie.IncludedNamespaceScopedResources, ie.ExcludedNamespaceScopedResources},
	}
	for _, p := range pairs {
		for side, names := range map[string][]string{"included": p.includes, "excluded": p.excludes} {
			if slices.Contains(names, "*") {
				complain("includeExcludePolicy."+side+p.suffix, "Invalid value: %q: must list kinds", "*")
			}
		}
		for _, name := range p.includes {
			if slices.Contains(p.excludes, name) {
				complain("includeExcludePolicy.excluded"+p.suffix, "Invalid value: %q: must not be in included%s too", name, p.suffix)
			}
		}
	}
}

// capacityRange are bounds in bytes; zero is no bound.
type capacityRange struct{ min, max resource.Quantity }

var errCapacity = errors.New("must be two quantities and a comma, such as 10Gi,100Gi, of which one may be missing")

// parseCapacity takes "" for no bounds.
func parseCapacity(text string) (capacityRange, error) {
	var r capacityRange
	if text == "" {
		return r, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) != 2 {
		return r, errCapacity
	}
	for i, bound := range []*resource.Quantity{&r.min, &r.max} {
		part := strings.TrimSpace(parts[i])
		if part == "" {
			continue
		}
		q, err := resource.ParseQuantity(part)
		if err != nil || q.Sign() < 0 {
			return r, errCapacity
		}
		*bound = q
	}
	if !r.max.IsZero() && r.min.Cmp(r.max) > 0 {
		return r, errors.New("must not have a lower bound above the upper one")
	}
	return r, nil
}

func (r capacityRange) contains(q resource.Quantity) bool {
	return q.Cmp(r.min) >= 0 && (r.max.IsZero() || q.Cmp(r.max) <= 0)
}
