package backup

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/movement"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPlan(t *testing.T) {
	t.Parallel()
	noDirectory := &movement.Obstacle{Terminal: true, Reason: velerov1.ReasonVolumeNotFound, Message: "no directory"}
	tests := map[string]struct {
		observed    observed
		wantAction  movement.Action
		wantOutcome movement.Outcome
		wantReason  string
		wantMessage string
	}{
		"volume of a running pod: start": {
			observed: see(), wantAction: movement.ActStart, wantReason: velerov1.ReasonPreparing,
		},
		"restic: invalid": {
			observed:   see(func(o *observed) { o.backup.Spec.UploaderType = "restic" }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonInvalidSpec,
			wantMessage: `spec.uploaderType: Unsupported value: "restic"`,
		},
		"parallelism that is no number: invalid": {
			observed:   see(func(o *observed) { o.backup.Spec.UploaderSettings = map[string]string{parallelFilesKey: "all"} }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonInvalidSpec,
			wantMessage: `spec.uploaderSettings[ParallelFilesUpload]: Invalid value: "all"`,
		},
		"pod gone: fail": {
			observed:   see(noPod),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "does not exist any more",
		},
		"pod ended: fail": {
			observed:   see(func(o *observed) { o.pod.Status.Phase = corev1.PodSucceeded }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "has ended (Succeeded)",
		},
		"pod being deleted, containers still run: start": {
			observed: see(deletingPod), wantAction: movement.ActStart, wantReason: velerov1.ReasonPreparing,
		},
		"pod being deleted, containers ended: fail": {
			observed:   see(deletingPod, func(o *observed) { o.pod.Status.ContainerStatuses = nil }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "being deleted",
		},
		"pod is asked for before the repository": {
			observed:   see(noPod, func(o *observed) { o.destination.Location = nil }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "does not exist",
		},
		"repository not ready yet: wait": {
			observed:   see(func(o *observed) { o.destination.Repository.Status.Phase = "" }),
			wantAction: movement.ActNothing, wantReason: velerov1.ReasonWaitingForRepository, wantMessage: "being prepared",
		},
		"location read-only: fail": {
			observed: see(func(o *observed) {
				o.destination.Location.Spec.AccessMode = velerov1.BackupStorageLocationAccessModeReadOnly
			}),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonLocationReadOnly, wantMessage: "read-only",
		},
		"no volume directory: fail": {
			observed:   see(func(o *observed) { o.volume = noDirectory }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonVolumeNotFound, wantMessage: "no directory",
		},

		"pod gone while its emptyDir is read: fail": {
			observed:   see(noPod, moving),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "does not exist any more",
		},
		"pod gone while its claim is read: go on": {
			observed: see(noPod, claim, moving), wantAction: movement.ActNothing, wantReason: velerov1.ReasonMoving,
		},
		"snapshot of an emptyDir whose pod is gone: fail": {
			observed:   see(noPod, moving, ended(wire.Result{SnapshotID: "k1"})),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "does not exist any more",
		},
		"snapshot of a claim whose pod is gone: completed": {
			observed:   see(noPod, claim, moving, ended(wire.Result{SnapshotID: "k1"})),
			wantAction: movement.ActFinish, wantOutcome: movement.Completed,
		},
		"success without a snapshot: fail": {
			observed:   see(moving, ended(wire.Result{})),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonMoverFailed, wantMessage: "without a snapshot",
		},
		"cancel comes before everything else": {
			observed:   see(noPod, func(o *observed) { o.facts.Cancel = "canceled on request" }),
			wantAction: movement.ActFinish, wantOutcome: movement.Canceled, wantReason: velerov1.ReasonCanceled, wantMessage: "on request",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := plan(tc.observed)

			g.Expect(got.Action).To(Equal(tc.wantAction))
			g.Expect(got.Outcome).To(Equal(tc.wantOutcome))
			g.Expect(got.Reason).To(Equal(tc.wantReason))
			g.Expect(got.Message).To(ContainSubstring(tc.wantMessage))
		})
	}
}

func TestTaskOf(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	b := backup()

	g.Expect(taskOf(b, "")).To(Equal(&wire.Backup{SourcePath: "snapshot-pod-volume/kopia/shop/db-0/data"}))

	b.Annotations = map[string]string{
		velerov1.PVCNameAnnotation: "data-db-0", velerov1.VolumeIdentityAnnotation: "claim/data-db-0",
	}
	b.Spec.UploaderSettings = map[string]string{parallelFilesKey: "6"}
	g.Expect(taskOf(b, "zstd")).To(Equal(&wire.Backup{
		SourcePath: "snapshot-pod-volume/kopia/shop/db-0/data-db-0", Identity: "claim/data-db-0", ParallelFiles: 6, Compression: "zstd",
	}))
}

func TestReportNamesTheSnapshot(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		observed       observed
		wantPhase      velerov1.PodVolumeBackupPhase
		wantSnapshotID string
	}{
		"whole": {
			observed:  see(moving, ended(wire.Result{SnapshotID: "k1", IncrementalBytes: 5})),
			wantPhase: velerov1.PodVolumeBackupPhaseCompleted, wantSnapshotID: "k1",
		},
		"without some files": {
			observed:  see(moving, ended(wire.Result{SnapshotID: "k1", FailedFiles: 1, IncrementalBytes: 5})),
			wantPhase: velerov1.PodVolumeBackupPhaseFailed, wantSnapshotID: "k1",
		},
		"not of a volume that went away": {
			observed:  see(noPod, moving, ended(wire.Result{SnapshotID: "k1", FailedFiles: 1})),
			wantPhase: velerov1.PodVolumeBackupPhaseFailed,
		},
		"not of a mover that failed": {
			observed:  see(moving, ended(wire.Result{SnapshotID: "k1", Error: "boom"})),
			wantPhase: velerov1.PodVolumeBackupPhaseFailed,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			b := tc.observed.backup
			b.Finalizers = []string{velerov1.PodVolumeFinalizer, "other"}

			report(b, movement.Report{Facts: tc.observed.facts, Step: plan(tc.observed)}, "")

			g.Expect(b.Status.Phase).To(Equal(tc.wantPhase))
			g.Expect(b.Status.SnapshotID).To(Equal(tc.wantSnapshotID))
			g.Expect(b.Status.CompletionTimestamp).NotTo(BeNil())
			g.Expect(b.Finalizers).To(Equal([]string{"other"}))
			if tc.wantSnapshotID != "" {
				g.Expect(b.Status.Path).To(Equal("/uid-1"))
				g.Expect(b.Status.IncrementalBytes).To(BeEquivalentTo(5))
			}
		})
	}
}

func TestReportOfTheFirstMover(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	o := see()

	report(o.backup, movement.Report{Facts: o.facts, Step: plan(o)}, "pod-1")

	g.Expect(o.backup.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseAccepted))
	g.Expect(o.backup.Status.AcceptedTimestamp).NotTo(BeNil())
	g.Expect(o.backup.Finalizers).To(Equal([]string{velerov1.PodVolumeFinalizer}))
	g.Expect(o.backup.Annotations).To(HaveKeyWithValue(velerov1.MoversAnnotation, "pod-1"))
}

func see(mods ...func(*observed)) observed {
	o := observed{
		backup:      backup(),
		facts:       movement.Facts{Now: t0, Limits: movement.DefaultLimits(), Subject: "volume data of pod shop/db-0", HasRoom: true},
		sourceAsked: true,
		hostPath:    "/var/lib/kubelet/pods/x",
		pod: &corev1.Pod{Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		}},
		destination: movement.Destination{
			LocationName: "default", Namespace: "shop", Writes: true, Since: t0,
			Location: &velerov1.BackupStorageLocation{Spec: velerov1.BackupStorageLocationSpec{
				Provider:    "aws",
				StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "backups"}},
			}},
			Repository: &velerov1.BackupRepository{
				Status: velerov1.BackupRepositoryStatus{Phase: velerov1.BackupRepositoryPhaseReady},
			},
		},
	}
	for _, mod := range mods {
		mod(&o)
	}
	return o
}

