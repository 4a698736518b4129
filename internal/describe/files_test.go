package describe

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

func results() layout.Results {
	return layout.Results{
		Errors: layout.ResultSet{
			Velero:     []string{" message: /repository password is wrong"},
			Namespaces: map[string][]string{"shop": {" resource: /pods name: /db-0 error: /no data", "second\nline"}, "db": {"x"}},
		},
		Warnings: layout.ResultSet{Cluster: []string{"a", "b"}},
	}
}

func resources() layout.ResourceList {
	return layout.ResourceList{"v1/Pod": {"shop/db-0", "shop/web-0"}, "apps/v1/Deployment": {"shop/web"}, "v1/Namespace": {"shop"}}
}

func backupFiles() BackupFiles {
	return BackupFiles{
		Results:   File[layout.Results]{Content: results()},
		Resources: File[layout.ResourceList]{Content: resources()},
		Volumes: File[layout.VolumeInfoList]{Content: layout.VolumeInfoList{
			{BackupMethod: layout.BackupMethodPodVolumeBackup, PodVolumeInfo: &layout.PodVolumeInfo{VolumeName: "data"}},
			{Skipped: true, SkippedReason: "fs-backup: no;"},
		}},
	}
}

func noBackupFiles(err error) BackupFiles {
	return BackupFiles{
		Results:    File[layout.Results]{Err: err},
		Resources:  File[layout.ResourceList]{Err: err},
		Volumes:    File[layout.VolumeInfoList]{Err: err},
		Operations: File[layout.BackupItemOperationList]{Err: err},
	}
}

func withOperations(b *velerov1.Backup) {
	b.Status.BackupItemOperationsAttempted, b.Status.BackupItemOperationsCompleted, b.Status.BackupItemOperationsFailed = 2, 1, 1
}

func dataMovement() *layout.SnapshotDataMovementInfo {
	return &layout.SnapshotDataMovementInfo{UploaderType: "kopia", OperationID: "du-1", SizeBytes: 1024, IncrementalBytes: 10}
}

func csiSnapshot() *layout.CSISnapshotInfo {
	return &layout.CSISnapshotInfo{SnapshotHandle: "snap-1", SizeBytes: 1 << 30, Driver: "ebs.csi.aws.com", VSCName: "vsc-1", OperationID: "op-1"}
}

func veleroFiles() BackupFiles {
	return BackupFiles{
		Resources: File[layout.ResourceList]{Err: ErrNoFile},
		Volumes: File[layout.VolumeInfoList]{Content: layout.VolumeInfoList{
			{
				PVName: "pv-1", BackupMethod: layout.BackupMethodNativeSnapshot, Result: layout.VolumeResultSucceeded,
				NativeSnapshotInfo: &layout.NativeSnapshotInfo{SnapshotHandle: "vol-1", VolumeType: "gp3", VolumeAZ: "eu-west-1a", IOPS: "100"},
			},
			{
				PVCName: "data", PVCNamespace: "shop", BackupMethod: layout.BackupMethodCSISnapshot, Result: layout.VolumeResultSucceeded,
				PreserveLocalSnapshot: true, CSISnapshotInfo: csiSnapshot(),
			},
			{
				PVCName: "logs", PVCNamespace: "shop", BackupMethod: layout.BackupMethodCSISnapshot, Result: layout.VolumeResultFailed,
				SnapshotDataMoved: true, SnapshotDataMovementInfo: dataMovement(),
			},
		}},
		Operations: File[layout.BackupItemOperationList]{Content: layout.BackupItemOperationList{{
			Spec: layout.BackupItemOperationSpec{
				BackupItemAction: "velero.io/csi-pvc-backupper", OperationID: "du-1",
				ResourceIdentifier: layout.ResourceIdentifier{Resource: "persistentvolumeclaims", Namespace: "shop", Name: "logs"},
				PostOperationItems: []layout.ResourceIdentifier{{Group: "velero.io", Resource: "datauploads", Namespace: "velero", Name: "x"}},
			},
			Status: layout.ItemOperationStatus{
				Phase: "Failed", Error: "no space", Completed: 1, Total: 2, OperationUnits: "Bytes", Description: "moving", Created: at(1), Updated: at(2),
			},
		}}},
	}
}

