package backup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// appItems are two namespaces; app has a pod with a claim and an emptyDir.
func appItems() []runtime.Object {
	items := []runtime.Object{
		item("v1", "Namespace", "", "app"),
		item("v1", "Namespace", "", "other"),
		item("v1", "ConfigMap", "app", "settings"),
		item("v1", "ConfigMap", "app", "secret-sauce", withLabel(velerov1.ExcludeFromBackupLabel, "true")),
		item("v1", "ConfigMap", "other", "settings"),
		item("example.com/v1", "Widget", "app", "w"),
		runningPod("app", "web-0"),
	}
	return append(items, append(boundClaim("app", "db", "pv-db"), boundClaim("other", "unused", "pv-unused")...)...)
}

func ofApp(b *velerov1.Backup) { b.Spec.IncludedNamespaces = []string{"app"} }

// The number of reconciles: start, collect, and then finish.
const (
	untilStarted   = 1
	untilCollected = 2
)

func TestBackupFromStartToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))

	b := w.steps(ctx, untilStarted)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseInProgress))
	g.Expect(b.Status.StartTimestamp.UTC()).To(Equal(t0))
	g.Expect(b.Status.Expiration.UTC()).To(Equal(t0.Add(720 * time.Hour)))
	g.Expect(b.Spec.StorageLocation).To(Equal("default"))
	g.Expect(b.Spec.DefaultVolumesToFsBackup).To(BeNil(), "the server's default must not hide the policy of namespaces")
	g.Expect(b.Spec.ExcludedNamespaces).To(Equal([]string{"private"}))
	g.Expect(b.Labels).To(HaveKeyWithValue(velerov1.StorageLocationLabel, "default"))
	g.Expect(b.Annotations).To(HaveKeyWithValue(velerov1.SourceClusterK8sGitVersionAnnotation, "v1.36.3"))

	b = w.steps(ctx, 1)
	g.Expect(isCollected(b)).To(BeTrue())
	g.Expect(b.Status.Progress).To(Equal(&velerov1.BackupProgress{TotalItems: 6, ItemsBackedUp: 6}))
	g.Expect(w.volumes(ctx)).To(HaveLen(2))
	g.Expect(w.client.Get(ctx, client.ObjectKey{Namespace: "velero", Name: "app-default-kopia"}, &velerov1.BackupRepository{})).To(Succeed())
	g.Expect(w.store.Exists(ctx, layout.BackupMetadata("nightly"))).To(BeFalse())

	b = w.steps(ctx, 1)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseInProgress), "volumes move")

	w.restartServer()
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	b = w.steps(ctx, 1)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	g.Expect(b.Status.Errors + b.Status.Warnings).To(BeZero())
	g.Expect(w.store.puts[len(w.store.puts)-1]).To(Equal(layout.BackupMetadata("nightly")), "the backup exists only when all of it does")
	left, err := os.ReadDir(w.scratch)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left).To(BeEmpty())
}

func TestBucketOfABackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	w.steps(ctx, 1)

	items, err := w.archived(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(slices.Sorted(maps.Keys(items))).To(Equal([]string{
		"configmaps:app/settings", "namespaces:/app", "persistentvolumeclaims:app/db", "persistentvolumes:/pv-db",
		"pods:app/web-0", "widgets.example.com:app/w",
	}))
	claim := items["persistentvolumeclaims:app/db"]
	g.Expect(claim.GetLabels()).To(Equal(map[string]string{"app": "db"}))
	g.Expect(claim.Object["spec"]).NotTo(HaveKey("dataSource"))

	var list layout.ResourceList
	w.stored(ctx, layout.BackupResourceList("nightly"), &list)
	g.Expect(list).To(Equal(layout.ResourceList{
		"v1/ConfigMap": {"app/settings"}, "v1/Namespace": {"app"}, "v1/PersistentVolumeClaim": {"app/db"},
		"v1/PersistentVolume": {"pv-db"}, "v1/Pod": {"app/web-0"}, "example.com/v1/Widget": {"app/w"},
	}))

	var volumes []velerov1.PodVolumeBackup
	w.stored(ctx, layout.BackupPodVolumeBackups("nightly"), &volumes)
	g.Expect(volumes).To(HaveLen(2))
	g.Expect(volumes[0].Finalizers).To(BeEmpty())
	g.Expect(volumes[0].Kind).To(Equal("PodVolumeBackup"))

	var info layout.VolumeInfoList
	w.stored(ctx, layout.BackupVolumeInfo("nightly"), &info)
	g.Expect(info).To(HaveLen(2))
	i := slices.IndexFunc(info, func(v layout.VolumeInfo) bool { return v.PVCName == "db" })
	g.Expect(info[i].PVName).To(Equal("pv-db"))
	g.Expect(info[i].Result).To(Equal(layout.VolumeResultSucceeded))
	g.Expect(info[i].PVInfo).To(Equal(&layout.PVInfo{ReclaimPolicy: "Delete", Labels: map[string]string{"zone": "a"}}))
	g.Expect(info[i].PodVolumeInfo.SnapshotHandle).To(Equal("snapshot-data"))

	body, err := w.store.Get(ctx, layout.BackupMetadata("nightly"))
	g.Expect(err).NotTo(HaveOccurred())
	stored, err := layout.DecodeBackup(body)
	g.Expect(err).NotTo(HaveOccurred())
	inCluster := w.backup(ctx)
	g.Expect(stored.Status.Phase).To(Equal(inCluster.Status.Phase))
	g.Expect(stored.Status.CompletionTimestamp.Equal(inCluster.Status.CompletionTimestamp)).To(BeTrue())
}

