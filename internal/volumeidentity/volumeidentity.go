// Package volumeidentity says what a pod volume is beyond the life of its pod.
//
// A Deployment replaces its pods by pods of other names, but the volume of the
// new pod continues the volume of the old one, and so does its backup. The
// identity is the same for both; the mover finds the parent snapshot by it
// (wire.Backup.Identity).
//
// It is pure. The backup controller gathers the owner and puts the identity on
// the PodVolumeBackup (velerov1.VolumeIdentityAnnotation).
package volumeidentity

import (
	"path"

	corev1 "k8s.io/api/core/v1"
)

// Kinds that this package treats in a way of their own.
const (
	kindPod         = "Pod"
	kindStatefulSet = "StatefulSet"

	// claimPrefix begins the identity of a claim. It is lower case, so that it
	// is no kind.
	claimPrefix = "claim"
)

// OwnerRef is the workload that a pod belongs to: the controller of the pod, or
// the controller of that one when its name changes with every rollout or run (a
// ReplicaSet's Deployment, a Job's CronJob). The zero value is a pod without a
// workload.
type OwnerRef struct {
	Kind string
	Name string
}

// Of returns the identity of one volume of a pod, unique in the pod's namespace:
//
//   - "claim/<claim>" for a volume with a claim of its own;
//   - "<Kind>/<owner>/<volume>" for the volume of a workload's pod, also for a
//     generic ephemeral volume, whose claim goes with the pod;
//   - "Pod/<pod>/<volume>" for a pod that nobody replaces by one with another
//     name: a pod without a workload and a pod of a StatefulSet. The replicas of
//     a StatefulSet hold different data, and their names last.
//
// The volume need not exist in the pod.
func Of(pod *corev1.Pod, volume string, owner OwnerRef) string {
	if claim := claimOf(pod, volume); claim != "" {
		return path.Join(claimPrefix, claim)
	}
	if owner.Kind == "" || owner.Kind == kindStatefulSet {
		return path.Join(kindPod, pod.Name, volume)
	}
	return path.Join(owner.Kind, owner.Name, volume)
}

// claimOf returns the claim that a volume names, or "" when there is none.
func claimOf(pod *corev1.Pod, volume string) string {
	for _, v := range pod.Spec.Volumes {
		if v.Name == volume && v.PersistentVolumeClaim != nil {
			return v.PersistentVolumeClaim.ClaimName
		}
	}
	return ""
}
