package backup

import (
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/objectstore"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// newBackup is a backup that nobody has looked at.
func newBackup(mods ...func(*velerov1.Backup)) *velerov1.Backup {
	b := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly", UID: "backup-uid"}}
	for _, mod := range mods {
		mod(b)
	}
	return b
}

func started(b *velerov1.Backup) {
	b.Spec.StorageLocation = "default"
	b.Status.Phase = velerov1.BackupPhaseInProgress
	b.Status.StartTimestamp = &metav1.Time{Time: t0}
}

func collected(b *velerov1.Backup) {
	started(b)
	condition(velerov1.ConditionItemsCollected, metav1.ConditionTrue, velerov1.ReasonSucceeded, t0)(b)
}

func inPhase(p velerov1.BackupPhase) func(*velerov1.Backup) {
	return func(b *velerov1.Backup) { b.Status.Phase = p }
}

func ready(b *velerov1.Backup) { b.Status.Phase = velerov1.BackupPhaseReadyToStart }

func canceledBy(who string) func(*velerov1.Backup) {
	return func(b *velerov1.Backup) {
		b.Annotations = with(b.Annotations, velerov1.CancelRequestedByAnnotation, who)
	}
}

func cancelingSinceT0(b *velerov1.Backup) {
	condition(velerov1.ConditionVolumesMoved, metav1.ConditionFalse, velerov1.ReasonCanceling, t0)(b)
}

func deleted(b *velerov1.Backup) { b.DeletionTimestamp = &metav1.Time{Time: t0} }

func condition(typ string, status metav1.ConditionStatus, reason string, since time.Time) func(*velerov1.Backup) {
	return func(b *velerov1.Backup) {
		b.Status.Conditions = append(b.Status.Conditions, metav1.Condition{
			Type: typ, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(since),
		})
	}
}

func storageFailingSinceT0(b *velerov1.Backup) {
	condition(velerov1.ConditionUploaded, metav1.ConditionFalse, velerov1.ReasonStorageUnavailable, t0)(b)
}

// volumeIn is a pod volume backup in a phase.
func volumeIn(phase velerov1.PodVolumeBackupPhase, mods ...func(*velerov1.PodVolumeBackup)) velerov1.PodVolumeBackup {
	v := velerov1.PodVolumeBackup{ObjectMeta: metav1.ObjectMeta{Name: "nightly-1"}}
	v.Spec.Pod.Namespace, v.Spec.Pod.Name, v.Spec.Volume = "app", "web-0", "data"
	v.Status.Phase = phase
	for _, mod := range mods {
		mod(&v)
	}
	return v
}

func canceled(v *velerov1.PodVolumeBackup) { v.Spec.Cancel = true }

func TestPlan(t *testing.T) {
	t.Parallel()

	refused := fmt.Errorf("writing: %w", objectstore.ErrAccessDenied)
	broken := fmt.Errorf("writing: %w", objectstore.ErrUnavailable)
	moving := volumeIn(velerov1.PodVolumeBackupPhaseInProgress)
	stopping := volumeIn(velerov1.PodVolumeBackupPhaseCanceling, canceled)
	done := volumeIn(velerov1.PodVolumeBackupPhaseCompleted)
	failed := volumeIn(velerov1.PodVolumeBackupPhaseFailed)

	tests := map[string]struct {
		backup  *velerov1.Backup
		volumes []velerov1.PodVolumeBackup
		after   time.Duration // since t0
		mod     func(*observed)
		want    step
	}{
		"a backup that is being deleted is left alone": {
			backup: newBackup(started, deleted), want: step{action: actNothing},
		},
		"the deletion controller's phase is left alone": {
			backup: newBackup(collected, inPhase(velerov1.BackupPhaseDeleting)), want: step{action: actNothing},
		},
		"what a real Velero finalizes is left alone": {
			backup: newBackup(started, inPhase(velerov1.BackupPhaseFinalizing)), want: step{action: actNothing},
		},
		"finished is final, whatever its volumes do": {
			backup: newBackup(collected, inPhase(velerov1.BackupPhaseCompleted)), volumes: []velerov1.PodVolumeBackup{moving},
			want: step{action: actNothing},
		},
		"a failed backup stops its volumes": {
			backup: newBackup(started, inPhase(velerov1.BackupPhaseFailed)), volumes: []velerov1.PodVolumeBackup{moving},
			want: step{action: actCancelVolumes, reason: velerov1.ReasonFailed},
		},
		"a failed backup whose volumes are told to stop has nothing to do": {
			backup: newBackup(started, inPhase(velerov1.BackupPhaseFailed)), volumes: []velerov1.PodVolumeBackup{stopping, done},
			want: step{action: actNothing},
		},
		"a spec with problems is rejected": {
			backup: newBackup(), mod: func(o *observed) { o.problems = []string{"a", "b"} },
			want: step{action: actReject, reason: velerov1.ReasonInvalidSpec, message: "a; b"},
		},
		"a new backup waits for the queue": {
			backup: newBackup(), want: step{action: actNothing},
		},
		"a queued backup waits for the queue": {
			backup: newBackup(inPhase(velerov1.BackupPhaseQueued)), want: step{action: actNothing},
		},
		"a backup that the queue has let go starts": {
			backup: newBackup(ready), want: step{action: actStart, reason: velerov1.ReasonCollecting},
		},
		"a backup that is canceled in the queue has nothing to stop": {
			backup: newBackup(inPhase(velerov1.BackupPhaseQueued), canceledBy("ann")),
			want:   step{action: actFail, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
		},
		"nobody needs to know what is wrong with a canceled backup": {
			backup: newBackup(canceledBy("")), mod: func(o *observed) { o.problems = []string{"a"} },
			want: step{action: actFail, reason: velerov1.ReasonCanceled, message: "canceled by an unnamed user"},
		},
		"a canceled backup stops its volumes": {
			backup: newBackup(collected, canceledBy("ann")), volumes: []velerov1.PodVolumeBackup{moving, done},
			want: step{action: actCancelVolumes, reason: velerov1.ReasonCanceling, message: "canceling on request of ann"},
		},
		"a canceled backup stops the volumes of a collection that is not done": {
			backup: newBackup(started, canceledBy("ann")), volumes: []velerov1.PodVolumeBackup{moving},
			want: step{action: actCancelVolumes, reason: velerov1.ReasonCanceling, message: "canceling on request of ann"},
		},
		"a canceled backup waits until its volumes have stopped": {
			backup: newBackup(collected, canceledBy("ann"), cancelingSinceT0), volumes: []velerov1.PodVolumeBackup{stopping}, after: 10 * time.Second,
			want: step{
				action: actNothing, reason: velerov1.ReasonCanceling, message: "canceling on request of ann", after: cancelPatience - 10*time.Second,
			},
		},
		"a canceled backup does not wait for ever": {
			backup: newBackup(collected, canceledBy("ann"), cancelingSinceT0), volumes: []velerov1.PodVolumeBackup{stopping}, after: cancelPatience,
			want: step{
				action: actFail, reason: velerov1.ReasonCanceled,
				message: "canceled by ann; 1 volumes were told to stop and have not confirmed it",
			},
		},
		"a canceled backup whose volumes have stopped has failed": {
			backup: newBackup(collected, canceledBy("ann"), cancelingSinceT0), volumes: []velerov1.PodVolumeBackup{done, failed},
			want: step{action: actFail, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
		},
		"a canceled backup does not wait for object storage": {
			backup: newBackup(collected, canceledBy("ann")), mod: func(o *observed) { o.storageErr = broken },
			want: step{action: actFail, reason: velerov1.ReasonCanceled, message: "canceled by ann"},
		},
		"what was stored before it was canceled is there": {
			backup: newBackup(collected, canceledBy("ann")),
			mod:    func(o *observed) { o.stored = &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{UID: "backup-uid"}} },
			want:   step{action: actAdopt},
		},
		"a finished backup is not canceled": {
			backup: newBackup(collected, inPhase(velerov1.BackupPhaseCompleted), canceledBy("ann")), want: step{action: actNothing},
		},
		"a name that is taken fails": {
			backup: newBackup(ready), mod: func(o *observed) { o.stored = &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{UID: "other"}} },
			want: step{action: actFail, reason: velerov1.ReasonBackupExists, message: "backup already exists in object storage"},
		},
		"what an earlier run has stored is adopted": {
			backup: newBackup(collected), mod: func(o *observed) { o.stored = &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{UID: "backup-uid"}} },
			want: step{action: actAdopt},
		},
		"before the start, refused credentials fail at once": {
			backup: newBackup(ready), mod: func(o *observed) { o.storageErr = refused },
			want: step{action: actFail, reason: velerov1.ReasonAccessDenied, message: "writing: access denied"},
		},
		"before the start, storage that does not answer is tried again": {
			backup: newBackup(ready), mod: func(o *observed) { o.storageErr = broken },
			want: step{action: actRetryStorage, reason: velerov1.ReasonStorageUnavailable, message: "writing: storage unavailable", after: storageRetryInterval},
		},
		"at the end, refused credentials are tried again": {
			backup: newBackup(collected, storageFailingSinceT0), after: 4 * time.Minute, mod: func(o *observed) { o.storageErr = refused },
			want: step{action: actRetryStorage, reason: velerov1.ReasonAccessDenied, message: "writing: access denied", after: storageRetryInterval},
		},
		"storage that fails for too long fails the backup": {
			backup: newBackup(collected, storageFailingSinceT0), after: 5 * time.Minute, mod: func(o *observed) { o.storageErr = broken },
			want: step{
				action: actFail, reason: velerov1.ReasonStorageUnavailable,
				message: "object storage failed for 5m0s: writing: storage unavailable",
			},
		},
		"a started backup is collected": {
			backup: newBackup(started), want: step{action: actCollect, reason: velerov1.ReasonCollecting},
		},
		"a collected backup without volumes is finished": {
			backup: newBackup(collected), want: step{action: actFinish, reason: velerov1.ReasonUploading},
		},
		"a collected backup waits for its volumes until the timeout": {
			backup: newBackup(collected), volumes: []velerov1.PodVolumeBackup{done, moving}, after: time.Hour,
			want: step{action: actNothing, reason: velerov1.ReasonWaitingForVolumes, after: 3 * time.Hour},
		},
		"a canceled volume is as finished as any": {
			backup: newBackup(collected), volumes: []velerov1.PodVolumeBackup{done, failed, volumeIn(velerov1.PodVolumeBackupPhaseCanceled)},
			want: step{action: actFinish, reason: velerov1.ReasonUploading},
		},
		"volumes that take too long are canceled": {
			backup: newBackup(collected), volumes: []velerov1.PodVolumeBackup{done, moving}, after: 4 * time.Hour,
			want: step{action: actCancelVolumes, reason: velerov1.ReasonTimeout, message: "timed out after 4h0m0s waiting for all volumes"},
		},
		"canceled volumes have some time to stop": {
			backup: newBackup(collected), volumes: []velerov1.PodVolumeBackup{stopping}, after: 4*time.Hour + time.Minute,
			want: step{
				action: actNothing, reason: velerov1.ReasonTimeout, message: "timed out after 4h0m0s waiting for all volumes",
				after: 4 * time.Minute,
			},
		},
		"volumes that do not stop do not hold the backup": {
			backup: newBackup(collected), volumes: []velerov1.PodVolumeBackup{done, stopping}, after: 4*time.Hour + 5*time.Minute,
			want: step{action: actFinish, reason: velerov1.ReasonTimeout},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			o := observed{
				backup: tc.backup, volumes: tc.volumes, now: t0.Add(tc.after),
				volumeTimeout: 4 * time.Hour, storageTimeout: 5 * time.Minute,
			}
			if tc.mod != nil {
				tc.mod(&o)
			}

			got := plan(o)

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestNeedsStored(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		o    observed
		want bool
	}{
		"before the start":                 {o: observed{backup: newBackup(ready)}, want: true},
		"not while it waits in the queue":  {o: observed{backup: newBackup()}},
		"not when it is canceled before":   {o: observed{backup: newBackup(ready, canceledBy("ann"))}},
		"before the end of a canceled one": {o: observed{backup: newBackup(collected, canceledBy("ann"))}, want: true},
		"not while canceled volumes stop": {
			o: observed{backup: newBackup(collected, canceledBy("ann")), volumes: []velerov1.PodVolumeBackup{volumeIn("", canceled)}},
		},
		"not when the spec is wrong":          {o: observed{backup: newBackup(), problems: []string{"x"}}},
		"not while items are read":            {o: observed{backup: newBackup(started)}},
		"not while volumes move":              {o: observed{backup: newBackup(collected), volumes: []velerov1.PodVolumeBackup{volumeIn("")}}},
		"before the finish":                   {o: observed{backup: newBackup(collected)}, want: true},
		"not when somebody has deleted it":    {o: observed{backup: newBackup(collected, deleted)}},
		"not when it is finished":             {o: observed{backup: newBackup(collected, inPhase(velerov1.BackupPhaseCompleted))}},
		"not when it belongs to a controller": {o: observed{backup: newBackup(inPhase(velerov1.BackupPhaseDeleting))}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			tc.o.now, tc.o.volumeTimeout = t0, time.Hour

			g.Expect(needsStored(tc.o)).To(Equal(tc.want))
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()

	phaseAfter := func(b *velerov1.Backup, s step, err error) *velerov1.Backup {
		report(observed{backup: b, now: t0.Add(time.Minute), problems: []string{"p"}}, s, result{}, err)
		return b
	}
	t.Run("a rejected backup lists its problems", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		b := phaseAfter(newBackup(), step{action: actReject}, nil)
		g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailedValidation))
		g.Expect(b.Status.ValidationErrors).To(Equal([]string{"p"}))
	})
	t.Run("a failed backup says why and when", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		b := phaseAfter(newBackup(started), step{action: actFail, reason: velerov1.ReasonAccessDenied, message: "m"}, nil)
		g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailed))
		g.Expect(b.Status.FailureReason).To(Equal("m"))
		g.Expect(b.Status.CompletionTimestamp.Time).To(Equal(t0.Add(time.Minute)))
	})
	t.Run("a transient error changes nothing", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		b := phaseAfter(newBackup(started), step{action: actCollect}, errors.New("connection reset"))
		g.Expect(b).To(Equal(newBackup(started)))
	})
	t.Run("storage that is back ends the time it has failed", func(t *testing.T) {
		t.Parallel()
		g := NewWithT(t)
		b := phaseAfter(newBackup(collected, storageFailingSinceT0), step{action: actNothing, reason: velerov1.ReasonWaitingForVolumes}, nil)
		_, failing := storageFailingSince(b)
		g.Expect(failing).To(BeFalse())
	})
}

func TestConclude(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	good, bad := newBackup(collected), newBackup(collected)

	conclude(good, t0, 2, 0)
	conclude(bad, t0, 0, 1)

	g.Expect(good.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "warnings do not fail a backup")
	g.Expect(bad.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
	g.Expect([]int{good.Status.Warnings, bad.Status.Errors}).To(Equal([]int{2, 1}))
}
