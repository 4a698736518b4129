// Package selection decides which volumes of a pod are backed up by file system
// backup, and why the others are not.
//
// It is pure: no client, no clock, no logger. Callers gather the facts (Input)
// and act on the verdicts. Webhook, backup controller and CLI share it, so what
// the webhook stamps on a pod is what a backup does. It does not look at pods
// that run or do not run: that is known only when the backup comes to the pod.
//
// The rules and their order are those of the design (§5); they follow Velero's
// annotations (velero-facts §5.2) and repair its silent cases.
package selection

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Reason says why a volume is in or out. Reasons are API: they appear in
// annotations, results and metric labels, and are never renamed.
type Reason string

const (
	// ReasonManagedByKubernetes is a volume whose content Kubernetes makes anew:
	// secret, configMap, projected, downwardAPI, image, and default tokens.
	ReasonManagedByKubernetes Reason = "ManagedByKubernetes"

	// ReasonHostPathUnsupported is a directory of the node, directly or behind a
	// claim. The kubelet has no directory of its own for it.
	ReasonHostPathUnsupported Reason = "HostPathUnsupported"

	// ReasonBlockVolume is a raw device, without a file system to read.
	ReasonBlockVolume Reason = "BlockVolume"

	// ReasonNotMounted is a volume that no container mounts, init containers and
	// sidecars included. The kubelet makes no directory for it.
	ReasonNotMounted Reason = "NotMounted"

	// ReasonVolumePolicyFSBackup is a volume that the backup's volume policy
	// gives to file system backup.
	ReasonVolumePolicyFSBackup Reason = "VolumePolicyFSBackup"

	// ReasonVolumePolicySkip is a volume that the backup's volume policy skips.
	ReasonVolumePolicySkip Reason = "VolumePolicySkip"

	// ReasonVolumePolicySnapshot is a volume that the backup's volume policy
	// leaves to a snapshot.
	ReasonVolumePolicySnapshot Reason = "VolumePolicySnapshot"

	// ReasonVolumePolicyCustom is a volume that the backup's volume policy leaves
	// to somebody else.
	ReasonVolumePolicyCustom Reason = "VolumePolicyCustom"

	// ReasonExcludedByClaim is a volume whose claim is annotated to stay out.
	ReasonExcludedByClaim Reason = "ExcludedByClaim"

	// ReasonIncludedByClaim is a volume whose claim is annotated to be backed up.
	ReasonIncludedByClaim Reason = "IncludedByClaim"

	// ReasonExcludedByPod is a volume in the pod's list of excludes.
	ReasonExcludedByPod Reason = "ExcludedByPod"

	// ReasonIncludedByPod is a volume in the pod's list of volumes to back up.
	ReasonIncludedByPod Reason = "IncludedByPod"

	// ReasonBackupDefault is a volume that the backup's
	// spec.defaultVolumesToFsBackup decides on.
	ReasonBackupDefault Reason = "BackupDefault"

	// ReasonNamespacePolicy is a volume that the label of the namespace decides
	// on.
	ReasonNamespacePolicy Reason = "NamespacePolicy"

	// ReasonServerDefault is a volume that nobody but the server's default decides
	// on.
	ReasonServerDefault Reason = "ServerDefault"

	// ReasonPodNotRunning is a volume of a pod that does not run when the backup
	// comes to it. Decide never returns it; the backup does.
	ReasonPodNotRunning Reason = "PodNotRunning"
)

// Decision is the verdict on one volume.
type Decision struct {
	Volume   string // name in pod.spec.volumes
	Included bool
	Reason   Reason
}

// PolicyAction is what a backup's volume policy says about a volume. The values
// are those of Velero's resource policies.
type PolicyAction string

const (
	// PolicyNone is no opinion: no policy matches.
	PolicyNone PolicyAction = ""

	// PolicyFSBackup gives the volume to file system backup.
	PolicyFSBackup PolicyAction = "fs-backup"

	// PolicySkip takes no data of the volume at all.
	PolicySkip PolicyAction = "skip"

	// PolicySnapshot leaves the volume to a snapshot.
	PolicySnapshot PolicyAction = "snapshot"

	// PolicyCustom leaves the volume to somebody else.
	PolicyCustom PolicyAction = "custom"
)

// ClaimFacts is what the rules must know of a claim. The zero value is right for
// a claim that is not known or not bound.
type ClaimFacts struct {
	// HostPathPV says that the claim is bound to a hostPath volume.
	HostPathPV bool

	// Block says that the claim is a raw device (volumeMode Block).
	Block bool

	// Wish is the value of the claim's podkeep.io/fs-backup annotation, "" without
	// one. Values other than ClaimInclude and ClaimExclude have no effect on
	// decisions; UnknownWishes finds them.
	Wish string
}

// ClaimFactsOf returns the facts of a claim and of the volume that it is bound to,
// which is nil when it is not bound or not known.
func ClaimFactsOf(claim *corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) ClaimFacts {
	return ClaimFacts{
		HostPathPV: volume != nil && volume.Spec.HostPath != nil,
		Block:      claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock,
		Wish:       claim.Annotations[velerov1.ClaimFSBackupAnnotation],
	}
}

// Input is everything that Decide looks at. Nothing in it is changed.
type Input struct {
	// Pod is required.
	Pod *corev1.Pod

	// Claims are the facts of the pod's claims, by the name of the claim
	// (ClaimName). Claims that are missing are taken as not bound.
	Claims map[string]ClaimFacts

	// VolumePolicy returns the action of the backup's volume policy for a volume.
	// nil means that there is no policy.
	VolumePolicy func(corev1.Volume) PolicyAction

	// BackupDefault is the backup's spec.defaultVolumesToFsBackup. nil means that
	// it is not set, or that the decision is not for a certain backup.
	BackupDefault *bool

	// NamespacePolicy is the value of the namespace's podkeep.io/fs-backup label;
	// "" and unknown values leave the decision to ServerDefault.
	NamespacePolicy string

	// ServerDefault is the server's --default-volumes-to-fs-backup.
	ServerDefault bool
}

