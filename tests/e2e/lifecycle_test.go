package e2e

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/repositories"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
	"github.com/podkeep/podkeep/tests/suite"
)

// bucketDir is a folder of the default location, as the gateway keeps it.
func bucketDir(c *suite.Cluster, elements ...string) string {
	return filepath.Join(append([]string{c.StateDir, "s3", suite.S3Bucket}, elements...)...)
}

// bytesIn is the size of all files below dir; 0 when there is none.
func bytesIn(t *testing.T, dir string) (total int64) {
	t.Helper()
	NewWithT(t).Expect(filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})).To(Succeed())
	return total
}

// repositoryOf is how this machine opens the repository of a namespace.
func repositoryOf(t *testing.T, c *suite.Cluster, ns string) wire.Repository {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	NewWithT(t).Expect(os.WriteFile(password, []byte(c.RepositoryPassword(t)), 0o600)).To(Succeed())
	return wire.Repository{
		Location: location.Location{
			Name: "default", Provider: location.ProviderAWS, Bucket: suite.S3Bucket, CredentialsFile: suite.CredentialsFile(t),
			Config: map[string]string{"region": "us-east-1", "s3ForcePathStyle": "true", "s3Url": suite.S3URL},
		},
		Namespace: ns, PasswordFile: password, CacheDir: t.TempDir(),
	}
}

func snapshotsIn(t *testing.T, c *suite.Cluster, ns string) []string {
	t.Helper()
	g := NewWithT(t)
	opened, err := repository.Open(t.Context(), repositoryOf(t, c, ns), repository.ForReading)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(opened.Close(context.WithoutCancel(t.Context()))).To(Succeed()) }()
	ids, err := snapshot.ListSnapshotManifests(t.Context(), opened, nil, nil)
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, id := range ids {
		names = append(names, string(id))
	}
	return names
}

// snapshotIDs are those of a backup's volumes.
func snapshotIDs(t *testing.T, c *suite.Cluster, b *velerov1.Backup) []string {
	t.Helper()
	var ids []string
	for _, v := range c.VolumeBackups(t, b) {
		ids = append(ids, v.Status.SnapshotID)
	}
	return ids
}

func newDeletion(b *velerov1.Backup) *velerov1.DeleteBackupRequest {
	return &velerov1.DeleteBackupRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: b.Name + "-" + rand.String(4)},
		Spec:       velerov1.DeleteBackupRequestSpec{BackupName: b.Name},
	}
}

// expectGone waits until an object is gone.
func expectGone(t *testing.T, c *suite.Cluster, obj client.Object) {
	t.Helper()
	NewWithT(t).Eventually(func(g Gomega) {
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj)
		g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%s: %v %+v", obj.GetName(), err, obj)
	}, suite.Long, "200ms").Should(Succeed())
}

// smallApp is a namespace with a pod that has one file of random bytes.
func smallApp(t *testing.T, c *suite.Cluster, prefix string, seed uint64, size int) string {
	t.Helper()
	ns := c.NewNamespace(t, prefix)
	c.Apply(t, suite.Pod(ns, "app"))
	dir := c.EmptyDir(c.RunningPods(t, ns, "app", 1)[0], "data")
	NewWithT(t).Expect(os.WriteFile(filepath.Join(dir, "random"), suite.Random(seed, size), 0o600)).To(Succeed())
	return ns
}

