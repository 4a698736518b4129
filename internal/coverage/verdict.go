package coverage

import "time"

// Verdict sums up the state of a volume. Verdicts are API: they are printed, in JSON
// and labels of metrics, and are never renamed.
type Verdict string

const (
	// Protected is a volume whose last backup is as new as a schedule demands.
	Protected Verdict = "Protected"

	// Excluded is a volume that somebody has left out, or that nobody has asked for
	// and that has nothing to lose (By).
	Excluded Verdict = "Excluded"

	// Pending is a volume whose first backup is not due yet.
	Pending Verdict = "Pending"

	// Unprotected is any other volume. Only this verdict is a reason for an alert.
	Unprotected Verdict = "Unprotected"
)

// Verdicts are all of them, in the order in which they are counted and printed.
func Verdicts() []Verdict { return []Verdict{Protected, Pending, Excluded, Unprotected} }

// Method is how a protected volume is backed up.
type Method string

const (
	// FileSystemBackup is a backup of the files by a PodVolumeBackup.
	FileSystemBackup Method = "FileSystemBackup"

	// VolumeSnapshot is a snapshot that the storage has made.
	VolumeSnapshot Method = "VolumeSnapshot"
)

// Reason says why the verdict is what it is. Reasons are API like verdicts. Those of
// internal/selection keep their names here.
type Reason string

// Reasons of Protected are the method.
const (
	// ReasonFileSystemBackup is a recent file system backup.
	ReasonFileSystemBackup = Reason(FileSystemBackup)

	// ReasonVolumeSnapshot is a recent snapshot.
	ReasonVolumeSnapshot = Reason(VolumeSnapshot)
)

// Reasons of Pending.
const (
	// ReasonFirstBackupDue is a volume that is newer than what its schedules have
	// had to do so far.
	ReasonFirstBackupDue Reason = "FirstBackupDue"

	// ReasonClaimNotBound is a claim without a volume: there is no data yet.
	ReasonClaimNotBound Reason = "ClaimNotBound"

	// ReasonPodNotStarted is a volume that begins with its pod, which has not begun.
	ReasonPodNotStarted Reason = "PodNotStarted"
)

// Reasons of Excluded. Those that internal/selection knows too are ExcludedByPod,
// ExcludedByClaim, NamespacePolicy, VolumePolicySkip and VolumePolicyCustom.
const (
	// ReasonExcludedByLabel is a label velero.io/exclude-from-backup on the claim,
	// on all pods that mount it, or on the namespace.
	ReasonExcludedByLabel Reason = "ExcludedByLabel"

	// ReasonExcludedByFilter is a schedule that leaves out the namespace, the pods or
	// the claims by name, where no other schedule takes the volume.
	ReasonExcludedByFilter Reason = "ExcludedByFilter"

	// ReasonEphemeralVolume is a volume that ends with its pod and that nobody has
	// asked to back up.
	ReasonEphemeralVolume Reason = "EphemeralVolume"

	// ReasonNodeDirectory is a directory of the node in a pod that nobody has asked
	// to back up.
	ReasonNodeDirectory Reason = "NodeDirectory"

	// ReasonBeingDeleted is a claim that is being deleted, or whose namespace is.
	ReasonBeingDeleted Reason = "BeingDeleted"
)