func TestBackupOfAllNamespacesListsEachKindOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup())

	w.steps(ctx, untilCollected)

	lists := map[string]int{}
	for _, a := range w.dynamic.Actions() {
		g.Expect(a.GetVerb()).To(Equal("list"), "nothing is read one by one")
		lists[a.GetResource().Resource]++
	}
	g.Expect(lists).To(Equal(map[string]int{
		"namespaces": 1, "persistentvolumeclaims": 1, "persistentvolumes": 1, "pods": 1, "configmaps": 1, "replicasets": 1, "widgets": 1,
		"serviceaccounts": 1, "clusterroles": 1, "clusterrolebindings": 1, "priorityclasses": 1, "customresourcedefinitions": 1,
	}))
	items, err := w.archived(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(items).To(HaveKey("persistentvolumes:/pv-unused"))
	var info layout.VolumeInfoList
	w.stored(ctx, layout.BackupVolumeInfo("nightly"), &info)
	g.Expect(info[0].Skipped).To(BeTrue())
	g.Expect(info[0].SkippedReason).To(Equal("podvolume: NotMountedByAnyPod;"))
	g.Expect(info[0].PVName).To(Equal("pv-unused"))
}

func TestVolumesThatFailMakeTheBackupPartial(t *testing.T) {
	t.Parallel()

	for _, phase := range []velerov1.PodVolumeBackupPhase{velerov1.PodVolumeBackupPhaseFailed, velerov1.PodVolumeBackupPhaseCanceled} {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appItems()...)
			g, ctx := w.g, t.Context()
			w.create(ctx, newBackup(ofApp))
			w.steps(ctx, untilCollected)
			w.endVolumes(ctx, phase, "disk on fire")

			b := w.steps(ctx, 1)

			g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
			g.Expect(b.Status.Errors).To(Equal(2))
			var results layout.Results
			w.stored(ctx, layout.BackupResults("nightly"), &results)
			g.Expect(results.Errors.Namespaces["app"]).To(ContainElement(
				MatchRegexp("Volume data of pod app/web-0 .*pod volume backup (failed|canceled): disk on fire")))
		})
	}
}

func TestTimeoutKeepsWhatIsFinished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp, func(b *velerov1.Backup) {
		b.Annotations = map[string]string{velerov1.PodVolumeTimeoutAnnotation: "10m"}
	}))
	w.steps(ctx, untilCollected)
	first := w.volumes(ctx)[0]
	first.Status.Phase, first.Status.SnapshotID = velerov1.PodVolumeBackupPhaseCompleted, "s"
	g.Expect(w.client.Update(ctx, &first)).To(Succeed())
	second := w.volumes(ctx)[1]
	second.Status.Phase = velerov1.PodVolumeBackupPhaseInProgress
	g.Expect(w.client.Update(ctx, &second)).To(Succeed())

	res, err := w.reconcile(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(res.RequeueAfter).To(Equal(10 * time.Minute))

	w.clock.SetTime(t0.Add(10 * time.Minute))
	b := w.steps(ctx, 1)
	g.Expect(w.volumes(ctx)[1].Spec.Cancel).To(BeTrue())
	g.Expect(b.IsFinished()).To(BeFalse())

	w.clock.SetTime(t0.Add(15 * time.Minute))
	b = w.steps(ctx, 1)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
	var stored []velerov1.PodVolumeBackup
	w.stored(ctx, layout.BackupPodVolumeBackups("nightly"), &stored)
	g.Expect(stored).To(HaveLen(1), "what is not finished must not be synced to another cluster")
	var results layout.Results
	w.stored(ctx, layout.BackupResults("nightly"), &results)
	g.Expect(results.Errors.Velero).To(ConsistOf(ContainSubstring("timed out after 10m0s waiting for all volumes")))
}

