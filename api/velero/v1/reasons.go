package v1

// Types of status.conditions. Each is written by one component only.
const (
	// ConditionCompleted says whether the work is done. It is Unknown while the
	// work goes on, True when it succeeded and False when it did not.
	ConditionCompleted = "Completed"

	// ConditionItemsCollected says, on a Backup, whether the items are read.
	ConditionItemsCollected = "ItemsCollected"

	// ConditionItemsRestored says, on a Restore, whether the items are written.
	ConditionItemsRestored = "ItemsRestored"

	// ConditionVolumesMoved says, on a Backup or Restore, whether all its volumes
	// are finished.
	ConditionVolumesMoved = "VolumesMoved"

	// ConditionUploaded says, on a Backup or Restore, whether its files are in
	// object storage.
	ConditionUploaded = "Uploaded"

	// ConditionReady says, on a BackupRepository or BackupStorageLocation, whether
	// it can be used, on a Schedule, whether it makes backups, and on a
	// DownloadRequest, whether the file can be read.
	ConditionReady = "Ready"

	// ConditionMoverReady says, on a PodVolumeBackup or PodVolumeRestore, whether
	// its mover pod runs.
	ConditionMoverReady = "MoverReady"

	// ConditionSynced says, on a BackupStorageLocation, whether the backups in it
	// are the Backups in the cluster.
	ConditionSynced = "Synced"

	// ConditionGateConfigured is False on a Restore when values of the ConfigMap that
	// tunes the gate cannot be used, so that defaults are.
	ConditionGateConfigured = "GateConfigured"

	// ConditionSnapshotsDeleted says, on a DeleteBackupRequest, whether the snapshots
	// of the backup's volumes are removed.
	ConditionSnapshotsDeleted = "SnapshotsDeleted"

	// ConditionObjectsDeleted says, on a DeleteBackupRequest, whether the files of the
	// backup are removed from object storage.
	ConditionObjectsDeleted = "ObjectsDeleted"

	// ConditionMaintained says, on a BackupRepository, whether its last maintenance
	// succeeded.
	ConditionMaintained = "Maintained"
	// ConditionCancelRequested is True on a Restore that is being stopped on request,
	// since the server has seen it.
	ConditionCancelRequested = "CancelRequested"
)

// Reasons of conditions whose work goes on.
const (
	// ReasonWaitingForSlot waits until the node may move one more volume.
	ReasonWaitingForSlot = "WaitingForSlot"

	// ReasonQueued waits until other backups have ended.
	ReasonQueued = "Queued"

	// ReasonWaitingForPod waits until the pod is there and its gate runs.
	ReasonWaitingForPod = "WaitingForPod"

	// ReasonWaitingForRepository waits until the repository is ready.
	ReasonWaitingForRepository = "WaitingForRepository"

	// ReasonWaitingForVolumes waits until all volumes are finished.
	ReasonWaitingForVolumes = "WaitingForVolumes"

	// ReasonWaitingForHooks waits until commands in pods have been run.
	ReasonWaitingForHooks = "WaitingForHooks"

	// ReasonPreparing waits for the mover pod to run.
	ReasonPreparing = "Preparing"

	// ReasonMoving moves the data of a volume.
	ReasonMoving = "Moving"

	// ReasonCanceling waits for the mover to stop.
	ReasonCanceling = "Canceling"

	// ReasonCollecting reads the items of a backup.
	ReasonCollecting = "Collecting"

	// ReasonRestoringItems writes the items of a restore.
	ReasonRestoringItems = "RestoringItems"

	// ReasonUploading writes files to object storage.
	ReasonUploading = "Uploading"
)

// Reasons of conditions whose work is done.
const (
	// ReasonSucceeded had no errors.
	ReasonSucceeded = "Succeeded"

	// ReasonPartiallyFailed had errors, and what it made can be used.
	ReasonPartiallyFailed = "PartiallyFailed"

	// ReasonFailed had errors, and what it made cannot be used.
	ReasonFailed = "Failed"

	// ReasonCanceled was stopped on request.
	ReasonCanceled = "Canceled"

	// ReasonSnapshotTaken has a snapshot of the volume.
	ReasonSnapshotTaken = "SnapshotTaken"

	// ReasonDataRestored has written the volume and its marker.
	ReasonDataRestored = "DataRestored"
)

// Reasons why one volume failed.
const (
	// ReasonMoverFailed is a mover that ended in an error.
	ReasonMoverFailed = "MoverFailed"

	// ReasonMoverLost is a mover pod that went away without a result.
	ReasonMoverLost = "MoverLost"

	// ReasonPrepareTimeout is a mover pod that did not run in time.
	ReasonPrepareTimeout = "PrepareTimeout"

	// ReasonVolumeNotFound is a volume that the pod or the node does not have.
	ReasonVolumeNotFound = "VolumeNotFound"

	// ReasonPodGone is a pod that does not exist any more.
	ReasonPodGone = "PodGone"

	// ReasonHookFailed is a volume of a pod whose hook failed that asked not to go on
	// then.
	ReasonHookFailed = "HookFailed"

	// ReasonTargetFull is a volume without space for what is restored into it.
	ReasonTargetFull = "TargetFull"
)

