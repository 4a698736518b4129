package resourcepolicy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Volume is what conditions look at.
type Volume struct {
	// Capacity is zero for a volume of a pod without a persistent volume.
	Capacity resource.Quantity

	StorageClass string
	Type         string // one of the volume types; "" when it is not known
	Ephemeral    bool   // a generic ephemeral volume: of that type, too
	NFS          *NFS
	CSI          *CSI

	ClaimLabels map[string]string
	ClaimPhase  string
}

// OfClaim returns the facts of a claim alone. SetPersistentVolume adds those of the
// volume that it is bound to.
func OfClaim(claim *unstructured.Unstructured) Volume {
	v := Volume{ClaimLabels: claim.GetLabels()}
	v.ClaimPhase, _, _ = unstructured.NestedString(claim.Object, "status", "phase")
	return v
}

// SetPersistentVolume sets what a persistent volume says.
func (v *Volume) SetPersistentVolume(volume *unstructured.Unstructured) {
	spec, _, _ := unstructured.NestedMap(volume.Object, "spec")
	v.setSource(spec)
	v.StorageClass, _, _ = unstructured.NestedString(spec, "storageClassName")
	text, _, _ := unstructured.NestedString(spec, "capacity", "storage")
	if q, err := resource.ParseQuantity(text); err == nil {
		v.Capacity = q
	}
}

// OfBoundClaim returns the facts of a claim and of the volume that it is bound to,
// which is nil when there is none or it is not known.
func OfBoundClaim(claim *corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) Volume {
	v := OfClaim(untyped(claim))
	if volume != nil {
		v.SetPersistentVolume(untyped(volume))
	}
	return v
}

// OfPodVolume returns the facts of a volume of a pod. claim are those of its claim;
// nil when it has none, or none that exists. A generic ephemeral volume is what its
// claim is, and of the type ephemeral.
func OfPodVolume(source corev1.Volume, claim *Volume) Volume {
	var v Volume
	if claim != nil {
		v = *claim
	} else {
		v.setSource(untyped(&source).Object)
	}
	v.Ephemeral = source.Ephemeral != nil
	return v
}

// untyped returns a typed object as the fields that are set.
func untyped(object any) *unstructured.Unstructured {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		panic("resourcepolicy: converting an object of the API: " + err.Error()) // programming error
	}
	return &unstructured.Unstructured{Object: fields}
}

// setSource reads the fields that are the same in a volume of a pod and in a
// persistent volume.
func (v *Volume) setSource(spec map[string]any) {
	for _, t := range volumeTypes {
		if _, ok := spec[t]; ok {
			v.Type = t
		}
	}
	if nfs, ok, _ := unstructured.NestedMap(spec, "nfs"); ok {
		v.NFS = &NFS{Server: text(nfs, "server"), Path: text(nfs, "path")}
	}
	if csi, ok, _ := unstructured.NestedMap(spec, "csi"); ok {
		v.CSI = &CSI{Driver: text(csi, "driver")}
		v.CSI.VolumeAttributes, _, _ = unstructured.NestedStringMap(csi, "volumeAttributes")
	}
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

// Match returns the action of the first policy whose conditions the volume meets.
// ok is false when there is none. p may be nil.
func (p *Policies) Match(v Volume) (action Action, ok bool) {
	i, ok := p.Find(v)
	if !ok {
		return Action{}, false
	}
	return p.VolumePolicies[i].Action, true
}

// Find returns the index in VolumePolicies of the policy that Match takes.
func (p *Policies) Find(v Volume) (index int, ok bool) {
	if p == nil {
		return 0, false
	}
	index = slices.IndexFunc(p.VolumePolicies, func(policy VolumePolicy) bool { return policy.Conditions.met(v) })
	return index, index >= 0
}

func (c Conditions) met(v Volume) bool {
	bounds, err := parseCapacity(c.Capacity)
	switch {
	case err != nil, // refused by Parse
		!bounds.contains(v.Capacity),
		len(c.StorageClass) > 0 && (v.StorageClass == "" || !slices.Contains(c.StorageClass, v.StorageClass)),
		len(c.VolumeTypes) > 0 && !v.isOneOf(c.VolumeTypes),
		len(c.PVCPhase) > 0 && !slices.Contains(c.PVCPhase, v.ClaimPhase),
		!isSubset(c.PVCLabels, v.ClaimLabels),
		c.NFS != nil && !c.NFS.fits(v.NFS),
		c.CSI != nil && !c.CSI.fits(v.CSI):
		return false
	default:
		return true
	}
}

func (v Volume) isOneOf(types []string) bool {
	return slices.Contains(types, v.Type) || v.Ephemeral && slices.Contains(types, typeEphemeral)
}

func (n *NFS) fits(v *NFS) bool {
	return v != nil && (n.Server == "" || n.Server == v.Server) && (n.Path == "" || n.Path == v.Path)
}

func (c *CSI) fits(v *CSI) bool {
	return v != nil && (c.Driver == "" || c.Driver == v.Driver) && isSubset(c.VolumeAttributes, v.VolumeAttributes)
}

func isSubset(wanted, have map[string]string) bool {
	for key, value := range wanted {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}