func TestNodeWithoutAgentFailsTheVolumeAtOnce(t *testing.T) {
	t.Parallel()
	items := append(appItems(), runningPod("app", "lost-0", func(p *corev1.Pod) {
		p.Spec.NodeName = "node-9"
		p.Annotations = map[string]string{velerov1.VolumesToBackupAnnotation: "cache,typo"}
	}))
	w := newWorld(t, items...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")

	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
	var results layout.Results
	w.stored(ctx, layout.BackupResults("nightly"), &results)
	g.Expect(results.Errors.Namespaces["app"]).To(ConsistOf(ContainSubstring("no node agent on node node-9")))
	g.Expect(results.Warnings.Namespaces["app"]).To(ConsistOf(ContainSubstring("volume typo, which the pod does not have")))
}

func TestPodVolumeBackupThatSomebodyDeletedIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	gone := w.volumes(ctx)[0]
	gone.Finalizers = nil
	g.Expect(w.client.Update(ctx, &gone)).To(Succeed())
	g.Expect(w.client.Delete(ctx, &gone)).To(Succeed())

	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
	g.Expect(b.Status.Errors).To(Equal(1))
}

// A server may die after each request. What it has written must not be taken for
// somebody else's, nor counted twice.
func TestRestartWhileFinishing(t *testing.T) {
	t.Parallel()

	for uploads := range 7 {
		t.Run(fmt.Sprintf("after %d uploads", uploads), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appItems()...)
			g, ctx := w.g, t.Context()
			w.create(ctx, newBackup(ofApp))
			w.steps(ctx, untilCollected)
			w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseFailed, "boom")
			before := w.backup(ctx)
			w.store.err, w.store.goodPuts = errors.New("the server died"), uploads
			w.steps(ctx, 1)

			w.store.err = nil
			again := w.backup(ctx)
			again.Status = before.Status
			g.Expect(w.client.Update(ctx, again)).To(Succeed())
			w.restartServer()
			got := w.steps(ctx, 1).Status

			g.Expect(got.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
			g.Expect(got.Errors).To(Equal(2), "nothing is counted twice")
			g.Expect(w.store.Exists(ctx, layout.BackupMetadata("nightly"))).To(BeTrue())
		})
	}
}

func TestRestartBetweenTheLastUploadAndTheStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseFailed, "boom")
	before := w.backup(ctx)
	want := w.steps(ctx, 1).Status
	again := w.backup(ctx)
	again.Status = before.Status
	g.Expect(w.client.Update(ctx, again)).To(Succeed())
	w.restartServer()
	puts := len(w.store.puts)
	w.clock.SetTime(t0.Add(time.Hour))

	got := w.steps(ctx, 1).Status

	g.Expect(got.Phase).To(Equal(want.Phase))
	g.Expect(got.CompletionTimestamp.Equal(want.CompletionTimestamp)).To(BeTrue(), "what is stored is what holds")
	g.Expect(w.store.puts).To(HaveLen(puts))
}

func TestRestartWhileCollectingMakesNoSecondVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilStarted)
	before := w.backup(ctx)
	w.steps(ctx, 1)
	again := w.backup(ctx)
	again.Status = before.Status
	g.Expect(w.client.Update(ctx, again)).To(Succeed())
	// The pod was replaced meanwhile; its successor mounts the same claim.
	g.Expect(w.dynamic.Tracker().Delete(podsResource.GroupVersionResource, "app", "web-0")).To(Succeed())
	g.Expect(w.dynamic.Tracker().Add(runningPod("app", "web-1"))).To(Succeed())
	w.restartServer()

	w.steps(ctx, 1)

	var claims []string
	for _, v := range w.volumes(ctx) {
		if c := v.Annotations[velerov1.PVCNameAnnotation]; c != "" {
			claims = append(claims, c)
		}
	}
	g.Expect(claims).To(Equal([]string{"db"}))
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	g.Expect(w.steps(ctx, 1).Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	var info layout.VolumeInfoList
	w.stored(ctx, layout.BackupVolumeInfo("nightly"), &info)
	g.Expect(info).To(HaveLen(3), "the claim, and the emptyDir of each pod")
}

func TestNameThatIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	w.steps(ctx, 1)
	g.Expect(w.client.Delete(ctx, w.backup(ctx))).To(Succeed())
	puts := len(w.store.puts)
	w.create(ctx, newBackup(ofApp, func(b *velerov1.Backup) { b.UID = "another-uid" }))

	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailed))
	g.Expect(b.Status.FailureReason).To(Equal("backup already exists in object storage"))
	g.Expect(w.store.puts).To(HaveLen(puts), "nothing of the other backup is touched")
}

func TestStorageThatFailsAtTheEndIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")
	w.store.err = fmt.Errorf("writing x: %w", objectstore.ErrUnavailable)

	res, err := w.reconcile(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(res.RequeueAfter).To(Equal(storageRetryInterval))
	_, failing := storageFailingSince(w.backup(ctx))
	g.Expect(failing).To(BeTrue())

	w.store.err = nil
	g.Expect(w.steps(ctx, 1).Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
}

func TestStorageThatFailsAfterCollectingIsTriedAgain(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		failsFor time.Duration
		want     velerov1.BackupPhase
	}{
		"for some minutes": {failsFor: 3 * time.Minute, want: velerov1.BackupPhaseInProgress},
		"for too long":     {failsFor: time.Hour, want: velerov1.BackupPhaseFailed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, appItems()...)
			g, ctx := w.g, t.Context()
			w.create(ctx, newBackup(ofApp))
			w.steps(ctx, untilStarted)

			synctest.Test(t, func(t *testing.T) {
				w.reconciler.Clock = clock.RealClock{} // of the bubble
				w.store.err = fmt.Errorf("writing x: %w", objectstore.ErrUnavailable)
				w.store.clock, w.store.goodAt = clock.RealClock{}, clock.RealClock{}.Now().Add(tc.failsFor)
				_, _ = w.reconcile(t.Context())
			})

			b := w.backup(ctx)
			g.Expect(b.Status.Phase).To(Equal(tc.want))
			g.Expect(isCollected(b)).To(Equal(tc.want == velerov1.BackupPhaseInProgress))
			if tc.want == velerov1.BackupPhaseFailed {
				g.Expect(b.Status.FailureReason).To(Equal("object storage failed for 5m0s: writing x: storage unavailable"))
				w.steps(ctx, 1)
				g.Expect(w.volumes(ctx)[0].Spec.Cancel).To(BeTrue(), "a failed backup leaves no mover behind")
			}
		})
	}
}

func TestKindsThatCannotBeReadAreErrorsOfTheBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.dynamic.PrependReactor("list", "widgets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "widgets"}, "", errors.New("no"))
	})
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilCollected)
	w.endVolumes(ctx, velerov1.PodVolumeBackupPhaseCompleted, "")

	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
	var results layout.Results
	w.stored(ctx, layout.BackupResults("nightly"), &results)
	g.Expect(results.Errors.Namespaces["app"]).To(ConsistOf(ContainSubstring("resource: /widgets.example.com message: /Reading items failed")))
}

func TestBackupThatIsDeletedWhileItsItemsAreRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, appItems()...)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(ofApp))
	w.steps(ctx, untilStarted)
	w.dynamic.PrependReactor("list", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		g.Expect(w.client.Delete(ctx, w.backup(ctx))).To(Succeed())
		return false, nil, nil
	})

	_, err := w.reconcile(ctx)

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.volumes(ctx)).To(BeEmpty())
	g.Expect(w.store.puts).To(BeEmpty())
}

func TestInvalidBackupIsRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g, ctx := w.g, t.Context()
	w.create(ctx, newBackup(func(b *velerov1.Backup) {
		b.Spec.StorageLocation = "nowhere"
		b.Spec.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "not valid"}}
	}))

	b := w.steps(ctx, 1)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseFailedValidation))
	g.Expect(b.Status.ValidationErrors).To(ConsistOf(ContainSubstring("spec.labelSelector"), ContainSubstring("spec.storageLocation")))
}
