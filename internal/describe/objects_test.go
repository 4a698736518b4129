package describe

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var update = flag.Bool("update", false, "write the golden files; never in CI")

var start = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func at(seconds int) *metav1.Time {
	return &metav1.Time{Time: start.Add(time.Duration(seconds) * time.Second)}
}

// expectGolden compares a text with a file in testdata.
func expectGolden(t *testing.T, file, got string) {
	t.Helper()
	g := NewWithT(t)
	file = filepath.Join("testdata", file)
	if *update {
		g.Expect(os.WriteFile(file, []byte(got), 0o600)).To(Succeed())
	}

	want, err := os.ReadFile(file)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(string(want)))
}

func completedBackup(modify ...func(*velerov1.Backup)) *velerov1.Backup {
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{
			Name: "shop-1", Namespace: "velero", CreationTimestamp: *at(-1),
			Labels:      map[string]string{"velero.io/storage-location": "default", "team": "shop"},
			Annotations: map[string]string{"velero.io/source-cluster-k8s-gitversion": "v1.36.3"},
		},
		Spec: velerov1.BackupSpec{
			IncludedNamespaces: []string{"shop", "db"}, StorageLocation: "default",
			TTL: metav1.Duration{Duration: 720 * time.Hour}, CSISnapshotTimeout: metav1.Duration{Duration: 10 * time.Minute},
			ItemOperationTimeout: metav1.Duration{Duration: 4 * time.Hour},
		},
		Status: velerov1.BackupStatus{
			Phase: velerov1.BackupPhaseCompleted, FormatVersion: "1.1.0", Version: 1,
			StartTimestamp: at(0), CompletionTimestamp: at(72), Expiration: at(72 * 36000),
			Progress: &velerov1.BackupProgress{TotalItems: 37, ItemsBackedUp: 37},
			Conditions: []metav1.Condition{
				{Type: velerov1.ConditionItemsCollected, Status: metav1.ConditionTrue, Reason: velerov1.ReasonSucceeded, Message: "37 items", LastTransitionTime: *at(3)},
				{Type: velerov1.ConditionCompleted, Status: metav1.ConditionTrue, Reason: velerov1.ReasonSucceeded, LastTransitionTime: *at(72)},
			},
		},
	}
	for _, m := range modify {
		m(b)
	}
	return b
}

func partiallyFailed(b *velerov1.Backup) {
	b.Status.Phase = velerov1.BackupPhasePartiallyFailed
	b.Status.Errors, b.Status.Warnings = 2, 1
	b.Status.Conditions[1] = metav1.Condition{
		Type: velerov1.ConditionCompleted, Status: metav1.ConditionFalse, Reason: velerov1.ReasonPartiallyFailed,
		Message: "2 errors", LastTransitionTime: *at(72),
	}
}

func inProgress(b *velerov1.Backup) {
	b.Status.Phase, b.Status.CompletionTimestamp = velerov1.BackupPhaseInProgress, nil
	b.Status.Progress.ItemsBackedUp = 12
	b.Status.Conditions = []metav1.Condition{
		{Type: velerov1.ConditionItemsCollected, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonCollecting, LastTransitionTime: *at(1)},
		{Type: velerov1.ConditionCompleted, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonCollecting, LastTransitionTime: *at(1)},
	}
}

func rejected(b *velerov1.Backup) {
	b.Status = velerov1.BackupStatus{
		Phase:            velerov1.BackupPhaseFailedValidation,
		ValidationErrors: []string{"spec.storageLocation: Not found: \"elsewhere\"", "spec.includedNamespaces: Invalid value: \"A\""},
	}
}

func everyField(b *velerov1.Backup) {
	b.Spec.ExcludedNamespaces = []string{"kube-system"}
	b.Spec.IncludedNamespaceScopedResources = []string{"pods", "secrets"}
	b.Spec.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop"}}
	b.Spec.DefaultVolumesToFsBackup, b.Spec.SnapshotVolumes = ptr.To(true), ptr.To(false)
	b.Spec.UploaderConfig = &velerov1.UploaderConfigForBackup{ParallelFilesUpload: 4}
	b.Spec.ResourcePolicy = &corev1.TypedLocalObjectReference{Kind: "configmap", Name: "policies"}
	b.Spec.OrderedResources = map[string]string{"pods": "shop/a,shop/b"}
	b.Spec.Hooks.Resources = []velerov1.BackupResourceHookSpec{{
		Name: "freeze", IncludedNamespaces: []string{"db"},
		PreHooks: []velerov1.BackupResourceHook{{Exec: &velerov1.ExecHook{
			Container: "db", Command: []string{"/bin/sh", "-c", "sync\n\x1b[2J"}, OnError: velerov1.HookErrorModeFail,
			Timeout: metav1.Duration{Duration: 30 * time.Second},
		}}},
	}}
	b.Status.VolumeSnapshotsAttempted, b.Status.VolumeSnapshotsCompleted = 2, 1
	b.Status.HookStatus = &velerov1.HookStatus{HooksAttempted: 1, HooksFailed: 1}
}