func TestDeletionRemovesOneBackupWithAllItsData(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	s := newShop(t, c)
	first, second := c.RunBackup(t, suite.NewBackup(s.namespace)), c.RunBackup(t, suite.NewBackup(s.namespace))
	g.Expect(first.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	gone, kept := snapshotIDs(t, c, first), snapshotIDs(t, c, second)
	target := s.namespace + "-first"
	c.CleanNamespace(t, target)
	r := c.RunRestore(t, suite.NewRestore(first, target))
	g.Expect(bytesIn(t, bucketDir(c, "restores", r.Name))).To(BeNumerically(">", 0))
	volumes := c.VolumeBackups(t, first)
	request := newDeletion(first)

	c.Apply(t, request)

	expectGone(t, c, first)
	expectGone(t, c, request)
	expectGone(t, c, r)
	for _, v := range volumes {
		expectGone(t, c, &v)
	}
	g.Expect(bytesIn(t, bucketDir(c, "backups", first.Name))).To(BeZero())
	g.Expect(bytesIn(t, bucketDir(c, "restores", r.Name))).To(BeZero())
	left := snapshotsIn(t, c, s.namespace)
	g.Expect(left).NotTo(ContainElements(gone))
	g.Expect(left).To(ContainElements(kept))

	copied := s.namespace + "-second"
	c.CleanNamespace(t, copied)
	g.Expect(c.RunRestore(t, suite.NewRestore(second, copied)).Status.Phase).To(Equal(velerov1.RestorePhaseCompleted))
	s.expectRestored(t, c, copied)
}

func TestDeletionOfARunningBackupStopsIt(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := smallApp(t, c, "stop", 6, 400<<20)
	b := suite.NewBackup(ns)
	c.Apply(t, b)
	var volume velerov1.PodVolumeBackup
	g.Eventually(func(g Gomega) {
		volume = c.VolumeBackups(t, b)[ns+"/app/data"]
		g.Expect(volume.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseInProgress))
	}, suite.Long, "50ms").Should(Succeed())
	request := newDeletion(b)

	c.Apply(t, request)

	expectGone(t, c, b)
	expectGone(t, c, request)
	expectGone(t, c, &volume)
	expectGone(t, c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: volume.Name}})
	g.Expect(bytesIn(t, bucketDir(c, "backups", b.Name))).To(BeZero())
}

func TestExpirationRemovesABackup(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := smallApp(t, c, "expire", 7, 1000)
	b := suite.NewBackup(ns)
	b.Spec.TTL.Duration = 12 * time.Second
	c.RunBackup(t, b)
	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	g.Expect(bytesIn(t, bucketDir(c, "backups", b.Name))).To(BeNumerically(">", 0))
	expires := b.Status.Expiration.Time

	expectGone(t, c, b)

	g.Expect(time.Now()).To(BeTemporally(">=", expires))
	g.Expect(bytesIn(t, bucketDir(c, "backups", b.Name))).To(BeZero())
	g.Expect(snapshotsIn(t, c, ns)).To(BeEmpty())
}

func TestScheduleMakesBackupsUntilItIsPaused(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	ns := c.NewNamespace(t, "scheduled")
	c.Apply(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "settings"}})
	s := &velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, Name: ns},
		Spec: velerov1.ScheduleSpec{
			Schedule: "@every 3s",
			Template: velerov1.BackupSpec{
				Metadata:           velerov1.Metadata{Labels: map[string]string{"from": "template"}},
				IncludedNamespaces: []string{ns},
			},
		},
	}
	c.Apply(t, s)
	t.Cleanup(func() { removeSchedule(t, c, s) })
	made := func() []velerov1.Backup {
		list := &velerov1.BackupList{}
		g.Expect(c.Client.List(context.WithoutCancel(t.Context()), list, client.MatchingLabels{velerov1.ScheduleNameLabel: s.Name})).To(Succeed())
		return list.Items
	}

	g.Eventually(func() int { return len(made()) }, suite.Long, "200ms").Should(BeNumerically(">=", 3))
	g.Expect(c.Client.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"paused":true}}`)))).To(Succeed())

	for _, b := range made() {
		g.Expect(b.Name).To(HavePrefix(s.Name + "-2"))
		g.Expect(b.Labels).To(HaveKeyWithValue("from", "template"))
		c.FinishedBackup(t, &b)
		g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	}
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(s), s)).To(Succeed())
		g.Expect(s.Status.Phase).To(Equal(velerov1.SchedulePhaseEnabled))
		g.Expect(s.Status.Conditions[0].Reason).To(Equal(velerov1.ReasonPaused))
	}, suite.Short).Should(Succeed())
	count := len(made())
	g.Consistently(func() int { return len(made()) }, "7s", "500ms").Should(Equal(count))

	t.Run("a bad expression is told", func(t *testing.T) {
		g := NewWithT(t)
		err := c.Client.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"schedule":"sometimes"}}`)))
		g.Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
		g.Expect(err).To(MatchError(ContainSubstring(`spec.schedule: Invalid value: "sometimes"`)))
	})
}

