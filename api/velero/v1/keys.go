package v1

// Labels and annotations of Velero on objects of this API group and on the pods
// and Jobs that work for them. Label values that are names go through
// ValidLabelValue; UIDs are used as they are.
const (
	// ComponentLabel is on every object that an install creates, with the value
	// ComponentLabelValue.
	ComponentLabel = "component"

	// ComponentLabelValue is the value of ComponentLabel.
	ComponentLabelValue = "velero"

	// BackupNameLabel is the name of the backup that a PodVolumeBackup or a
	// DeleteBackupRequest belongs to, or that a restored object comes from.
	BackupNameLabel = "velero.io/backup-name"

	// BackupUIDLabel is the UID of the backup that a PodVolumeBackup or a
	// DeleteBackupRequest belongs to.
	BackupUIDLabel = "velero.io/backup-uid"

	// RestoreNameLabel is the name of the restore that a PodVolumeRestore belongs
	// to, or that has created an object.
	RestoreNameLabel = "velero.io/restore-name"

	// RestoreUIDLabel is the UID of the restore that a PodVolumeRestore belongs
	// to.
	RestoreUIDLabel = "velero.io/restore-uid"

	// ScheduleNameLabel is the name of the schedule that has made a Backup.
	ScheduleNameLabel = "velero.io/schedule-name"

	// PodUIDLabel is, on a PodVolumeRestore, the UID of the restored pod.
	PodUIDLabel = "velero.io/pod-uid"

	// PVCUIDLabel is, on a PodVolumeBackup or PodVolumeRestore, the UID of the
	// claim behind the volume. Volumes without a claim have no such label.
	PVCUIDLabel = "velero.io/pvc-uid"

	// StorageLocationLabel is the name of the BackupStorageLocation of a Backup or
	// of a BackupRepository.
	StorageLocationLabel = "velero.io/storage-location"

	// VolumeNamespaceLabel is, on a BackupRepository, the namespace whose volumes
	// it holds.
	VolumeNamespaceLabel = "velero.io/volume-namespace"

	// RepositoryTypeLabel is, on a BackupRepository, its type.
	RepositoryTypeLabel = "velero.io/repository-type"

	// RepositoryNameLabel is, on a maintenance Job and its pod, the name of the
	// BackupRepository, or the SHA3-224 of that name in hex when it is longer than
	// 63 bytes (RepositoryNameLabelValue).
	RepositoryNameLabel = "velero.io/repo-name"

	// PodVolumeBackupLabel is, on a mover pod, the name of its PodVolumeBackup.
	PodVolumeBackupLabel = "velero.io/pod-volume-backup"

	// PodVolumeRestoreLabel is, on a mover pod, the name of its PodVolumeRestore.
	// On the ConfigMap that tunes the gate it has the value RestoreItemActionKind.
	PodVolumeRestoreLabel = "velero.io/pod-volume-restore"

	// ExposeOnGoingLabel is "true" on a PodVolumeBackup or PodVolumeRestore while
	// its mover pod is being prepared. Velero counts such objects in its queue.
	ExposeOnGoingLabel = "velero.io/expose-on-going"

	// GCFailureLabel is, on an expired Backup that cannot be removed, the reason:
	// one of the GCFailure values.
	GCFailureLabel = "velero.io/gc-failure"

	// PVCNameAnnotation is, on a PodVolumeBackup, the name of the claim behind the
	// volume. Volumes without a claim have no such annotation.
	PVCNameAnnotation = "velero.io/pvc-name"

	// PodVolumeTimeoutAnnotation is, on a Backup or Restore, the time its pod
	// volume backups or restores may take, as a Go duration. It overrides the
	// server's setting.
	PodVolumeTimeoutAnnotation = "velero.io/pod-volume-timeout"

	// SourceClusterK8sGitVersionAnnotation is, on a Backup, the version of the
	// cluster, such as "v1.36.3".
	SourceClusterK8sGitVersionAnnotation = "velero.io/source-cluster-k8s-gitversion"

	// SourceClusterK8sMajorVersionAnnotation is, on a Backup, the major version of
	// the cluster.
	SourceClusterK8sMajorVersionAnnotation = "velero.io/source-cluster-k8s-major-version"

	// SourceClusterK8sMinorVersionAnnotation is, on a Backup, the minor version of
	// the cluster.
	SourceClusterK8sMinorVersionAnnotation = "velero.io/source-cluster-k8s-minor-version"

	// ResourceTimeoutAnnotation is, on a Backup, the server's resource timeout, as
	// a Go duration.
	ResourceTimeoutAnnotation = "velero.io/resource-timeout"
)