// Reasons of Unprotected. Those that internal/selection knows too are
// HostPathUnsupported, BlockVolume and PodNotRunning.
const (
	// ReasonNoSchedule is a volume that no schedule covers.
	ReasonNoSchedule Reason = "NoSchedule"

	// ReasonSchedulePaused is a volume that only paused schedules take.
	ReasonSchedulePaused Reason = "SchedulePaused"

	// ReasonScheduleInvalid is a volume that only schedules take that make no valid
	// backups.
	ReasonScheduleInvalid Reason = "ScheduleInvalid"

	// ReasonNotSelected is a volume in the backups' namespaces that file system
	// backup leaves out because nobody has selected it.
	ReasonNotSelected Reason = "NotSelected"

	// ReasonClaimNotMounted is a claim that no pod mounts.
	ReasonClaimNotMounted Reason = "ClaimNotMounted"

	// ReasonClaimLost is a claim whose volume is gone.
	ReasonClaimLost Reason = "ClaimLost"

	// ReasonSnapshotMissing is a volume that a policy leaves to snapshots, of which
	// there is none that is recent.
	ReasonSnapshotMissing Reason = "SnapshotMissing"

	// ReasonNeverBackedUp is a volume that a schedule should have taken and has not.
	ReasonNeverBackedUp Reason = "NeverBackedUp"

	// ReasonStale is a volume whose last backup is older than its schedule demands.
	ReasonStale Reason = "Stale"

	// ReasonLastBackupFailed is a volume whose last backup failed.
	ReasonLastBackupFailed Reason = "LastBackupFailed"
)

// By says who has left out a volume.
type By string

const (
	// ByPod is the pod: an annotation or a label of it.
	ByPod By = "pod"

	// ByClaim is the claim: an annotation or a label of it.
	ByClaim By = "claim"

	// ByNamespace is a label of the namespace.
	ByNamespace By = "namespace"

	// ByVolumePolicy is the volume policy of a schedule.
	ByVolumePolicy By = "volumePolicy"

	// BySchedule is a filter of a schedule.
	BySchedule By = "schedule"

	// ByDefault is nobody: the data is of a kind that is not backed up unasked.
	ByDefault By = "default"
)

// Row is what is known of one volume.
type Row struct {
	Namespace string `json:"namespace"`

	// Claim is the name of the claim; "" for a volume of a pod that has none.
	Claim string `json:"claim,omitempty"`

	// Pod is a pod that uses the volume, one that runs if there is one; "" for a
	// claim that no pod mounts. Volume is its name in that pod.
	Pod    string `json:"pod,omitempty"`
	Volume string `json:"volume,omitempty"`

	// Type is the kind of volume as pods name it, such as emptyDir.
	Type         string `json:"type"`
	StorageClass string `json:"storageClass,omitempty"`
	Capacity     string `json:"capacity,omitempty"`

	Verdict Verdict `json:"verdict"`
	Reason  Reason  `json:"reason"`

	// Method is set for protected volumes, By for excluded ones.
	Method Method `json:"method,omitempty"`
	By     By     `json:"excludedBy,omitempty"`

	// Message says for people what the reason leaves out, and what to do.
	Message string `json:"message,omitempty"`

	// Schedules are those that take the volume, sorted.
	Schedules []string `json:"schedules,omitempty"`

	// NextRun is when the first of them is due; nil when none is.
	NextRun *time.Time `json:"nextRun,omitempty"`

	// LastSuccess and LastAttempt are nil when there was none. An attempt that
	// succeeded is both.
	LastSuccess *Success `json:"lastSuccess,omitempty"`
	LastAttempt *Attempt `json:"lastAttempt,omitempty"`

	// Labels are those of the claim, or of the pod.
	Labels map[string]string `json:"-"`
}

// Success is a backup of a volume that can be restored.
type Success struct {
	// Backup is the name of the backup, or of the VolumeSnapshot.
	Backup string `json:"backup"`

	// Schedule has made the backup; "" when somebody made it by hand.
	Schedule string `json:"schedule,omitempty"`

	// At is when the backup began: it has all that was written before.
	At time.Time `json:"at"`

	// Bytes is the size of the volume's files then; 0 when it is not known.
	Bytes int64 `json:"bytes,omitempty"`
}

// Attempt is the last try to back up a volume.
type Attempt struct {
	Backup   string    `json:"backup"`
	Schedule string    `json:"schedule,omitempty"`
	At       time.Time `json:"at"`
	Result   Result    `json:"result"`
	Message  string    `json:"message,omitempty"`
}

// Result is how an attempt has ended.
type Result string

// The results.
const (
	Completed  Result = "Completed"
	Failed     Result = "Failed"
	Canceled   Result = "Canceled"
	InProgress Result = "InProgress"
)
