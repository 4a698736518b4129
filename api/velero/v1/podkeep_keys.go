package v1

// Keys of podkeep on namespaces.
const (
	// FSBackupLabel is, on a namespace, the policy of file system backup: one of
	// FSBackupOptIn, FSBackupOptOut and FSBackupOff. Without it, or with any other
	// value, the server's default holds.
	FSBackupLabel = "podkeep.io/fs-backup"

	// FSBackupOptIn takes only volumes that their pod lists.
	FSBackupOptIn = "opt-in"

	// FSBackupOptOut takes all volumes but those that their pod excludes.
	FSBackupOptOut = "opt-out"

	// FSBackupOff takes no volume of the namespace, whatever pods and backups say.
	FSBackupOff = "off"

	// RestoringLabel is on a namespace while a restore is active in it. The value
	// is the name of the restore, through ValidLabelValue.
	RestoringLabel = "podkeep.io/restoring"
)

// Keys of podkeep on claims of applications.
const (
	// ClaimFSBackupAnnotation says, on a PersistentVolumeClaim, whether file system
	// backup takes its data: ClaimInclude or ClaimExclude. It beats the lists of pods
	// and all defaults, and is beaten by volume policies of backups and, where it
	// includes, by FSBackupOff. Any other value has no effect and is warned of.
	ClaimFSBackupAnnotation = "podkeep.io/fs-backup"

	// ClaimInclude takes the data of the claim.
	ClaimInclude = "include"

	// ClaimExclude leaves the data of the claim out.
	ClaimExclude = "exclude"
)

// Annotations of podkeep on application pods.
const (
	// SelectedVolumesAnnotation lists the volumes that file system backup takes,
	// comma separated and sorted. The webhook writes it.
	SelectedVolumesAnnotation = "podkeep.io/selected-volumes"

	// SkippedVolumesAnnotation lists the volumes that file system backup leaves
	// out, as volume=Reason, comma separated and sorted. The webhook writes it.
	SkippedVolumesAnnotation = "podkeep.io/skipped-volumes"

	// SelectionInputsAnnotation is a hash of what the selection was made from. A
	// selection whose hash no longer fits is computed again.
	SelectionInputsAnnotation = "podkeep.io/selection-inputs"

	// RestoreVolumesAnnotation lists the volumes that the restore of the pod will
	// fill, comma separated and sorted. The restore writes it, and the gate waits
	// for these volumes and no others.
	RestoreVolumesAnnotation = "podkeep.io/restore-volumes"

	// InstallationAnnotation is the install namespace of the podkeep that restores
	// the pod, or that has given it a gate. Of two installations in a cluster, only
	// that one gates it and talks to its gate.
	InstallationAnnotation = "podkeep.io/installation"
)

// Keys of podkeep on mover pods.
const (
	// SlotAnnotation lets the mover move data when its value is SlotGranted.
	SlotAnnotation = "podkeep.io/slot"

	// SlotGranted is the value of SlotAnnotation that lets the mover move data.
	SlotGranted = "granted"

	// SlotGrantedAtAnnotation is when SlotAnnotation was last written, in RFC 3339.
	// Writing it again makes the kubelet look again at a mover that has not noticed.
	SlotGrantedAtAnnotation = "podkeep.io/slot-granted-at"

	// MoverNodeLabel is the name of the mover's node, through ValidLabelValue.
	MoverNodeLabel = "podkeep.io/mover-node"
)

// Keys of podkeep on its own objects.
const (
	// MoversAnnotation lists, on a PodVolumeBackup or PodVolumeRestore, the UIDs of
	// the mover pods that were made for it, comma separated and oldest first. How
	// often a lost mover was replaced is read from it.
	MoversAnnotation = "podkeep.io/mover-uids"

	// CheckedWithAnnotation is, on a BackupRepository, a hash of the location and
	// the password that it was last found ready with. When they are others, the
	// repository is checked again.
	CheckedWithAnnotation = "podkeep.io/checked-with"

	// VolumeIdentityAnnotation says, on a PodVolumeBackup, what the volume is
	// beyond the life of a pod: its claim, or the owning workload and the volume's
	// name. Parent snapshots are found by it.
	VolumeIdentityAnnotation = "podkeep.io/volume-identity"

	// CancelRequestedByAnnotation asks, on a Backup or Restore, for its end. The value
	// says who asks, for status.failureReason.
	CancelRequestedByAnnotation = "podkeep.io/cancel-requested-by"

	// ScheduleUIDAnnotation is, on a Backup, the UID of the Schedule that made it.
	// Schedules of the same name in two clusters are told apart by it.
	ScheduleUIDAnnotation = "podkeep.io/schedule-uid"

	// ConfigLabel marks a ConfigMap that podkeep reads, so that it can be checked
	// when it is written. Its values are the Config… constants.
	ConfigLabel = "podkeep.io/config"
)