// Reasons why a repository or a location cannot be used.
const (
	// ReasonRepositoryNotReady is a repository that could not be prepared.
	ReasonRepositoryNotReady = "RepositoryNotReady"

	// ReasonRepositoryPasswordWrong is a repository with another password than the
	// one in the Secret.
	ReasonRepositoryPasswordWrong = "RepositoryPasswordWrong"

	// ReasonRepositoryCorrupt is a repository with missing or damaged data.
	ReasonRepositoryCorrupt = "RepositoryCorrupt"

	// ReasonLocationUnavailable is a location that failed its last check.
	ReasonLocationUnavailable = "LocationUnavailable"

	// ReasonLocationReadOnly is a location that must not be written.
	ReasonLocationReadOnly = "LocationReadOnly"

	// ReasonLocationNotFound is a location that does not exist in the cluster.
	ReasonLocationNotFound = "LocationNotFound"

	// ReasonStorageUnavailable is object storage that does not answer.
	ReasonStorageUnavailable = "StorageUnavailable"

	// ReasonAccessDenied is object storage that refuses the credentials.
	ReasonAccessDenied = "AccessDenied"

	// ReasonBucketNotFound is object storage without that bucket.
	ReasonBucketNotFound = "BucketNotFound"

	// ReasonObjectNotFound is object storage without that file.
	ReasonObjectNotFound = "ObjectNotFound"
)

// Reasons of what the sync of backups finds.
const (
	// ReasonBackupsSkipped is a location with backups that cannot be Backups in
	// the cluster; the message names them and why.
	ReasonBackupsSkipped = "BackupsSkipped"

	// ReasonRemovalHeld is a location without backups that are in the cluster,
	// which are kept because it does not look like the place they came from.
	ReasonRemovalHeld = "RemovalHeld"

	// ReasonBackupsSynced is in events that name Backups made from a location.
	ReasonBackupsSynced = "BackupsSynced"

	// ReasonBackupsRemoved is in events that name Backups that went because they
	// are gone from their location.
	ReasonBackupsRemoved = "BackupsRemoved"

	// ReasonInterimFilesRemoved is in events that name backups whose files are removed
	// from a location, because they were deleted before they were complete.
	ReasonInterimFilesRemoved = "InterimFilesRemoved"
)

// Reasons why a backup or a restore failed as a whole.
const (
	// ReasonInvalidSpec is a spec with errors; status.validationErrors lists them.
	ReasonInvalidSpec = "InvalidSpec"

	// ReasonBackupNotFound is a backup that does not exist.
	ReasonBackupNotFound = "BackupNotFound"

	// ReasonRestoreNotFound is a restore that does not exist.
	ReasonRestoreNotFound = "RestoreNotFound"

	// ReasonBackupExists is a backup whose name is taken in object storage.
	ReasonBackupExists = "BackupExists"

	// ReasonWebhookUnavailable is a webhook that a restore needs and that does not
	// answer.
	ReasonWebhookUnavailable = "WebhookUnavailable"

	// ReasonTimeout is work that was not done in the time it was given.
	ReasonTimeout = "Timeout"

	// ReasonGateMissing is a pod that runs without waiting for its volumes.
	ReasonGateMissing = "GateMissing"

	// ReasonNamespaceTerminating waits until a namespace of the same name is gone.
	ReasonNamespaceTerminating = "NamespaceTerminating"

	// ReasonRetrying had an error that is expected to go away.
	ReasonRetrying = "Retrying"

	// ReasonNamespaceCollision would restore two namespaces into one.
	ReasonNamespaceCollision = "NamespaceCollision"

	// ReasonKindNotServed waits until the API server serves a kind whose definition
	// was restored.
	ReasonKindNotServed = "KindNotServed"

	// ReasonArchiveUnreadable is an archive that is missing or damaged.
	ReasonArchiveUnreadable = "ArchiveUnreadable"
)

// Reasons of schedules, deletions and maintenance.
const (
	// ReasonPaused makes nothing because of spec.paused.
	ReasonPaused = "Paused"

	// ReasonWaitingForBackup waits until a backup has ended.
	ReasonWaitingForBackup = "WaitingForBackup"

	// ReasonWaitingForRestores waits until restores of a backup are gone.
	ReasonWaitingForRestores = "WaitingForRestores"

	// ReasonDeleting removes a backup.
	ReasonDeleting = "Deleting"

	// ReasonMaintaining maintains a repository.
	ReasonMaintaining = "Maintaining"

	// ReasonMaintenanceFailed is a maintenance that ended in an error.
	ReasonMaintenanceFailed = "MaintenanceFailed"
)
