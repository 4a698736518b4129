package backup

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func TestBackupIsLookedAtForWhatItDependsOn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*velerov1.Backup)
		want   bool
	}{
		"it says how many volumes it waits for": {change: func(b *velerov1.Backup) {
			set(b, velerov1.ConditionVolumesMoved, metav1.ConditionUnknown, velerov1.ReasonWaitingForVolumes, "waiting for 9 volumes")
		}},
		"its progress is written": {change: func(b *velerov1.Backup) {
			b.Status.Progress = &velerov1.BackupProgress{ItemsBackedUp: 7}
			b.ResourceVersion, b.Generation = "8", 9
		}},
		"its items are collected": {want: true, change: func(b *velerov1.Backup) {
			set(b, velerov1.ConditionItemsCollected, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
		}},
		"it waits for something else": {want: true, change: func(b *velerov1.Backup) {
			set(b, velerov1.ConditionVolumesMoved, metav1.ConditionUnknown, velerov1.ReasonWaitingForHooks, "waiting for 10 volumes")
		}},
		"the queue lets it go": {want: true, change: func(b *velerov1.Backup) { b.Status.Phase = velerov1.BackupPhaseReadyToStart }},
		"somebody cancels it": {want: true, change: func(b *velerov1.Backup) {
			b.Annotations = map[string]string{velerov1.CancelRequestedByAnnotation: "ann"}
		}},
		"somebody deletes it":       {want: true, change: func(b *velerov1.Backup) { b.DeletionTimestamp = &metav1.Time{Time: t0} }},
		"it is another of its name": {want: true, change: func(b *velerov1.Backup) { b.UID = "other" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := newBackup()
			set(before, velerov1.ConditionVolumesMoved, metav1.ConditionUnknown, velerov1.ReasonWaitingForVolumes, "waiting for 10 volumes")
			after := before.DeepCopy()
			tc.change(after)

			NewWithT(t).Expect(backupTurned().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(Equal(tc.want))
		})
	}
}

func TestLooksAreAsRareAsTheyAreLong(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var p pace
	b := types.NamespacedName{Namespace: "velero", Name: "nightly"}

	g.Expect(p.pause(b)).To(BeZero(), "nothing is known of it")
	p.note(b, 10)
	g.Expect(p.pause(b)).To(Equal(time.Millisecond))
	p.note(b, 10_000)
	g.Expect(p.pause(b)).To(Equal(time.Second))
	p.note(b, 0)
	g.Expect(p.volumes).To(BeEmpty(), "what is over is forgotten")
}

// TestManyVolumesAreLookedAtSeldom has more volumes than a page, and expects the next
// look to wait in proportion.
func TestManyVolumesAreLookedAtSeldom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, ctx := w.g, t.Context()
	b := newBackup()
	b.Status.Phase, b.Status.StartTimestamp = velerov1.BackupPhaseInProgress, &metav1.Time{Time: t0}
	set(b, velerov1.ConditionItemsCollected, metav1.ConditionTrue, velerov1.ReasonSucceeded, "")
	w.create(ctx, b)
	for i := range 600 {
		v := &velerov1.PodVolumeBackup{ObjectMeta: metav1.ObjectMeta{
			Namespace: "velero", Name: fmt.Sprintf("v-%03d", i), Labels: map[string]string{velerov1.BackupUIDLabel: string(b.UID)},
		}}
		g.Expect(w.client.Create(ctx, v)).To(Succeed())
	}

	w.steps(ctx, 1)

	g.Expect(w.reconciler.pace.pause(types.NamespacedName{Namespace: "velero", Name: "nightly"})).To(Equal(60 * time.Millisecond))
	volumes, err := listVolumes(ctx, w.client, w.backup(ctx))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(volumes).To(HaveLen(600), "more than a page")
}
