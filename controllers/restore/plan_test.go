package restore

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestPlan(t *testing.T) {
	t.Parallel()
	pending, taken := volume("db-0", "data"), volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseInProgress), onNode("n1"))
	completed := volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseCompleted), onNode("n1"))
	ended := volume("db-0", "data", cancelRequested, phase(velerov1.PodVolumeRestorePhaseCanceled))
	told := volume("db-0", "data", cancelRequested)
	stopping := volume("db-0", "data", cancelRequested, onNode("n1"))
	const waiting = "waiting for volumes: shop/db-0 data"
	const timeout = "timed out after 4h0m0s waiting for all volumes"

	tests := map[string]struct {
		restore  *velerov1.Restore
		problems []string
		noBackup bool
		volumes  []velerov1.PodVolumeRestore
		untaken  map[string]untaken
		now      time.Time
		want     step
	}{
		"starts": {
			restore: restore(), want: step{action: actStart, reason: velerov1.ReasonRestoringItems},
		},
		"a spec with problems never starts": {
			restore: restore(), problems: []string{"a", "b"},
			want: step{action: actReject, reason: velerov1.ReasonInvalidSpec, message: "a; b", problems: []string{"a", "b"}},
		},
		"problems that come up later do not matter": {
			restore: restore(started), problems: []string{"a"},
			want: step{action: actRestoreItems, reason: velerov1.ReasonRestoringItems},
		},
		"restores items until they are there": {
			restore: restore(started), volumes: []velerov1.PodVolumeRestore{pending},
			want: step{action: actRestoreItems, reason: velerov1.ReasonRestoringItems},
		},
		"the deadline makes the next pass the last": {
			restore: restore(started), now: t0.Add(4 * time.Hour),
			want: step{action: actRestoreItems, reason: velerov1.ReasonRestoringItems, lastTry: true},
		},
		"a backup that is deleted on the way cannot be read": {
			restore: restore(started), noBackup: true,
			want: step{action: actFail, reason: velerov1.ReasonBackupNotFound, message: "the backup was deleted while it was restored"},
		},
		"storage may fail for a while": {
			restore: restore(started, storageFails), now: t0.Add(9 * time.Minute),
			want: step{action: actRestoreItems, reason: velerov1.ReasonRestoringItems},
		},
		"storage may not fail for ever": {
			restore: restore(started, storageFails), now: t0.Add(10 * time.Minute),
			want: step{action: actFail, reason: velerov1.ReasonStorageUnavailable, message: "object storage failed for 10m0s: no route"},
		},
		"waits for volumes, looking at pods that nobody has taken": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{pending},
			want: step{reason: velerov1.ReasonWaitingForVolumes, message: waiting, after: podLookInterval, action: actNothing},
		},
		"says what the pod of a volume waits for": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{pending},
			untaken: map[string]untaken{"db-0-data": {message: "pod shop/db-0 is not scheduled: no node"}},
			want: step{reason: velerov1.ReasonWaitingForVolumes, message: waiting + "; pod shop/db-0 is not scheduled: no node",
				after: podLookInterval, action: actNothing},
		},
		"waits for a volume that moves until the deadline": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{taken}, now: t0.Add(time.Hour),
			want: step{reason: velerov1.ReasonWaitingForVolumes, message: waiting, after: 3 * time.Hour, action: actNothing},
		},
		"does not wait for a pod that is gone": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{pending},
			untaken: map[string]untaken{"db-0-data": {podGone: true}},
			want: step{action: actCancelVolumes, reason: velerov1.ReasonPodGone, volumes: []*velerov1.PodVolumeRestore{&pending},
				message: "The pods of some volumes do not exist any more"},
		},
		"a canceled volume of a pod that is gone is nothing to wait for": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{ended},
			untaken: map[string]untaken{"db-0-data": {podGone: true}},
			want:    step{action: actFinish, reason: velerov1.ReasonUploading},
		},
		"ends a volume that somebody has canceled and nobody has taken, when its pod is gone": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{told},
			untaken: map[string]untaken{"db-0-data": {podGone: true}},
			want: step{action: actCancelVolumes, reason: velerov1.ReasonPodGone, volumes: []*velerov1.PodVolumeRestore{&told},
				message: "The pods of some volumes do not exist any more"},
		},
		"cancels at the deadline": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{taken}, now: t0.Add(4 * time.Hour),
			want: step{action: actCancelVolumes, reason: velerov1.ReasonTimeout, message: timeout, volumes: []*velerov1.PodVolumeRestore{&taken}},
		},
		"waits for canceled volumes": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{stopping}, now: t0.Add(4 * time.Hour),
			want: step{action: actNothing, reason: velerov1.ReasonTimeout, message: timeout, after: cancelGrace},
		},
		"does not wait for canceled volumes for ever": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{stopping}, now: t0.Add(4*time.Hour + cancelGrace),
			want: step{action: actFinish, reason: velerov1.ReasonTimeout},
		},
		"finishes when all volumes are": {
			restore: restore(itemsRestored), volumes: []velerov1.PodVolumeRestore{completed},
			want: step{action: actFinish, reason: velerov1.ReasonUploading},
		},
		"finishes without volumes": {
			restore: restore(itemsRestored), want: step{action: actFinish, reason: velerov1.ReasonUploading},
		},
		"without its backup nobody knows where results go": {
			restore: restore(itemsRestored), noBackup: true,
			want: step{action: actFail, reason: velerov1.ReasonBackupNotFound,
				message: "the backup was deleted while it was restored: the results could not be uploaded"},
		},
		"finished is final": {
			restore: restore(itemsRestored, inPhase(velerov1.RestorePhasePartiallyFailed)), volumes: []velerov1.PodVolumeRestore{pending},
			want: step{action: actNothing},
		},
		"a restore that Velero has left is not touched": {
			restore: restore(started, inPhase(velerov1.RestorePhaseFinalizing)), want: step{action: actNothing},
		},
		"a restore that is canceled before its start ends": {
			restore: restore(canceledBy("ann")), problems: []string{"a"},
			want: step{action: actFinishCanceled, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
		},
		"a canceled restore stops its volumes": {
			restore: restore(itemsRestored, canceledBy("ann")), volumes: []velerov1.PodVolumeRestore{taken, completed},
			want: step{action: actCancelVolumes, reason: velerov1.ReasonCanceling, message: "canceled by ann", volumes: []*velerov1.PodVolumeRestore{&taken}},
		},
		"a canceled restore waits for movers": {
			restore: restore(itemsRestored, canceledBy("ann")), volumes: []velerov1.PodVolumeRestore{stopping},
			want: step{action: actNothing, reason: velerov1.ReasonCanceling, message: "canceled by ann", after: cancelGrace},
		},
		"a canceled restore does not wait for a node that is gone": {
			restore: restore(itemsRestored, canceledBy("ann"), cancelSeenAt(t0)), volumes: []velerov1.PodVolumeRestore{stopping}, now: t0.Add(cancelGrace),
			want: step{action: actFinishCanceled, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
		},
		"a canceled restore does not wait for volumes that nobody moves": {
			restore: restore(started, canceledBy("ann")), volumes: []velerov1.PodVolumeRestore{told, pending},
			want: step{action: actFinishCanceled, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
		},
		"they are ended after it": {
			restore: restore(started, canceledBy("ann"), inPhase(velerov1.RestorePhaseFailed), func(r *velerov1.Restore) { r.Status.FailureReason = "canceled by ann" }),
			volumes: []velerov1.PodVolumeRestore{told, ended},
			want:    step{action: actCancelVolumes, reason: velerov1.ReasonCanceled, message: "canceled by ann", volumes: []*velerov1.PodVolumeRestore{&told}},
		},
		"a canceled restore ends when its volumes have": {
			restore: restore(started, canceledBy("ann")), volumes: []velerov1.PodVolumeRestore{ended},
			want: step{action: actFinishCanceled, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
		},
		"who cancels a finished restore is too late": {
			restore: restore(itemsRestored, canceledBy("ann"), inPhase(velerov1.RestorePhaseCompleted)), want: step{action: actNothing},
		},
		"a restore that is deleted stops its volumes first": {
			restore: restore(itemsRestored, deleted), volumes: []velerov1.PodVolumeRestore{taken},
			want: step{action: actCancelVolumes, reason: velerov1.ReasonCanceling, message: "the restore is being deleted", volumes: []*velerov1.PodVolumeRestore{&taken}},
		},
		"a restore that is deleted waits for movers": {
			restore: restore(itemsRestored, deleted), volumes: []velerov1.PodVolumeRestore{stopping}, now: t0.Add(time.Minute),
			want: step{action: actNothing, reason: velerov1.ReasonCanceling, message: "the restore is being deleted", after: cancelGrace - time.Minute},
		},
		"cleans up a restore that is deleted, finished or not": {
			restore: restore(started, deleted, inPhase(velerov1.RestorePhaseCompleted)), want: step{action: actCleanUp},
		},
		"a restore without finalizer may go": {
			restore: restore(deleted, func(r *velerov1.Restore) { r.Finalizers = nil }), want: step{action: actNothing},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := observed{
				restore: tc.restore, problems: tc.problems, volumes: tc.volumes, untaken: tc.untaken, now: tc.now, backup: &velerov1.Backup{},
				volumeTimeout: 4 * time.Hour, storageTimeout: 10 * time.Minute,
			}
			if tc.noBackup {
				o.backup = nil
			}
			if tc.now.IsZero() {
				o.now = t0
			}

			NewWithT(t).Expect(plan(o)).To(Equal(tc.want))
		})
	}
}

func TestWaitingMessageIsStableAndShort(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var volumes []velerov1.PodVolumeRestore
	for _, pod := range []string{"g", "c", "f", "a", "e", "b", "d"} {
		volumes = append(volumes, volume(pod, "v"))
	}

	got := waitingMessage(observed{volumes: volumes})

	g.Expect(got).To(Equal("waiting for volumes: shop/a v, shop/b v, shop/c v, shop/d v, shop/e v, and 2 more"))
}

func restore(mods ...func(*velerov1.Restore)) *velerov1.Restore {
	r := &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: "again", UID: "3f6c0d2e-restore",
			Finalizers: []string{velerov1.RestoreExternalResourcesFinalizer},
		},
		Spec: velerov1.RestoreSpec{BackupName: "nightly"},
	}
	for _, mod := range mods {
		mod(r)
	}
	return r
}

