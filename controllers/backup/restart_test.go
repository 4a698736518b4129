package backup

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

func uids(volumes []velerov1.PodVolumeBackup) []string {
	var u []string
	for _, v := range volumes {
		u = append(u, string(v.UID))
	}
	slices.Sort(u)
	return u
}

func TestServerRestartWhileItemsAreRead(t *testing.T) {
	t.Parallel()
	in := newInstall(t)
	in.create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: in.app, Name: "settings"}})
	in.moveVolumes(t, all)
	stop := in.startServer(t)
	in.requests.hold.close("configmaps")
	b := in.startBackup(t, "nightly")
	in.Eventually(in.requests.hold.waiting, within, tick).Should(Equal(1))
	before := in.volumes(t)
	in.Expect(before).To(HaveLen(2), "data moves while items are read")
	stop()
	in.Expect(in.client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())
	in.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseInProgress), "a server that stops fails nothing")

	in.startServer(t)

	in.eventuallyPhase(t, b, velerov1.BackupPhaseCompleted)
	in.Expect(uids(in.volumes(t))).To(Equal(uids(before)), "no volume is backed up twice")
	in.Expect(b.Status.Errors + b.Status.Warnings).To(BeZero())
}

func TestServerRestartWhileVolumesMove(t *testing.T) {
	t.Parallel()
	in := newInstall(t)
	stop := in.startServer(t)
	b := in.startBackup(t, "nightly")
	in.eventually(t, b, func(g Gomega) { g.Expect(isCollected(b)).To(BeTrue()) })
	before := in.volumes(t)
	stop()
	in.moveVolumes(t, all)
	in.Eventually(func() bool {
		return !slices.ContainsFunc(in.volumes(t), func(v velerov1.PodVolumeBackup) bool { return !v.IsFinished() })
	}, within, tick).Should(BeTrue())

	in.startServer(t)

	in.eventuallyPhase(t, b, velerov1.BackupPhaseCompleted)
	in.Expect(uids(in.volumes(t))).To(Equal(uids(before)))
	in.Expect(in.requests.lists).To(BeEmpty(), "what was read is not read again")
}

func TestServerRestartWhileFilesAreUploaded(t *testing.T) {
	t.Parallel()
	in := newInstall(t)
	in.moveVolumes(t, all)
	stop := in.startServer(t)
	in.store.hold.close("velero-backup.json")
	b := in.startBackup(t, "nightly")
	in.Eventually(in.store.hold.waiting, within, tick).Should(Equal(1))
	stop()
	in.store.hold.open()

	in.startServer(t)

	in.eventuallyPhase(t, b, velerov1.BackupPhaseCompleted)
	in.Expect(in.requests.lists).To(BeEmpty(), "what was read is not read again")
}

func TestBackupThatWasReadyToStartGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	in := newInstall(t)
	in.moveVolumes(t, all)
	b := in.startBackup(t, "nightly")
	b.Status.Phase = velerov1.BackupPhaseReadyToStart
	in.Expect(in.client.Update(t.Context(), b)).To(Succeed())

	in.startServer(t)

	in.eventuallyPhase(t, b, velerov1.BackupPhaseCompleted)
}

// canceledWithin is the promise; a fixed part of it is the test's own machine.
const canceledWithin = 10 * time.Second

func TestCancel(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		// hold prepares the stage, reached says that the backup is in it.
		hold    func(*testing.T, *install)
		reached func(*testing.T, *install, *velerov1.Backup)
		volumes int
		log     string // in the log that is kept; "" means none
	}{
		"in the queue": {
			hold: func(t *testing.T, in *install) {
				t.Helper()
				before := in.startBackup(t, "before")
				in.eventually(t, before, func(g Gomega) { g.Expect(isCollected(before)).To(BeTrue()) })
			},
			reached: func(t *testing.T, in *install, b *velerov1.Backup) {
				t.Helper()
				in.eventually(t, b, func(g Gomega) { g.Expect(b.Status.QueuePosition).To(Equal(1)) })
			},
		},
		"while items are read": {
			hold: func(_ *testing.T, in *install) { in.requests.hold.close("secrets") },
			reached: func(_ *testing.T, in *install, _ *velerov1.Backup) {
				in.Eventually(in.requests.hold.waiting, within, tick).Should(Equal(1))
			},
			volumes: 2, log: "Backup was canceled while its items were read",
		},
		"while the archive is uploaded": {
			hold: func(_ *testing.T, in *install) { in.store.hold.close(".tar.gz") },
			reached: func(_ *testing.T, in *install, _ *velerov1.Backup) {
				in.Eventually(in.store.hold.waiting, within, tick).Should(Equal(1))
			},
			volumes: 2, log: "Backup was canceled while its items were read",
		},
		"while volumes move": {
			hold: func(*testing.T, *install) {},
			reached: func(t *testing.T, in *install, b *velerov1.Backup) {
				t.Helper()
				in.eventually(t, b, func(g Gomega) { g.Expect(isCollected(b)).To(BeTrue()) })
			},
			volumes: 2, log: "Collected items",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInstall(t)
			in.moveVolumes(t, none)
			in.startServer(t)
			tc.hold(t, in)
			b := in.startBackup(t, "nightly")
			tc.reached(t, in, b)

			in.cancel(t, b)
			start := time.Now()
			in.eventuallyPhase(t, b, velerov1.BackupPhaseFailed)

			in.Expect(time.Since(start)).To(BeNumerically("<", canceledWithin))
			in.Expect(b.Status.FailureReason).To(Equal("canceled by ann"))
			in.Expect(b.Status.QueuePosition).To(BeZero())
			in.Expect(b.Status.CompletionTimestamp).NotTo(BeNil())
			in.Expect(b.Status.Conditions).To(ContainElement(And(
				HaveField("Type", velerov1.ConditionCompleted), HaveField("Status", metav1.ConditionFalse), HaveField("Reason", velerov1.ReasonCanceled),
			)))
			volumes := slices.DeleteFunc(in.volumes(t), func(v velerov1.PodVolumeBackup) bool { return !strings.HasPrefix(v.Name, b.Name) })
			in.Expect(volumes).To(HaveLen(tc.volumes))
			for _, v := range volumes {
				in.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCanceled))
			}
			in.Expect(in.store.Exists(t.Context(), layout.BackupMetadata("nightly"))).To(BeFalse())
			in.Expect(in.logOf(t, "nightly")).To(ContainSubstring(tc.log))
		})
	}
}