// Values of ConfigLabel: what a ConfigMap is for. ConfigMaps that can be told by
// other labels, by the name in a component's arguments or by their content need no
// label.
const (
	// ConfigNodeAgent has the settings of the node agents.
	ConfigNodeAgent = "node-agent"

	// ConfigBackupRepository has the configuration of new repositories.
	ConfigBackupRepository = "backup-repository"

	// ConfigMaintenanceJobs has the settings of maintenance Jobs.
	ConfigMaintenanceJobs = "repo-maintenance-job"

	// ConfigResourcePolicy has volume policies and an include/exclude policy.
	ConfigResourcePolicy = "resource-policy"

	// ConfigResourceModifier has changes that a restore makes to objects.
	ConfigResourceModifier = "resource-modifier"

	// ConfigUnchecked is not to be checked, whatever it looks like.
	ConfigUnchecked = "none"
)

// Keys of podkeep that the sync of backups writes.
const (
	// SyncedFromAnnotation says, on a BackupStorageLocation, which place its
	// Backups come from, as an opaque text. While the location leads to another
	// one, Backups that are missing there are not removed. People set it to
	// SyncedFromHere to say that this is meant.
	SyncedFromAnnotation = "podkeep.io/synced-from"

	// SyncedFromHere is the value of SyncedFromAnnotation that stands for the place
	// the location leads to now, whatever it led to before.
	SyncedFromHere = "here"

	// SyncingAnnotation is "true" on a Backup that came from object storage, until
	// all its PodVolumeBackups are in the cluster, too.
	SyncingAnnotation = "podkeep.io/syncing"
)

// Keys of podkeep on what it remembers of hooks while a backup or restore goes on
// (docs/hooks.md).
const (
	// HooksLabel is on a ConfigMap with the hooks of some pods. Its value is one of
	// HooksWaiting, HooksRunning and HooksEnded.
	HooksLabel = "podkeep.io/hooks"

	// HooksWaiting has hooks whose turn has not come.
	HooksWaiting = "waiting"

	// HooksRunning has hooks that may be run.
	HooksRunning = "running"

	// HooksEnded has no hook left to run.
	HooksEnded = "ended"

	// HookNodesAnnotation lists, on such a ConfigMap, the nodes of the pods' volumes,
	// comma separated and sorted.
	HookNodesAnnotation = "podkeep.io/hook-nodes"

	// HookOrderAnnotation says, on such a ConfigMap, how many of the same backup go
	// before it.
	HookOrderAnnotation = "podkeep.io/hook-order"

	// HookRecordAnnotation is, on a PodVolumeBackup, the name of the ConfigMap with
	// the hooks that are run around it.
	HookRecordAnnotation = "podkeep.io/hook-record"

	// HoldAnnotation keeps the node agent from moving the data of a PodVolumeBackup:
	// its value is HoldAll or HoldData. It is removed when the hooks before it have
	// been run.
	HoldAnnotation = "podkeep.io/hold"

	// HoldAll has no mover made yet.
	HoldAll = "all"

	// HoldData has a mover made, which waits.
	HoldData = "data"

	// HooksFinalizer keeps a ConfigMap with hooks until those have been run that
	// must be, also when its Backup is deleted in the middle.
	HooksFinalizer = "podkeep.io/post-hooks"
)

// Keys of podkeep on what a restore fills, and on the pods that wait for it
// (docs/restore.md).
const (
	// GatedByLabel is, on a pod, the UID of the restore that its gate waits for. The
	// webhook writes it with the gate, and it stays.
	GatedByLabel = "podkeep.io/gated-by"

	// RestoredVolumesAnnotation lists, on a pod with a gate, the volumes that it need
	// not wait for any more, comma separated and sorted: they were filled through
	// another pod, or there is nothing to fill. The server writes it, the gate reads
	// it.
	RestoredVolumesAnnotation = "podkeep.io/restored-volumes"

	// RestoreFailedAnnotation says, on a pod with a gate, why the gate can never open.
	// The server writes it, the gate ends with it.
	RestoreFailedAnnotation = "podkeep.io/restore-failed"

	// FilledByAnnotation is, on a claim that a restore has made, the UID of that
	// restore, when it fills the claim. As long as that restore goes on, pods that use
	// the claim get a gate.
	FilledByAnnotation = "podkeep.io/filled-by"

	// RestoreIncompleteLabel is on a claim that a restore has left without all of its
	// data; the value is the name of the restore, through ValidLabelValue. Pods that
	// use the claim are denied until a restore has filled it or somebody takes the
	// label off.
	RestoreIncompleteLabel = "podkeep.io/restore-incomplete"

	// PodOwnerAnnotation is, on a PodVolumeRestore, the controller that the pod had in
	// the backup, as Kind/name. A pod without one has no such annotation.
	PodOwnerAnnotation = "podkeep.io/pod-owner"

	// VolumeSourceAnnotation says, on a PodVolumeRestore, which volume of the backup
	// it restores, as pod/volume. Those that follow a volume into another pod have the
	// same.
	VolumeSourceAnnotation = "podkeep.io/volume-source"

	// UngatedPodsAnnotation lists, on a Restore, the pods that started without waiting
	// for its data, as namespace/name, comma separated and sorted. The watchdog writes
	// it.
	UngatedPodsAnnotation = "podkeep.io/ungated-pods"
)

// OwnPrefix is what all keys of podkeep begin with; the others are Velero's.
const OwnPrefix = "podkeep.io/"