func volumeBackup(pod, volume string, modify ...func(*velerov1.PodVolumeBackup)) velerov1.PodVolumeBackup {
	b := velerov1.PodVolumeBackup{
		Spec: velerov1.PodVolumeBackupSpec{
			Node: "node-1", Volume: volume, UploaderType: "kopia",
			Pod: corev1.ObjectReference{Namespace: "shop", Name: pod},
		},
		Status: velerov1.PodVolumeBackupStatus{
			Phase: velerov1.PodVolumeBackupPhaseCompleted, StartTimestamp: at(4), CompletionTimestamp: at(45),
			Progress:   velerov1.DataMoveOperationProgress{TotalBytes: 1 << 30, BytesDone: 1 << 30},
			Conditions: []metav1.Condition{{Type: velerov1.ConditionCompleted, Status: metav1.ConditionTrue, Reason: velerov1.ReasonSnapshotTaken}},
		},
	}
	for _, m := range modify {
		m(&b)
	}
	return b
}

func incremental(bytes int64) func(*velerov1.PodVolumeBackup) {
	return func(b *velerov1.PodVolumeBackup) { b.Status.IncrementalBytes = bytes }
}

func skipped(files int64) func(*velerov1.PodVolumeBackup) {
	return func(b *velerov1.PodVolumeBackup) { b.Status.SkippedFiles = files }
}

func failed(message string) func(*velerov1.PodVolumeBackup) {
	return func(b *velerov1.PodVolumeBackup) {
		b.Status.Phase, b.Status.Message = velerov1.PodVolumeBackupPhaseFailed, message
		b.Status.Progress = velerov1.DataMoveOperationProgress{}
		b.Status.Conditions = []metav1.Condition{
			{Type: velerov1.ConditionCompleted, Status: metav1.ConditionFalse, Reason: velerov1.ReasonMoverFailed, Message: message},
		}
	}
}

func moving(b *velerov1.PodVolumeBackup) {
	b.Status.Phase, b.Status.CompletionTimestamp = velerov1.PodVolumeBackupPhaseInProgress, nil
	b.Status.Progress.BytesDone = 1 << 28
	b.Status.Conditions = []metav1.Condition{{Type: velerov1.ConditionCompleted, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonMoving}}
}

func waiting(b *velerov1.PodVolumeBackup) {
	b.Status = velerov1.PodVolumeBackupStatus{
		Conditions: []metav1.Condition{
			{Type: velerov1.ConditionCompleted, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonWaitingForSlot, Message: "1 of 1 slots of node-1 are taken"},
		},
	}
}

func completedRestore(modify ...func(*velerov1.Restore)) *velerov1.Restore {
	r := &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-1-20261122093000", Namespace: "velero", CreationTimestamp: *at(-1)},
		Spec: velerov1.RestoreSpec{
			BackupName: "shop-1", IncludedNamespaces: []string{"*"},
			NamespaceMapping: map[string]string{"shop": "shop-test"},
			UploaderConfig:   &velerov1.UploaderConfigForRestore{WriteSparseFiles: ptr.To(true), ParallelFilesDownload: 8},
		},
		Status: velerov1.RestoreStatus{
			Phase: velerov1.RestorePhaseCompleted, StartTimestamp: at(0), CompletionTimestamp: at(61),
			Progress: &velerov1.RestoreProgress{TotalItems: 20, ItemsRestored: 20}, Warnings: 1,
			Conditions: []metav1.Condition{{Type: velerov1.ConditionCompleted, Status: metav1.ConditionTrue, Reason: velerov1.ReasonSucceeded}},
		},
	}
	for _, m := range modify {
		m(r)
	}
	return r
}

func volumeRestore(pod, volume string, modify ...func(*velerov1.PodVolumeRestore)) velerov1.PodVolumeRestore {
	r := velerov1.PodVolumeRestore{
		Spec: velerov1.PodVolumeRestoreSpec{
			Volume: volume, UploaderType: "kopia", SnapshotSize: 1 << 20,
			Pod: corev1.ObjectReference{Namespace: "shop-test", Name: pod},
		},
		Status: velerov1.PodVolumeRestoreStatus{
			Phase: velerov1.PodVolumeRestorePhaseCompleted, Node: "node-1", StartTimestamp: at(4), CompletionTimestamp: at(5),
			Progress: velerov1.DataMoveOperationProgress{TotalBytes: 1 << 20, BytesDone: 1 << 20},
		},
	}
	for _, m := range modify {
		m(&r)
	}
	return r
}

func lostAttributes(r *velerov1.PodVolumeRestore) { r.Status.LostAttributes = 3 }

func canceled(r *velerov1.PodVolumeRestore) {
	r.Status.Phase, r.Status.Message = velerov1.PodVolumeRestorePhaseCanceled, "timed out\nafter 4h0m0s"
	r.Status.StartTimestamp = nil
	r.Status.Progress = velerov1.DataMoveOperationProgress{}
}
