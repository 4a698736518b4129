package restore

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/movement"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPlan(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		observed    observed
		wantAction  movement.Action
		wantOutcome movement.Outcome
		wantReason  string
		wantMessage string
	}{
		"gate runs: start": {
			observed: see(), wantAction: movement.ActStart, wantReason: velerov1.ReasonPreparing,
		},
		"gate runs, but not first: start": {
			observed:   see(gate(corev1.ContainerStatus{Name: "proxy"}, gateRunning)),
			wantAction: movement.ActStart, wantReason: velerov1.ReasonPreparing,
		},
		"restic: invalid": {
			observed:   see(func(o *observed) { o.restore.Spec.UploaderType = "restic" }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonInvalidSpec, wantMessage: "spec.uploaderType",
		},
		"no snapshot: invalid": {
			observed:   see(func(o *observed) { o.restore.Spec.SnapshotID = "" }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonInvalidSpec, wantMessage: "spec.snapshotID",
		},
		"no owner: invalid": {
			observed:   see(func(o *observed) { o.restore.OwnerReferences = nil }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonInvalidSpec, wantMessage: "ownerReferences",
		},
		"sparse neither true nor false: invalid": {
			observed:   see(func(o *observed) { o.restore.Spec.UploaderSettings = map[string]string{sparseFilesKey: "maybe"} }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonInvalidSpec, wantMessage: "spec.uploaderSettings[WriteSparseFiles]",
		},
		"pod gone: fail": {
			observed:   see(noPod),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "was deleted, or replaced",
		},
		"pod being deleted: fail": {
			observed:   see(func(o *observed) { o.pod.DeletionTimestamp = &metav1.Time{Time: t0} }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "is being deleted",
		},
		"pod failed: fail": {
			observed:   see(func(o *observed) { o.pod.Status.Phase = corev1.PodFailed }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "has ended (Failed)",
		},
		"kubelet has said nothing yet: wait": {
			observed: see(gate()), wantAction: movement.ActNothing, wantReason: velerov1.ReasonWaitingForPod, wantMessage: "restore-wait",
		},
		"gate is being started: wait": {
			observed:   see(gate(corev1.ContainerStatus{Name: GateName})),
			wantAction: movement.ActNothing, wantReason: velerov1.ReasonWaitingForPod, wantMessage: "restore-wait",
		},
		"application runs without gate: fail": {
			observed:   see(gate(), func(o *observed) { o.pod.Status.Phase = corev1.PodRunning }),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonGateMissing, wantMessage: "does not wait",
		},
		"repository not ready yet: wait": {
			observed:   see(func(o *observed) { o.destination.Repository = nil }),
			wantAction: movement.ActNothing, wantReason: velerov1.ReasonWaitingForRepository, wantMessage: "does not exist yet",
		},
		"location read-only: start": {
			observed: see(func(o *observed) {
				o.destination.Location.Spec.AccessMode = velerov1.BackupStorageLocationAccessModeReadOnly
			}),
			wantAction: movement.ActStart, wantReason: velerov1.ReasonPreparing,
		},
		"pod gone while its volume is written: fail": {
			observed:   see(noPod, moving),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "was deleted",
		},
		"emptyDir restored, pod gone: fail": {
			observed:   see(noPod, moving, ended),
			wantAction: movement.ActFinish, wantOutcome: movement.Failed, wantReason: velerov1.ReasonPodGone, wantMessage: "was deleted",
		},
		"claim restored, pod gone: completed": {
			observed:   see(noPod, claim, moving, ended),
			wantAction: movement.ActFinish, wantOutcome: movement.Completed,
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

func TestIsOurs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		restore func(*velerov1.PodVolumeRestore)
		podHere bool
		want    bool
	}{
		"pod on this node":                {podHere: true, want: true},
		"pod on another node, or none":    {want: false},
		"taken by this node, pod gone":    {restore: func(v *velerov1.PodVolumeRestore) { v.Status.Node = "n1" }, want: true},
		"taken by another node":           {restore: func(v *velerov1.PodVolumeRestore) { v.Status.Node = "n2" }, podHere: true, want: false},
		"canceled before anybody took it": {restore: func(v *velerov1.PodVolumeRestore) { v.Spec.Cancel = true }, want: true},
		"canceled, taken by another node": {restore: func(v *velerov1.PodVolumeRestore) { v.Spec.Cancel, v.Status.Node = true, "n2" }, want: false},
		"finished on a node that may be gone": {restore: func(v *velerov1.PodVolumeRestore) {
			v.Status.Node, v.Status.Phase = "n2", velerov1.PodVolumeRestorePhaseFailed
		}, want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			v := restore()
			if tc.restore != nil {
				tc.restore(v)
			}

			g.Expect(isOurs(v, "n1", tc.podHere)).To(Equal(tc.want))
		})
	}
}

func TestTaskOf(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	v := restore()
	v.Spec.UploaderSettings = map[string]string{parallelFilesKey: "3", sparseFilesKey: "true"}

	g.Expect(taskOf(v)).To(Equal(&wire.Restore{SnapshotID: "k1", RestoreUID: "restore-uid", ParallelFiles: 3, SparseFiles: true}))
}

func TestRestoreUIDIsThatOfTheControllingOwner(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	v := restore()
	v.OwnerReferences = append([]metav1.OwnerReference{{UID: "other"}}, v.OwnerReferences...)
	g.Expect(restoreUID(v)).To(BeEquivalentTo("restore-uid"))

	v.OwnerReferences = []metav1.OwnerReference{{UID: "only"}}
	g.Expect(restoreUID(v)).To(BeEquivalentTo("only"))
}

func TestReport(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	o := see(gate())

	report(o.restore, movement.Report{Facts: o.facts, Step: plan(o)}, "", "n1")
	g.Expect(o.restore.Status.Node).To(Equal("n1"), "whoever waits says so")
	g.Expect(o.restore.Finalizers).To(BeEmpty(), "nothing to clean up yet")

	o = see(moving, ended)
	report(o.restore, movement.Report{Facts: o.facts, Step: plan(o)}, "", "n1")
	g.Expect(o.restore.Status.Phase).To(Equal(velerov1.PodVolumeRestorePhaseCompleted))
	g.Expect(o.restore.Status.LostAttributes).To(BeEquivalentTo(2))
	g.Expect(o.restore.Status.Progress.BytesDone).To(BeEquivalentTo(9))
}

var gateRunning = corev1.ContainerStatus{
	Name: GateName, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
}

func see(mods ...func(*observed)) observed {
	o := observed{
		restore:     restore(),
		facts:       movement.Facts{Now: t0, Limits: movement.DefaultLimits(), Subject: "volume data of pod shop/db-0", HasRoom: true},
		sourceAsked: true,
		hostPath:    "/var/lib/kubelet/pods/x",
		pod: &corev1.Pod{Status: corev1.PodStatus{
			Phase: corev1.PodPending, InitContainerStatuses: []corev1.ContainerStatus{gateRunning},
		}},
		destination: movement.Destination{
			LocationName: "default", Namespace: "shop", Since: t0,
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

func restore() *velerov1.PodVolumeRestore {
	return &velerov1.PodVolumeRestore{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: "again-1", UID: "uid-1",
			OwnerReferences: []metav1.OwnerReference{{Kind: "Restore", Name: "again", UID: "restore-uid", Controller: ptr.To(true)}},
		},
		Spec: velerov1.PodVolumeRestoreSpec{
			Volume: "data", BackupStorageLocation: "default", SnapshotID: "k1", SourceNamespace: "shop",
			Pod: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "db-0", UID: "pod-uid"},
		},
	}
}

func noPod(o *observed) { o.pod = nil }

func claim(o *observed) { o.restore.Labels = map[string]string{velerov1.PVCUIDLabel: "claim-uid"} }

func gate(statuses ...corev1.ContainerStatus) func(*observed) {
	return func(o *observed) { o.pod.Status.InitContainerStatuses = statuses }
}

func moving(o *observed) {
	o.sourceAsked = false
	o.facts.Mover = &movement.Mover{Name: "again-1", UID: "pod-1", Prepared: true, Granted: true, Started: true}
}

func ended(o *observed) { o.facts.Mover.Result = &wire.Result{TotalBytes: 9, LostAttributes: 2} }