// Values of GCFailureLabel.
const (
	// GCFailureLocationNotFound says that the BackupStorageLocation does not
	// exist.
	GCFailureLocationNotFound = "BSLNotFound"

	// GCFailureLocationCannotGet says that the BackupStorageLocation could not be
	// read from the API.
	GCFailureLocationCannotGet = "BSLCannotGet"

	// GCFailureLocationReadOnly says that the BackupStorageLocation must not be
	// written.
	GCFailureLocationReadOnly = "BSLReadOnly"

	// GCFailureLocationUnavailable says that the BackupStorageLocation failed its
	// last check. Velero knows the value but does not set it.
	GCFailureLocationUnavailable = "BSLUnavailable"
)

// Labels of ConfigMaps that tune what is done with items. Such a ConfigMap has
// PluginConfigLabel, with any value, and one of the others with the value
// RestoreItemActionKind.
const (
	// PluginConfigLabel marks such a ConfigMap. Its value does not matter.
	PluginConfigLabel = "velero.io/plugin-config"

	// ChangeStorageClassLabel is on the ConfigMap that maps storage classes of a
	// backup to those of the cluster.
	ChangeStorageClassLabel = "velero.io/change-storage-class"

	// ChangeImageNameLabel is on the ConfigMap that maps image names of a backup
	// to those of the cluster.
	ChangeImageNameLabel = "velero.io/change-image-name"

	// RestoreItemActionKind is the value of the label that selects a ConfigMap for
	// a restore.
	RestoreItemActionKind = "RestoreItemAction"
)

// Keys that users and other tools put on their own objects.
const (
	// VolumesToBackupAnnotation lists, on a pod, the volumes that file system
	// backup takes, comma separated.
	VolumesToBackupAnnotation = "backup.velero.io/backup-volumes"

	// VolumesToExcludeAnnotation lists, on a pod, the volumes that file system
	// backup leaves out, comma separated.
	VolumesToExcludeAnnotation = "backup.velero.io/backup-volumes-excludes"

	// ExcludeFromBackupLabel is "true" on an object or a namespace that no backup
	// contains.
	ExcludeFromBackupLabel = "velero.io/exclude-from-backup"

	// SkipFromBackupAnnotation is, on an item of a backup, a demand to leave it
	// out that nothing overrides.
	SkipFromBackupAnnotation = "velero.io/skip-from-backup"

	// MustIncludeAdditionalItemsAnnotation is, on an item of a backup, a demand to
	// include the items it needs although filters exclude them.
	MustIncludeAdditionalItemsAnnotation = "backup.velero.io/must-include-additional-items"

	// RestoreStatusAnnotation is "true" or "false" on an object in a backup and
	// overrides for it what spec.restoreStatus of a Restore says.
	RestoreStatusAnnotation = "velero.io/restore-status"

	// OriginalPVNameAnnotation is, on a restored persistent volume, the name it
	// had in the backup.
	OriginalPVNameAnnotation = "velero.io/original-pv-name"

	// VolumeGroupLabel is the default label by which claims are grouped into one
	// volume group snapshot.
	VolumeGroupLabel = "velero.io/volume-group"

	// SnapshotAnnotationPrefix, followed by the name of a volume, is on pods in
	// backups that are older than PodVolumeBackups. The value is a snapshot ID.
	SnapshotAnnotationPrefix = "snapshot.velero.io/"
)

// Finalizers.
const (
	// PodVolumeFinalizer is on a PodVolumeBackup or PodVolumeRestore that is not
	// finished, so that its mover can be stopped before the object goes.
	PodVolumeFinalizer = "velero.io/pod-volume-finalizer"

	// RestoreExternalResourcesFinalizer is on a Restore until its files in object
	// storage are removed.
	RestoreExternalResourcesFinalizer = "restores.velero.io/external-resources-finalizer"
)