// rule judges one volume. ok is false when the rule has no opinion.
type rule func(f facts, v corev1.Volume) (verdict Decision, ok bool)

// rules are asked in order and the first opinion wins: first what is impossible,
// then what the backup's policy says, then the claim, then the pod, then the
// defaults from near to far. The order is contract; docs/selection.md numbers it
// the same way. The last rule always has an opinion.
var rules = []rule{
	managedByKubernetes, // 1
	hostPath,            // 2
	blockVolume,         // 3
	notMounted,          // 4
	volumePolicy,        // 5
	claimsWish,          // 6
	excludedByPod,       // 7
	includedByPod,       // 8
	backupDefault,       // 9
	namespacePolicy,     // 10
	serverDefault,       // 11
}

// Decide judges every volume of the pod, in the order of pod.spec.volumes. Each
// volume gets exactly one Decision.
func Decide(in Input) []Decision {
	f := factsOf(in)
	decisions := make([]Decision, 0, len(in.Pod.Spec.Volumes))
	for _, v := range in.Pod.Spec.Volumes {
		decisions = append(decisions, judge(f, v))
	}
	return decisions
}

func judge(f facts, v corev1.Volume) Decision {
	for _, r := range rules {
		if d, ok := r(f, v); ok {
			d.Volume = v.Name
			return d
		}
	}
	panic("selection: the last rule has no opinion") // programming error
}

// Included returns the names of the volumes to back up, in the order of the
// decisions.
func Included(decisions []Decision) []string {
	var names []string
	for _, d := range decisions {
		if d.Included {
			names = append(names, d.Volume)
		}
	}
	return names
}

func managedByKubernetes(_ facts, v corev1.Volume) (Decision, bool) {
	return Decision{Reason: ReasonManagedByKubernetes}, isManaged(v)
}

func hostPath(f facts, v corev1.Volume) (Decision, bool) {
	return Decision{Reason: ReasonHostPathUnsupported}, v.HostPath != nil || f.claim(v).HostPathPV
}

func blockVolume(f facts, v corev1.Volume) (Decision, bool) {
	onlyDevice := f.devices[v.Name] && !f.mounts[v.Name]
	return Decision{Reason: ReasonBlockVolume}, onlyDevice || f.claim(v).Block
}

func notMounted(f facts, v corev1.Volume) (Decision, bool) {
	return Decision{Reason: ReasonNotMounted}, !f.mounts[v.Name]
}

// volumePolicy cannot include in a namespace that is switched off: there, file
// system backup takes nothing.
func volumePolicy(f facts, v corev1.Volume) (Decision, bool) {
	if f.in.VolumePolicy == nil {
		return Decision{}, false
	}
	switch f.in.VolumePolicy(v) {
	case PolicyFSBackup:
		return Decision{Included: true, Reason: ReasonVolumePolicyFSBackup}, !f.off()
	case PolicySkip:
		return Decision{Reason: ReasonVolumePolicySkip}, true
	case PolicySnapshot:
		return Decision{Reason: ReasonVolumePolicySnapshot}, true
	case PolicyCustom:
		return Decision{Reason: ReasonVolumePolicyCustom}, true
	default:
		return Decision{}, false
	}
}

// claimsWish is what the owner of the data says. Like a list of a pod, it cannot
// include in a namespace that is switched off.
func claimsWish(f facts, v corev1.Volume) (Decision, bool) {
	switch f.wish(v) {
	case velerov1.ClaimExclude:
		return Decision{Reason: ReasonExcludedByClaim}, true
	case velerov1.ClaimInclude:
		return Decision{Included: true, Reason: ReasonIncludedByClaim}, !f.off()
	default:
		return Decision{}, false
	}
}

func excludedByPod(f facts, v corev1.Volume) (Decision, bool) {
	return Decision{Reason: ReasonExcludedByPod}, slices.Contains(f.excludes, v.Name)
}

func includedByPod(f facts, v corev1.Volume) (Decision, bool) {
	return Decision{Included: true, Reason: ReasonIncludedByPod}, !f.off() && slices.Contains(f.includes, v.Name)
}

func backupDefault(f facts, _ corev1.Volume) (Decision, bool) {
	if f.in.BackupDefault == nil || f.off() {
		return Decision{}, false
	}
	return Decision{Included: *f.in.BackupDefault, Reason: ReasonBackupDefault}, true
}

func namespacePolicy(f facts, _ corev1.Volume) (Decision, bool) {
	switch f.in.NamespacePolicy {
	case velerov1.FSBackupOptOut:
		return Decision{Included: true, Reason: ReasonNamespacePolicy}, true
	case velerov1.FSBackupOptIn, velerov1.FSBackupOff:
		return Decision{Reason: ReasonNamespacePolicy}, true
	default:
		return Decision{}, false
	}
}

func serverDefault(f facts, _ corev1.Volume) (Decision, bool) {
	return Decision{Included: f.in.ServerDefault, Reason: ReasonServerDefault}, true
}

// isManaged says whether Kubernetes fills the volume.
func isManaged(v corev1.Volume) bool {
	return v.Secret != nil || v.ConfigMap != nil || v.Projected != nil || v.DownwardAPI != nil || v.Image != nil ||
		strings.HasPrefix(v.Name, defaultTokenPrefix)
}

// defaultTokenPrefix begins the names of the service account token volumes that
// clusters before Kubernetes 1.21 added to pods.
const defaultTokenPrefix = "default-token"