// removeSchedule removes a schedule and requests the removal of its backups.
func removeSchedule(t *testing.T, c *suite.Cluster, s *velerov1.Schedule) {
	t.Helper()
	c.Remove(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), suite.Short)
	defer cancel()
	list := &velerov1.BackupList{}
	g := NewWithT(t)
	g.Expect(c.Client.List(ctx, list, client.MatchingLabels{velerov1.ScheduleNameLabel: s.Name})).To(Succeed())
	for i := range list.Items {
		g.Expect(c.Client.Create(ctx, newDeletion(&list.Items[i]))).To(Succeed())
	}
}

// setFrequency sets how often a repository is maintained.
func setFrequency(t *testing.T, c *suite.Cluster, r *velerov1.BackupRepository, frequency string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"maintenanceFrequency":"`+frequency+`"}}`))
	NewWithT(t).Expect(c.Client.Patch(context.WithoutCancel(t.Context()), r, patch)).To(Succeed())
}

// reclaim frees space as an administrator does who has made sure that nobody else
// uses the repository.
func reclaim(t *testing.T, c *suite.Cluster, ns string) {
	t.Helper()
	g := NewWithT(t)
	opened, err := repository.Open(t.Context(), repositoryOf(t, c, ns), repository.ForWriting)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(opened.Close(context.WithoutCancel(t.Context()))).To(Succeed()) }()
	g.Expect(repo.DirectWriteSession(t.Context(), opened.Repository.(repo.DirectRepository), repo.WriteSessionOptions{},
		func(ctx context.Context, w repo.DirectRepositoryWriter) error {
			return snapshotmaintenance.Run(ctx, w, maintenance.ModeFull, false, maintenance.SafetyNone)
		})).To(Succeed())
}

// hasToken reports whether a pod can talk to the API server.
func hasToken(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.ServiceAccountToken != nil })
	})
}

func TestMaintenanceRunsAndDeletedDataCanBeFreed(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	const size = 30 << 20
	ns := smallApp(t, c, "maintained", 8, size)
	first := c.RunBackup(t, suite.NewBackup(ns))
	g.Expect(first.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	r := repositories.New(suite.Namespace, ns, "default")
	jobs := func() []batchv1.Job {
		list := &batchv1.JobList{}
		g.Expect(c.Client.List(t.Context(), list, client.InNamespace(suite.Namespace), client.MatchingLabels{velerov1.RepositoryNameLabel: r.Name})).To(Succeed())
		return list.Items
	}

	setFrequency(t, c, r, "1s")
	t.Cleanup(func() { setFrequency(t, c, r, "24h") })
	g.Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)).To(Succeed())
		g.Expect(r.Status.RecentMaintenance).NotTo(BeEmpty())
	}, suite.Long, "200ms").Should(Succeed(), func() string { return r.Status.Message })
	g.Expect(r.Status.RecentMaintenance[0].Result).To(Equal(velerov1.BackupRepositoryMaintenanceSucceeded), "%+v", r.Status.RecentMaintenance)
	g.Expect(r.Status.LastMaintenanceTime.Time).To(BeTemporally(">", r.CreationTimestamp.Time))
	g.Expect(jobs()).NotTo(BeEmpty())
	pods := &corev1.PodList{}
	g.Expect(c.Client.List(t.Context(), pods, client.InNamespace(suite.Namespace), client.MatchingLabels{velerov1.RepositoryNameLabel: r.Name})).To(Succeed())
	for _, p := range pods.Items {
		g.Expect(hasToken(&p)).To(BeFalse())
	}

	second := c.RunBackup(t, suite.NewBackup(ns)) // while maintenance goes on
	g.Expect(second.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
	setFrequency(t, c, r, "24h")
	g.Eventually(func() bool {
		for _, j := range jobs() {
			if j.Status.Active > 0 {
				return false
			}
		}
		return true
	}, suite.Long, "200ms").Should(BeTrue())
	g.Expect(len(jobs())).To(BeNumerically("<=", 3), "old ones are removed")

	for _, b := range []*velerov1.Backup{first, second} {
		c.Apply(t, newDeletion(b))
		expectGone(t, c, b)
	}
	g.Expect(snapshotsIn(t, c, ns)).To(BeEmpty())
	g.Expect(bytesIn(t, bucketDir(c, "kopia", ns))).To(BeNumerically(">", size), "safe maintenance takes days")
	reclaim(t, c, ns)
	reclaim(t, c, ns)
	g.Expect(bytesIn(t, bucketDir(c, "kopia", ns))).To(BeNumerically("<", size/10))
}