func oldSnapshots() []layout.NativeSnapshot {
	return []layout.NativeSnapshot{{
		Spec:   layout.NativeSnapshotSpec{PersistentVolumeName: "pv-1", VolumeType: "gp2", VolumeAZ: "eu-west-1a", VolumeIOPS: ptr.To(int64(100))},
		Status: layout.NativeSnapshotStatus{ProviderSnapshotID: "snap-1", Phase: "Completed"},
	}}
}

func deletion(seconds int, problems ...string) velerov1.DeleteBackupRequest {
	return velerov1.DeleteBackupRequest{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: *at(seconds)},
		Status:     velerov1.DeleteBackupRequestStatus{Phase: velerov1.DeleteBackupRequestPhaseProcessed, Errors: problems},
	}
}

func partialRestore(r *velerov1.Restore) {
	r.Status.Phase, r.Status.Errors = velerov1.RestorePhasePartiallyFailed, 4
}

func everyRestoreField(r *velerov1.Restore) {
	r.Spec.IncludedNamespaces, r.Spec.ExcludedNamespaces = []string{"shop", "db"}, []string{"test"}
	r.Spec.IncludedResources, r.Spec.ExcludedResources = []string{"pods"}, []string{"secrets"}
	r.Spec.OrLabelSelectors = []*metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}, {MatchLabels: map[string]string{"c": "d"}}}
	r.Spec.ExistingResourcePolicy, r.Spec.RestorePVs, r.Spec.PreserveNodePorts = velerov1.PolicyTypeUpdate, ptr.To(true), ptr.To(false)
	r.Spec.ResourceModifier = &corev1.TypedLocalObjectReference{Kind: "configmap", Name: "changes"}
	r.Spec.ItemOperationTimeout = metav1.Duration{Duration: 4 * time.Hour}
	r.Spec.ScheduleName = "nightly"
	r.Status.RestoreItemOperationsAttempted, r.Status.RestoreItemOperationsCompleted = 1, 1
	r.Status.HookStatus = &velerov1.HookStatus{HooksAttempted: 2}
	r.DeletionTimestamp = at(100)
}

func restoreFiles() RestoreFiles {
	return RestoreFiles{
		Results:   File[layout.Results]{Content: results()},
		Resources: File[layout.ResourceList]{Content: layout.ResourceList{"v1/Pod": {layout.RestoredItem("shop", "db-0", layout.RestoreActionCreated)}}},
	}
}

func veleroRestoreFiles() RestoreFiles {
	return RestoreFiles{
		Results:   File[layout.Results]{Err: ErrNoFile},
		Resources: File[layout.ResourceList]{Err: ErrNoFile},
		Volumes: File[layout.RestoreVolumeInfoList]{Content: layout.RestoreVolumeInfoList{
			{PVCName: "logs", PVCNamespace: "shop", RestoreMethod: layout.RestoreMethodCSISnapshot, SnapshotDataMoved: true, SnapshotDataMovementInfo: dataMovement()},
			{PVCName: "data", PVCNamespace: "shop", RestoreMethod: layout.RestoreMethodCSISnapshot, CSISnapshotInfo: csiSnapshot()},
			{PVCName: "fsb", PVCNamespace: "shop", RestoreMethod: layout.RestoreMethodPodVolumeRestore},
		}},
		Operations: File[layout.RestoreItemOperationList]{Content: layout.RestoreItemOperationList{{
			Spec: layout.RestoreItemOperationSpec{
				RestoreItemAction: "velero.io/csi-pvc-restorer", OperationID: "dd-1",
				ResourceIdentifier: layout.ResourceIdentifier{Resource: "persistentvolumeclaims", Namespace: "shop", Name: "logs"},
			},
			Status: layout.ItemOperationStatus{Phase: "Completed", Started: at(1)},
		}}},
	}
}

func schedule() *velerov1.Schedule {
	return &velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly", Namespace: "velero", CreationTimestamp: *at(-86400)},
		Spec: velerov1.ScheduleSpec{
			Schedule: "0 2 * * *", UseOwnerReferencesInBackup: ptr.To(false),
			Template: velerov1.BackupSpec{
				IncludedNamespaces: []string{"shop"}, TTL: metav1.Duration{Duration: 168 * time.Hour},
				LabelSelector:  &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop"}},
				UploaderConfig: &velerov1.UploaderConfigForBackup{ParallelFilesUpload: 4},
			},
		},
		Status: velerov1.ScheduleStatus{Phase: velerov1.SchedulePhaseEnabled, LastBackup: at(0)},
	}
}
