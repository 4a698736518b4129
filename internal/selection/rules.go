package selection

import (
	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Rule is a rule as people see it: in docs/selection.md, in logs and in podkeep
// explain.
type Rule struct {
	// Number is the place of the rule in the order; 0 for a reason that is not one
	// of a rule, such as PodNotRunning.
	Number int

	// Means says in a few words what the rule looks at.
	Means string
}

// explained are the rules by the reasons that they give.
var explained = map[Reason]Rule{
	ReasonManagedByKubernetes: {1, "Kubernetes fills the volume anew in every pod"},
	ReasonHostPathUnsupported: {2, "a directory of the node"},
	ReasonBlockVolume:         {3, "a raw device, without a file system"},
	ReasonNotMounted:          {4, "no container mounts the volume"},

	ReasonVolumePolicyFSBackup: {5, "the backup's volume policy says fs-backup"},
	ReasonVolumePolicySkip:     {5, "the backup's volume policy says skip"},
	ReasonVolumePolicySnapshot: {5, "the backup's volume policy leaves it to a snapshot"},
	ReasonVolumePolicyCustom:   {5, "the backup's volume policy leaves it to somebody else"},

	ReasonExcludedByClaim: {6, "the claim's annotation " + velerov1.ClaimFSBackupAnnotation + " is " + velerov1.ClaimExclude},
	ReasonIncludedByClaim: {6, "the claim's annotation " + velerov1.ClaimFSBackupAnnotation + " is " + velerov1.ClaimInclude},
	ReasonExcludedByPod:   {7, "the pod's annotation " + velerov1.VolumesToExcludeAnnotation + " lists it"},
	ReasonIncludedByPod:   {8, "the pod's annotation " + velerov1.VolumesToBackupAnnotation + " lists it"},
	ReasonBackupDefault:   {9, "defaultVolumesToFsBackup of the backup"},
	ReasonNamespacePolicy: {10, "the namespace's label " + velerov1.FSBackupLabel},
	ReasonServerDefault:   {11, "the server's --default-volumes-to-fs-backup"},

	ReasonPodNotRunning: {0, "the pod does not run"},
}

// Rule returns the rule that gives the reason, the zero Rule for a reason of
// somebody else.
func (r Reason) Rule() Rule { return explained[r] }

// remedies say why volumes can never be backed up and what helps.
var remedies = map[Reason]string{
	ReasonManagedByKubernetes: "Kubernetes fills it anew in every pod; back up the Secret or ConfigMap itself",
	ReasonHostPathUnsupported: "it is a directory of the node; use a PersistentVolumeClaim on a local or network volume, or list it in " +
		velerov1.VolumesToExcludeAnnotation,
	ReasonBlockVolume: "it is a raw device without a file system; use volume snapshots, or list it in " + velerov1.VolumesToExcludeAnnotation,
	ReasonNotMounted:  "no container mounts it; mount it or remove it from " + velerov1.VolumesToBackupAnnotation,
}

// Remedy says why a volume with this reason can never be backed up, and what
// helps. It is "" for reasons that people can change by a setting.
func (r Reason) Remedy() string { return remedies[r] }
