package backup

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/podexec"
)

// keys are the files of the backup in the bucket.
func (w *world) keys(ctx context.Context) []string {
	keys, err := w.store.List(ctx, layout.BackupPrefix("nightly"))
	w.g.Expect(err).NotTo(HaveOccurred())
	return keys
}

func (w *world) cancel(ctx context.Context) {
	b := w.backup(ctx)
	before := b.DeepCopy()
	b.Annotations = with(b.Annotations, velerov1.CancelRequestedByAnnotation, "ann")
	w.g.Expect(w.client.Patch(ctx, b, client.MergeFrom(before))).To(Succeed())
}

func TestHooksOfACanceledBackupAreToldAndCounted(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t, func(p *corev1.Pod) { p.Annotations[velerov1.PreBackupHookOnErrorAnnotation] = "Continue" })
	g, ctx := w.g, t.Context()
	w.commands.run = func(_ context.Context, c podexec.Command) (podexec.Output, error) {
		if c.Args[0] == "freeze" {
			return podexec.Output{Stderr: "no such device"}, &podexec.ExitError{Code: 1}
		}
		return podexec.Output{}, nil
	}
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected+1)
	w.readyVolumes(ctx)
	w.reconcileHooks(ctx, 2)

	w.cancel(ctx)
	w.steps(ctx, 1)
	w.reconcileHooks(ctx, 3)
	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailed), "%+v", b.Status)
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 2, HooksFailed: 1}))
	g.Expect(w.commands.ran).To(Equal([]string{"web-0: freeze", "web-0: thaw now"}))
	var results layout.Results
	w.stored(ctx, layout.BackupResults("nightly"), &results)
	g.Expect(results.Errors.Namespaces["app"]).To(ContainElement(And(
		ContainSubstring("pre hook in container web of pod app/web-0 did not succeed"), ContainSubstring("stderr: no such device"))))
	g.Expect(results.Errors.Velero).To(ContainElement(ContainSubstring("Backup failed: canceled by ann")))
	g.Expect(b.Status.Errors).To(Equal(results.Errors.Count()))
	g.Expect(w.keys(ctx)).To(ConsistOf(layout.BackupLog("nightly"), layout.BackupResults("nightly"), layout.BackupInterim("nightly")),
		"what only a restore could use is gone")
}

func TestHooksAreCountedAlsoWithoutStorage(t *testing.T) {
	t.Parallel()
	w := newHookWorld(t)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected+1)
	w.readyVolumes(ctx)
	w.reconcileHooks(ctx, 2)
	w.store.err = objectstore.ErrUnavailable

	w.cancel(ctx)
	w.steps(ctx, 1)
	w.reconcileHooks(ctx, 3)
	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailed), "%+v", b.Status)
	g.Expect(b.Status.HookStatus).To(Equal(&velerov1.HookStatus{HooksAttempted: 2}))
}

func TestFilesAreInterimUntilTheBackupExists(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	b := w.steps(ctx, untilCollected)

	g.Expect(w.store.puts[0]).To(Equal(layout.BackupInterim("nightly")), "the mark comes first")
	var mark layout.Interim
	w.stored(ctx, layout.BackupInterim("nightly"), &mark)
	g.Expect(mark.BackupUID).To(Equal(string(b.UID)))
	g.Expect(mark.Cluster).To(Equal("cluster-uid"))
	g.Expect(mark.Until.Time).To(BeTemporally("~", t0.Add(5*time.Hour+10*time.Minute), time.Second), "4h for volumes, 5m to stop, 5m of storage, 1h")

	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	b = w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	g.Expect(w.keys(ctx)).NotTo(ContainElement(layout.BackupInterim("nightly")))
	g.Expect(w.keys(ctx)).To(ContainElements(layout.BackupMetadata("nightly"), layout.BackupContents("nightly")))
}

// What lies under the name of the backup may be another one's.
func TestFilesOfAnotherBackupStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	other := newBackup()
	other.UID, other.Name = "another", "nightly"
	metadata, err := layout.EncodeBackup(other)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(uploadOne(ctx, w.store, bytesFile(layout.BackupMetadata("nightly"), metadata))).To(Succeed())
	before := w.keys(ctx)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")

	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailed))
	g.Expect(w.keys(ctx)).To(Equal(before))
}