func backup() *velerov1.PodVolumeBackup {
	return &velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly-1", UID: "uid-1"},
		Spec: velerov1.PodVolumeBackupSpec{
			Node: "n1", Volume: "data", BackupStorageLocation: "default", UploaderType: "kopia",
			Pod: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "db-0", UID: "pod-uid"},
		},
	}
}

func noPod(o *observed) { o.pod = nil }

func deletingPod(o *observed) { o.pod.DeletionTimestamp = &metav1.Time{Time: t0} }

func claim(o *observed) {
	o.backup.Annotations = map[string]string{velerov1.PVCNameAnnotation: "data-db-0"}
}

func moving(o *observed) {
	o.sourceAsked = false
	o.facts.Mover = &movement.Mover{Name: "nightly-1", UID: "pod-1", Prepared: true, Granted: true, Started: true}
}

func ended(r wire.Result) func(*observed) {
	return func(o *observed) { o.facts.Mover.Result = &r }
}

// Before hooks are run, the server must know that nothing else is in the way.
func TestHeldVolumeWaitsForHooksLast(t *testing.T) {
	t.Parallel()
	hold := func(value string) func(*observed) {
		return func(o *observed) {
			o.facts.Held = true
			o.backup.Annotations = map[string]string{velerov1.HoldAnnotation: value}
		}
	}
	all, data := hold(velerov1.HoldAll), hold(velerov1.HoldData)
	prepared := func(o *observed) {
		o.sourceAsked = false
		o.facts.Mover = &movement.Mover{Name: "nightly-1", UID: "pod-1", Prepared: true}
	}
	for name, tc := range map[string]struct {
		o      observed
		action movement.Action
		reason string
	}{
		"not its turn":                       {see(all), movement.ActNothing, velerov1.ReasonWaitingForSlot},
		"a repository that is not ready":     {see(all, func(o *observed) { o.destination.Repository.Status.Phase = velerov1.BackupRepositoryPhaseNew }), movement.ActNothing, velerov1.ReasonWaitingForRepository},
		"its pod is gone":                    {see(all, noPod), movement.ActFinish, velerov1.ReasonPodGone},
		"it is canceled":                     {see(all, func(o *observed) { o.facts.Cancel = "canceled" }), movement.ActFinish, velerov1.ReasonCanceled},
		"its turn":                           {see(data), movement.ActStart, velerov1.ReasonPreparing},
		"its turn, without room for a mover": {see(data, func(o *observed) { o.facts.HasRoom = false }), movement.ActAwaitRoom, velerov1.ReasonWaitingForHooks},
		"its mover is ready":                 {see(data, prepared), movement.ActNothing, velerov1.ReasonWaitingForHooks},
		"the hooks have been run":            {see(prepared), movement.ActAwaitSlot, velerov1.ReasonWaitingForSlot},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			step := plan(tc.o)

			g.Expect(step.Action).To(Equal(tc.action))
			g.Expect(step.Reason).To(Equal(tc.reason))
		})
	}
}
