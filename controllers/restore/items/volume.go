package items

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// NoProvisioner is the provisioner of storage classes that provision nothing.
const NoProvisioner = "kubernetes.io/no-provisioner"

// Data is where the data of a volume is.
type Data string

const (
	// DataNone is a volume whose data the backup does not have.
	DataNone Data = ""

	// DataFileSystem is a volume with a file system backup.
	DataFileSystem Data = "PodVolumeBackup"

	// DataSnapshot is a volume with a snapshot, which podkeep does not restore.
	DataSnapshot Data = "Snapshot"

	// DataLeftOut is a volume with a snapshot that the restore is told to leave
	// alone.
	DataLeftOut Data = "LeftOut"
)

// VolumeFacts is what the decision about one persistent volume is made from.
type VolumeFacts struct {
	// Archived is the volume as it is in the backup.
	Archived *corev1.PersistentVolume

	// Data is where its data is.
	Data Data

	// Claim is the claim that the volume is for, with its target namespace.
	Claim types.NamespacedName

	// ClaimUID is the UID of that claim in the cluster, "" when there is none.
	ClaimUID types.UID

	// Existing is the volume of that name in the cluster, or nil.
	Existing *corev1.PersistentVolume

	// Class is the storage class that the claim gets, and Provisioner its
	// provisioner, "" when the class is not in the cluster.
	Class, Provisioner string

	// ClassChanged: the class is another one than in the backup.
	ClassChanged bool

	// Untouchable: the restore neither creates nor changes persistent volumes.
	Untouchable bool
}

// VolumeAction is what is done with one persistent volume.
type VolumeAction string

const (
	// VolumeProvision leaves the volume out; its claim gets a new one.
	VolumeProvision VolumeAction = "Provision"

	// VolumeRestore creates the volume, reserved for its claim.
	VolumeRestore VolumeAction = "Restore"

	// VolumeReuse leaves the volume of that name as it is; the claim binds to it.
	VolumeReuse VolumeAction = "Reuse"

	// VolumeRelease frees the volume of that name from a claim that is gone, so
	// that the restored claim of the same name binds to it.
	VolumeRelease VolumeAction = "Release"
)

// VolumeDecision is the verdict about one persistent volume.
type VolumeDecision struct {
	Action VolumeAction

	// Warning says what a user should know about it, or "".
	Warning string

	// Loss says what cannot be restored, or "".
	Loss string
}

// KeepsVolume reports whether the claim stays bound to the volume.
func (d VolumeDecision) KeepsVolume() bool { return d.Action != VolumeProvision }

// DecideVolume decides about one persistent volume. Each case is one row of the
// table "Persistent volumes" in docs/restore.md.
func DecideVolume(f VolumeFacts) VolumeDecision {
	switch {
	case f.Data == DataSnapshot:
		return VolumeDecision{Action: VolumeProvision, Loss: fmt.Sprintf(
			"its data is in a volume snapshot, which cannot be restored; claim %s gets an empty volume", f.Claim)}
	case !f.staysItself() && f.Data == DataNone:
		return VolumeDecision{Action: VolumeProvision, Warning: joined(
			fmt.Sprintf("the backup has no data of it; claim %s gets an empty volume", f.Claim), f.unprovisionable())}
	case !f.staysItself() && f.Data == DataLeftOut:
		return VolumeDecision{Action: VolumeProvision, Warning: joined(
			fmt.Sprintf("its data is in a volume snapshot, which spec.restorePVs leaves out; claim %s gets an empty volume", f.Claim), f.unprovisionable())}
	case !f.staysItself():
		return VolumeDecision{Action: VolumeProvision, Warning: f.unprovisionable()}
	case f.Existing == nil && f.Untouchable:
		return VolumeDecision{Action: VolumeProvision, Warning: joined(
			fmt.Sprintf("the restore leaves persistent volumes out; claim %s gets another one", f.Claim), f.unprovisionable())}
	case f.Existing == nil:
		return VolumeDecision{Action: VolumeRestore}
	case f.Existing.DeletionTimestamp != nil:
		return f.instead("is being deleted")
	case f.Existing.Spec.ClaimRef == nil:
		return VolumeDecision{Action: VolumeReuse, Warning: "it is in the cluster and unused; its files stay unless the restore overwrites them"}
	case !f.isForOurClaim():
		return f.instead(fmt.Sprintf("belongs to claim %s/%s", f.Existing.Spec.ClaimRef.Namespace, f.Existing.Spec.ClaimRef.Name))
	case f.isBoundOrReserved():
		return VolumeDecision{Action: VolumeReuse}
	case f.Untouchable:
		return f.instead("is still reserved for the deleted claim, and the restore leaves persistent volumes out")
	default:
		return VolumeDecision{Action: VolumeRelease, Warning: fmt.Sprintf(
			"it was released by the deleted claim %s and is bound to the restored one; its files stay unless the restore overwrites them", f.Claim)}
	}
}

// staysItself reports whether a new volume could not take this one's place: it
// was made by hand and is to be retained, or nobody provisions its class, or the
// data is only in the volume itself. Who changes the class wants another one.
func (f VolumeFacts) staysItself() bool {
	retained := f.Archived.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain
	_, dynamic := f.Archived.Annotations[provisionedByAnnotation]
	switch {
	case f.Data == DataNone || f.Data == DataLeftOut:
		return retained
	case f.ClassChanged && f.provisions():
		return false
	default:
		return !dynamic && (retained || !f.provisions())
	}
}

func (f VolumeFacts) provisions() bool {
	return f.Provisioner != "" && f.Provisioner != NoProvisioner
}

func (f VolumeFacts) isForOurClaim() bool {
	ref := f.Existing.Spec.ClaimRef
	return ref.Namespace == f.Claim.Namespace && ref.Name == f.Claim.Name
}

// isBoundOrReserved reports whether the volume waits for, or has, the claim that
// is in the cluster or will be.
func (f VolumeFacts) isBoundOrReserved() bool {
	uid := f.Existing.Spec.ClaimRef.UID
	return uid == "" || uid == f.ClaimUID
}

// instead provisions because the volume of that name cannot be had.
func (f VolumeFacts) instead(why string) VolumeDecision {
	return VolumeDecision{Action: VolumeProvision, Warning: joined(
		fmt.Sprintf("the volume of that name in the cluster %s; claim %s gets another one", why, f.Claim), f.unprovisionable())}
}

// unprovisionable says what keeps the claim from getting a new volume, or "".
func (f VolumeFacts) unprovisionable() string {
	class := f.Class
	switch {
	case f.provisions():
		return ""
	case f.Provisioner == NoProvisioner:
		return fmt.Sprintf("nothing provisions volumes of storage class %q: create one for the claim", class)
	case class == "":
		return "it has no storage class: create a volume for the claim"
	default:
		return fmt.Sprintf("storage class %q is not in this cluster: create it or a volume for the claim", class)
	}
}

func joined(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}