func TestCancelWhileTheLastFilesAreUploaded(t *testing.T) {
	t.Parallel()
	in := newInstall(t)
	in.moveVolumes(t, all)
	in.startServer(t)
	in.store.hold.close("velero-backup.json")
	b := in.startBackup(t, "nightly")
	in.Eventually(in.store.hold.waiting, within, tick).Should(Equal(1))
	in.Expect(in.client.Get(t.Context(), client.ObjectKeyFromObject(b), b)).To(Succeed())

	in.cancel(t, b)

	in.eventuallyPhase(t, b, velerov1.BackupPhaseFailed)
	in.Expect(in.store.Exists(t.Context(), layout.BackupMetadata("nightly"))).To(BeFalse(), "it does not exist")
}

func TestDeletedBackupIsReadNoLonger(t *testing.T) {
	t.Parallel()
	in := newInstall(t)
	in.startServer(t)
	in.requests.hold.close("configmaps")
	b := in.startBackup(t, "nightly")
	in.Eventually(in.requests.hold.waiting, within, tick).Should(Equal(1))

	in.Expect(in.client.Delete(t.Context(), b)).To(Succeed())

	next := in.startBackup(t, "next")
	in.requests.hold.close("nothing")
	in.eventually(t, next, func(g Gomega) { g.Expect(isCollected(next)).To(BeTrue(), "the place of the deleted one is free") })
	in.Expect(in.store.Exists(t.Context(), layout.BackupContents("nightly"))).To(BeFalse())
	for _, v := range in.volumes(t) {
		in.Expect(v.OwnerReferences).To(HaveLen(1), "the API server removes what belongs to a deleted backup")
	}
}

func TestQueueOnAnAPIServer(t *testing.T) {
	t.Parallel()
	in := newInstall(t)
	in.options.ConcurrentBackups = 2
	other := in.newNamespace(t, "other-")
	ofOther := func(b *velerov1.Backup) { b.Spec.IncludedNamespaces = []string{other} }
	move := make(chan struct{})
	in.moveVolumes(t, func(*velerov1.PodVolumeBackup) bool {
		select {
		case <-move:
			return true
		default:
			return false
		}
	})
	in.startServer(t)

	first := in.startBackup(t, "first")
	in.eventuallyPhase(t, first, velerov1.BackupPhaseInProgress)
	second := in.startBackup(t, "second")
	in.eventually(t, second, func(g Gomega) {
		g.Expect(second.Status.Phase).To(Equal(velerov1.BackupPhaseQueued))
		g.Expect(second.Status.QueuePosition).To(Equal(1))
		g.Expect(second.Status.Conditions).To(ContainElement(And(
			HaveField("Reason", velerov1.ReasonQueued), HaveField("Message", "waiting for backup first, which takes namespace "+in.app+" too"),
		)))
	})
	third := in.startBackup(t, "third", ofOther)
	in.eventuallyPhase(t, third, velerov1.BackupPhaseCompleted)

	close(move)

	in.eventuallyPhase(t, second, velerov1.BackupPhaseCompleted)
	in.Expect(in.client.Get(t.Context(), client.ObjectKeyFromObject(first), first)).To(Succeed())
	in.Expect(second.Status.StartTimestamp.Before(first.Status.CompletionTimestamp)).To(BeFalse())
	in.Expect(second.Status.QueuePosition).To(BeZero())
}
