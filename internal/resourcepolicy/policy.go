// Package resourcepolicy reads the ConfigMap that spec.resourcePolicy of a Backup
// names: which volumes are backed up in which way, and which kinds are in the
// backup.
//
// It is pure. Parse takes the data of the ConfigMap and is strict, because a key
// with a typing error would silently protect less; what Velero takes and what has no
// effect is in Policies.Warnings. Policies.Match applies volume policies to the facts
// of a volume, which OfClaim, OfBoundClaim and OfPodVolume read from objects. The
// include/exclude policy is applied by internal/filter. Format: velero-facts §5.3.
package resourcepolicy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/podkeep/podkeep/internal/filter"
)

// Version is the only version of the format.
const Version = "v1"

// MaxBytes bounds what Parse takes. etcd keeps no ConfigMap that is larger.
const MaxBytes = 1 << 20

// Policies are the content of the ConfigMap.
type Policies struct {
	Version        string                `json:"version"`
	VolumePolicies []VolumePolicy        `json:"volumePolicies,omitempty"`
	IncludeExclude *IncludeExcludePolicy `json:"includeExcludePolicy,omitempty"`
}

// VolumePolicy says what happens to the volumes that meet all its conditions.
type VolumePolicy struct {
	Conditions Conditions `json:"conditions"`
	Action     Action     `json:"action"`
}

// Conditions are met when each that is given is met; none is given is met by every
// volume.
type Conditions struct {
	// Capacity is "min,max" in Kubernetes quantities; an empty side is no bound.
	Capacity string `json:"capacity,omitempty"`

	// StorageClass lists names of classes. A volume without a class never matches.
	StorageClass []string `json:"storageClass,omitempty"`

	// NFS and CSI are met by volumes of that kind with these properties; {} is met
	// by every one of the kind.
	NFS *NFS `json:"nfs,omitempty"`
	CSI *CSI `json:"csi,omitempty"`

	// VolumeTypes lists kinds of volumes, such as emptyDir.
	VolumeTypes []string `json:"volumeTypes,omitempty"`

	// PVCLabels must all be on the claim.
	PVCLabels map[string]string `json:"pvcLabels,omitempty"`

	// PVCPhase lists phases of the claim.
	PVCPhase []string `json:"pvcPhase,omitempty"`
}

// NFS is an export. Empty fields fit any.
type NFS struct {
	Server string `json:"server,omitempty"`
	Path   string `json:"path,omitempty"`
}

// CSI is a volume of a driver. Empty fields fit any.
type CSI struct {
	Driver           string            `json:"driver,omitempty"`
	VolumeAttributes map[string]string `json:"volumeAttributes,omitempty"`
}

// ActionType says how a volume is backed up.
type ActionType string

// The action types.
const (
	ActionSkip     ActionType = "skip"
	ActionFSBackup ActionType = "fs-backup"
	ActionSnapshot ActionType = "snapshot"
	ActionCustom   ActionType = "custom"
)

// Action is what happens to a volume.
type Action struct {
	Type ActionType `json:"type"`

	// Parameters are for custom actions.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// IncludeExcludePolicy are the lists of internal/filter.Policy as they are written.
type IncludeExcludePolicy struct {
	IncludedClusterScopedResources   []string `json:"includedClusterScopedResources,omitempty"`
	ExcludedClusterScopedResources   []string `json:"excludedClusterScopedResources,omitempty"`
	IncludedNamespaceScopedResources []string `json:"includedNamespaceScopedResources,omitempty"`
	ExcludedNamespaceScopedResources []string `json:"excludedNamespaceScopedResources,omitempty"`
}

// Filter is the include/exclude policy, or nil when there is none.
func (p *Policies) Filter() *filter.Policy {
	if p == nil || p.IncludeExclude == nil {
		return nil
	}
	ie := p.IncludeExclude
	return &filter.Policy{
		ClusterScoped:   filter.Lists{Includes: ie.IncludedClusterScopedResources, Excludes: ie.ExcludedClusterScopedResources},
		NamespaceScoped: filter.Lists{Includes: ie.IncludedNamespaceScopedResources, Excludes: ie.ExcludedNamespaceScopedResources},
	}
}

// Parse reads the data of a ConfigMap. problems say, for people, all that is
// wrong, each with its field; without any, policies are valid.
func Parse(data map[string]string) (policies *Policies, problems []string) {
	if len(data) != 1 {
		return nil, []string{fmt.Sprintf("data: must have exactly one key, and has %d: %q", len(data), slices.Sorted(maps.Keys(data)))}
	}
	for key, text := range data {
		if len(text) > MaxBytes {
			return nil, []string{fmt.Sprintf("data[%s]: Too long: must have at most %d bytes", key, MaxBytes)}
		}
		policies, problems = readPolicies(key, text)
	}
	if len(problems) == 0 {
		problems = policies.validate()
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return policies, nil
}