func started(r *velerov1.Restore) {
	r.Status.Phase = velerov1.RestorePhaseInProgress
	r.Status.StartTimestamp = &metav1.Time{Time: t0}
}

func itemsRestored(r *velerov1.Restore) {
	started(r)
	meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{
		Type: velerov1.ConditionItemsRestored, Status: metav1.ConditionTrue, LastTransitionTime: metav1.Time{Time: t0},
	})
}

func storageFails(r *velerov1.Restore) {
	meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{
		Type: velerov1.ConditionUploaded, Status: metav1.ConditionFalse, LastTransitionTime: metav1.Time{Time: t0},
		Reason: velerov1.ReasonStorageUnavailable, Message: "no route",
	})
}

func canceledBy(who string) func(*velerov1.Restore) {
	return func(r *velerov1.Restore) {
		r.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: who}
	}
}

func cancelSeenAt(at time.Time) func(*velerov1.Restore) {
	return func(r *velerov1.Restore) {
		meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{
			Type: velerov1.ConditionCancelRequested, Status: metav1.ConditionTrue, LastTransitionTime: metav1.Time{Time: at},
		})
	}
}

func deleted(r *velerov1.Restore) { r.DeletionTimestamp = &metav1.Time{Time: t0} }

func inPhase(p velerov1.RestorePhase) func(*velerov1.Restore) {
	return func(r *velerov1.Restore) { r.Status.Phase = p }
}

func volume(pod, name string, mods ...func(*velerov1.PodVolumeRestore)) velerov1.PodVolumeRestore {
	v := velerov1.PodVolumeRestore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: pod + "-" + name},
		Spec: velerov1.PodVolumeRestoreSpec{
			Pod:    corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: pod, UID: "pod-uid"},
			Volume: name,
		},
	}
	for _, mod := range mods {
		mod(&v)
	}
	return v
}

func phase(p velerov1.PodVolumeRestorePhase) func(*velerov1.PodVolumeRestore) {
	return func(v *velerov1.PodVolumeRestore) { v.Status.Phase = p }
}

func onNode(node string) func(*velerov1.PodVolumeRestore) {
	return func(v *velerov1.PodVolumeRestore) { v.Status.Node = node }
}

func cancelRequested(v *velerov1.PodVolumeRestore) { v.Spec.Cancel = true }
