package sync

import (
	"errors"
	"maps"
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
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/tests/suite"
)

// TestSync tells stories of one location on an API server.
func TestSync(t *testing.T) {
	t.Parallel()
	config := apiServer(t)
	for name, story := range map[string]func(*testing.T, *cluster){
		"backups of real Velero come with their volumes":      fixtureComes,
		"what is synced stays as it is":                       nothingChanges,
		"one bad backup does not hold up the others":          badOnesAreNamed,
		"a backup that is gone from the bucket goes":          goneGoes,
		"an empty bucket takes nothing away until people say": emptyIsHeld,
		"another bucket takes nothing away":                   anotherPlaceIsHeld,
		"a listing that fails takes nothing away":             failedListing,
		"a sync that dies half way is completed":              halfWay,
		"a backup that is being deleted does not come back":   deletedMeanwhile,
		"a name is one location's":                            namesAreGlobal,
		"a volume is never to be done here":                   volumesAreFinished,
		"a schedule keeps its backups":                        schedulesOwn,
		"volumes of an earlier import are adopted":            volumesAreAdopted,
		"volumes that cannot be read are not forgotten":       unreadableVolumes,
		"bad backups are read once, until they change":        badOnesAreReadOnce,
		"files of a backup that never was are removed":        interimGoes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, newCluster(t, config))
		})
	}
}

func fixtureComes(t *testing.T, c *cluster) {
	t.Helper()
	suite.UnpackFixtureBucket(t, c.bucket.dir)

	condition := c.sync(t)

	c.Expect(condition.Status).To(Equal(metav1.ConditionTrue), condition.Message)
	c.Expect(c.told()).To(ContainSubstring("shop-1, shop-2"))
	backups, volumes := c.backups(t), c.volumes(t)
	c.Expect(slices.Sorted(maps.Keys(backups))).To(Equal([]string{"shop-1", "shop-2"}))
	for _, b := range backups {
		c.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted))
		c.Expect(b.Status.Progress.ItemsBackedUp).To(Equal(29))
		c.Expect(b.Spec.StorageLocation).To(Equal("default"))
		c.Expect(b.Annotations).NotTo(HaveKey(velerov1.SyncingAnnotation))
	}
	c.Expect(volumes).To(HaveLen(6))
	for _, v := range volumes {
		c.Expect(v.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseCompleted))
		c.Expect(v.Status.SnapshotID).To(HaveLen(32))
		c.Expect(v.Finalizers).To(BeEmpty())
		b := backups[v.Labels[velerov1.BackupNameLabel]]
		c.Expect(v.Labels).To(HaveKeyWithValue(velerov1.BackupUIDLabel, string(b.UID)))
		c.Expect(metav1.IsControlledBy(&v, &b)).To(BeTrue())
	}
	c.Expect(volumes["shop-1-5mvcd"].Annotations).To(HaveKeyWithValue(velerov1.PVCNameAnnotation, "data-db-0"))
	c.Expect(c.location(t).Status.LastSyncedTime.Time).To(BeTemporally("~", c.clock.Now(), 2e9))
}

func nothingChanges(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup(), volume())
	c.sync(t)
	backups, volumes := c.backups(t), c.volumes(t)
	c.Expect(backups).To(HaveLen(1))
	c.Expect(volumes).To(HaveLen(1))
	c.told()

	c.sync(t)

	c.Expect(c.backups(t)).To(Equal(backups))
	c.Expect(c.volumes(t)).To(Equal(volumes))
	c.Expect(c.told()).To(Equal("[]"))
}

func badOnesAreNamed(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup(named("a-good")), volume())
	c.store(t, backup(named("z-good")))
	c.put(t, layout.BackupMetadata("broken"), `{"apiVersion":"velero.io/v1",`)
	c.put(t, layout.BackupMetadata("mistyped"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"mistyped"},"spec":{"includedNamespaces":{"a":1}}}`)
	c.put(t, layout.BackupMetadata("huge"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"`+strings.Repeat("x", 6<<20)+`"}}`)
	c.put(t, layout.BackupMetadata("large"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"large"},"spec":{"storageLocation":"x"},`+
		`"status":{"phase":"Completed","validationErrors":["`+strings.Repeat("x", 900_000)+`","`+strings.Repeat("y", 900_000)+`"]}}`)
	c.store(t, backup(named("renamed")))
	c.put(t, layout.BackupMetadata("folder"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"renamed"},"status":{"phase":"Completed"}}`)
	c.put(t, layout.BackupMetadata("mislabeled"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"mislabeled","labels":{"a":"b c/d"}},"status":{"phase":"Completed"}}`)
	c.put(t, layout.BackupMetadata("running"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"running"},"status":{"phase":"InProgress"}}`)
	c.put(t, layout.BackupMetadata("finalizing"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"finalizing"},"status":{"phase":"Finalizing"}}`)
	c.put(t, layout.BackupContents("no-metadata"), "x")

	condition := c.sync(t)

	c.Expect(slices.Sorted(maps.Keys(c.backups(t)))).To(Equal([]string{"a-good", "renamed", "z-good"}))
	c.Expect(c.volumes(t)).To(HaveLen(1))
	c.Expect(condition.Status).To(Equal(metav1.ConditionFalse))
	c.Expect(condition.Reason).To(Equal(velerov1.ReasonBackupsSkipped))
	for _, bad := range []string{"broken: ", "folder: its folder holds a Backup with the name \"renamed\"", "huge: ", "large: its Backup has more than", "mislabeled: the API server refuses", "and 2 more"} {
		c.Expect(condition.Message).To(ContainSubstring(bad))
	}
	c.Expect(c.told()).To(And(ContainSubstring("BackupsSkipped"), ContainSubstring("broken: ")))
	c.Expect(c.location(t).Status.LastSyncedTime).NotTo(BeNil())

	c.sync(t)
	c.Expect(c.told()).To(Equal("[]"), "the same is not told again")
	for _, name := range []string{"broken", "mistyped", "huge", "large", "folder", "mislabeled", "running"} {
		c.erase(t, name)
	}
	c.Expect(c.sync(t).Status).To(Equal(metav1.ConditionTrue))
}

func goneGoes(t *testing.T, c *cluster) {
	t.Helper()
	for _, name := range []string{"gone", "stays"} {
		c.store(t, backup(named(name)))
	}
	c.store(t, backup(named("failed"), inPhase(velerov1.BackupPhaseFailed)))
	c.sync(t)
	c.Expect(c.backups(t)).To(HaveLen(3))
	running := backup(named("running"), inPhase(velerov1.BackupPhaseInProgress))
	running.Namespace = c.reconciler.Namespace
	running.UID = ""
	c.Expect(c.client.Create(t.Context(), running)).To(Succeed())
	c.erase(t, "gone")
	c.erase(t, "failed")
	c.told()

	condition := c.sync(t)

	c.Expect(condition.Status).To(Equal(metav1.ConditionTrue), condition.Message)
	c.Expect(slices.Sorted(maps.Keys(c.backups(t)))).To(Equal([]string{"failed", "running", "stays"}))
	c.Expect(c.told()).To(And(ContainSubstring("BackupsRemoved"), ContainSubstring("gone")))
}

func emptyIsHeld(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup())
	c.sync(t)
	c.erase(t, "nightly")

	condition := c.sync(t)

	c.Expect(c.backups(t)).To(HaveKey("nightly"))
	c.Expect(condition.Reason).To(Equal(velerov1.ReasonRemovalHeld))
	c.Expect(condition.Message).To(ContainSubstring("completely empty"))
	c.sync(t)
	c.Expect(c.backups(t)).To(HaveKey("nightly"), "also later")

	l := c.location(t)
	l.Annotations[velerov1.SyncedFromAnnotation] = velerov1.SyncedFromHere
	c.Expect(c.client.Update(t.Context(), l)).To(Succeed())
	c.Expect(c.sync(t).Status).To(Equal(metav1.ConditionTrue))
	c.Expect(c.backups(t)).To(BeEmpty())
}

func anotherPlaceIsHeld(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup())
	c.sync(t)
	l := c.location(t)
	l.Spec.ObjectStorage.Prefix = "another"
	c.Expect(c.client.Update(t.Context(), l)).To(Succeed())
	c.erase(t, "nightly")
	c.store(t, backup(named("weekly")))

	condition := c.sync(t)

	c.Expect(slices.Sorted(maps.Keys(c.backups(t)))).To(Equal([]string{"nightly", "weekly"}))
	c.Expect(condition.Reason).To(Equal(velerov1.ReasonRemovalHeld))
	c.Expect(condition.Message).To(And(ContainSubstring("nightly"), ContainSubstring("another place")))

	c.store(t, backup())
	c.Expect(c.sync(t).Status).To(Equal(metav1.ConditionTrue), "everything is there again")
	c.erase(t, "nightly")
	c.Expect(c.sync(t).Status).To(Equal(metav1.ConditionTrue))
	c.Expect(c.backups(t)).NotTo(HaveKey("nightly"), "the new place is known now")
}

func failedListing(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup())
	c.sync(t)
	before := c.location(t).Status.LastSyncedTime
	c.erase(t, "nightly")
	c.bucket.listErr = errors.Join(objectstore.ErrUnavailable, errors.New("no answer"))

	condition, err := c.trySync(t, "default")

	c.Expect(err).To(MatchError(objectstore.ErrUnavailable))
	c.Expect(condition.Status).To(Equal(metav1.ConditionFalse))
	c.Expect(condition.Reason).To(Equal(velerov1.ReasonStorageUnavailable))
	c.Expect(c.backups(t)).To(HaveKey("nightly"))
	c.Expect(c.location(t).Status.LastSyncedTime).To(Equal(before))
}

func halfWay(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup(), volume(), volume(func(v *velerov1.PodVolumeBackup) { v.Name, v.Spec.Volume = "nightly-second", "cache" }))
	c.beforeCreate = func(o client.Object) error {
		if o.GetName() == "nightly-second" {
			return errors.New("the server died")
		}
		return nil
	}
	_, err := c.trySync(t, "default")
	c.Expect(err).To(MatchError(ContainSubstring("the server died")))
	c.Expect(c.backups(t)).To(HaveKey("nightly"))
	c.Expect(c.volumes(t)).To(HaveLen(1))
	c.beforeCreate = nil

	condition := c.sync(t)

	c.Expect(condition.Status).To(Equal(metav1.ConditionTrue), condition.Message)
	c.Expect(c.volumes(t)).To(HaveLen(2))
	c.Expect(c.backups(t)["nightly"].Annotations).NotTo(HaveKey(velerov1.SyncingAnnotation))
}

func deletedMeanwhile(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup(named("stays")))
	c.store(t, backup(), volume())
	request := &velerov1.DeleteBackupRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.reconciler.Namespace, Name: "r"}, Spec: velerov1.DeleteBackupRequestSpec{BackupName: "nightly"},
	}
	c.Expect(c.client.Create(t.Context(), request)).To(Succeed())
	c.sync(t)
	c.Expect(c.backups(t)).NotTo(HaveKey("nightly"), "somebody asks for its deletion")

	c.Expect(c.client.Delete(t.Context(), request)).To(Succeed())
	c.bucket.afterGet = func(key string) {
		if key == layout.BackupPodVolumeBackups("nightly") {
			c.erase(t, "nightly")
		}
	}
	c.sync(t)
	c.Expect(slices.Sorted(maps.Keys(c.backups(t)))).To(Equal([]string{"stays"}), "it was deleted while it was read")
	c.Expect(c.volumes(t)).To(BeEmpty())
}

func namesAreGlobal(t *testing.T, c *cluster) {
	t.Helper()
	c.addLocation(t, "other")
	c.store(t, backup())
	c.sync(t)

	condition, err := c.trySync(t, "other") // it has the same folder

	c.Expect(err).NotTo(HaveOccurred())
	c.Expect(condition.Reason).To(Equal(velerov1.ReasonBackupsSkipped))
	c.Expect(condition.Message).To(ContainSubstring("nightly: the Backup of this name in the cluster is that of location default"))
	c.Expect(c.backups(t)["nightly"].Spec.StorageLocation).To(Equal("default"))
}

func volumesAreFinished(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup(),
		volume(func(v *velerov1.PodVolumeBackup) {
			v.Finalizers, v.Status.Phase = []string{velerov1.PodVolumeFinalizer}, velerov1.PodVolumeBackupPhaseInProgress
		}),
		volume(func(v *velerov1.PodVolumeBackup) { v.Name, v.GenerateName = "", "nightly-" }),
		volume(func(v *velerov1.PodVolumeBackup) { v.Name, v.Spec.Pod.Namespace = "nightly-evil", "../kube-system" }),
	)

	condition := c.sync(t)

	c.Expect(condition.Message).To(ContainSubstring("spec.pod.namespace"))
	volumes := c.volumes(t)
	c.Expect(slices.Collect(maps.Keys(volumes))).To(Equal([]string{"nightly-abcde"}))
	v := volumes["nightly-abcde"]
	c.Expect(v.IsFinished()).To(BeTrue())
	c.Expect(c.client.Delete(t.Context(), &v)).To(Succeed())
	c.Expect(c.volumes(t)).To(BeEmpty(), "no finalizer keeps it")
}

func schedulesOwn(t *testing.T, c *cluster) {
	t.Helper()
	s := &velerov1.Schedule{ObjectMeta: metav1.ObjectMeta{Namespace: c.reconciler.Namespace, Name: "daily"}, Spec: velerov1.ScheduleSpec{Schedule: "@daily"}}
	c.Expect(c.client.Create(t.Context(), s)).To(Succeed())
	owned := func(name, uid string) backupMod {
		return func(b *velerov1.Backup) {
			b.Name = name
			b.OwnerReferences = []metav1.OwnerReference{{APIVersion: "velero.io/v1", Kind: "Schedule", Name: "daily"}}
			b.OwnerReferences[0].UID = s.UID
			if uid != "" {
				b.OwnerReferences[0].UID = "of-another-cluster"
			}
		}
	}
	c.store(t, backup(owned("ours", "")))
	c.store(t, backup(owned("theirs", "x")))

	c.sync(t)

	c.Expect(c.backups(t)["ours"].OwnerReferences).To(HaveLen(1))
	c.Expect(c.backups(t)["theirs"].OwnerReferences).To(BeEmpty())
}

func volumesAreAdopted(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup(), volume(), volume(func(v *velerov1.PodVolumeBackup) { v.Name, v.Spec.Volume = "taken", "cache" }))
	orphan := volume(func(v *velerov1.PodVolumeBackup) {
		v.Namespace, v.Spec.BackupStorageLocation = c.reconciler.Namespace, "default"
		v.OwnerReferences = []metav1.OwnerReference{{APIVersion: "velero.io/v1", Kind: "Backup", Name: "nightly", UID: "before"}}
	})
	taken := volume(func(v *velerov1.PodVolumeBackup) {
		v.Namespace, v.Name, v.Spec.Volume, v.Spec.Pod = c.reconciler.Namespace, "taken", "cache", corev1.ObjectReference{Namespace: "other", Name: "x"}
		v.Labels = map[string]string{velerov1.BackupNameLabel: "weekly"}
	})
	c.Expect(c.client.Create(t.Context(), orphan)).To(Succeed())
	c.Expect(c.client.Create(t.Context(), taken)).To(Succeed())

	condition := c.sync(t)

	b := c.backups(t)["nightly"]
	adopted, left := c.volumes(t)["nightly-abcde"], c.volumes(t)["taken"]
	c.Expect(metav1.IsControlledBy(&adopted, &b)).To(BeTrue())
	c.Expect(adopted.Labels).To(HaveKeyWithValue(velerov1.BackupUIDLabel, string(b.UID)))
	c.Expect(left.OwnerReferences).To(BeEmpty())
	c.Expect(condition.Message).To(ContainSubstring(`PodVolumeBackup taken is taken by one of backup "weekly"`))
}

func unreadableVolumes(t *testing.T, c *cluster) {
	t.Helper()
	c.store(t, backup())
	c.put(t, layout.BackupPodVolumeBackups("nightly"), "no gzip")

	condition := c.sync(t)

	c.Expect(c.backups(t)).To(HaveKey("nightly"), "its items can be restored")
	c.Expect(condition.Message).To(ContainSubstring("nightly: reading the list of its volumes"))
	c.Expect(c.sync(t).Message).To(Equal(condition.Message), "it is not forgotten")

	c.store(t, backup(), volume())
	c.Expect(c.sync(t).Status).To(Equal(metav1.ConditionTrue))
	c.Expect(c.volumes(t)).To(HaveLen(1))
}

func badOnesAreReadOnce(t *testing.T, c *cluster) {
	t.Helper()
	read := map[string]int{}
	c.bucket.afterGet = func(key string) { read[key]++ }
	broken, list := layout.BackupMetadata("broken"), layout.BackupPodVolumeBackups("half")
	c.put(t, broken, "{")
	c.put(t, layout.BackupMetadata("running"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"running"},"status":{"phase":"InProgress"}}`)
	c.put(t, layout.BackupMetadata("mislabeled"), `{"apiVersion":"velero.io/v1","kind":"Backup","metadata":{"name":"mislabeled","labels":{"a":"b c/d"}},"status":{"phase":"Completed"}}`)
	c.store(t, backup(named("half")), volume())
	c.put(t, list, "no gzip")
	first := c.sync(t)
	c.Expect(first.Status).To(Equal(metav1.ConditionFalse))

	second := c.sync(t) // half is in the cluster by now, and looked at again for its volumes
	c.sync(t)

	c.Expect(second.Message).To(Equal(first.Message), "they are told as long as they are there")
	c.Expect(read[broken]).To(Equal(1))
	c.Expect(read[layout.BackupMetadata("running")]).To(Equal(1))
	c.Expect(read[layout.BackupMetadata("mislabeled")]).To(Equal(1))
	c.Expect(read[list]).To(Equal(1))

	c.store(t, backup(named("broken")))
	c.store(t, backup(named("half")), volume())
	c.erase(t, "running")
	c.erase(t, "mislabeled")
	condition := c.sync(t)

	c.Expect(condition.Status).To(Equal(metav1.ConditionTrue), condition.Message)
	c.Expect(c.backups(t)).To(And(HaveKey("broken"), HaveKey("half")))
	c.Expect(c.volumes(t)).To(HaveLen(1))
	c.Expect(c.reconciler.unusable.known).NotTo(HaveKey(unusableKey{location: c.location(t).UID, backup: "running"}), "what is gone is forgotten")
}

func interimGoes(t *testing.T, c *cluster) {
	t.Helper()
	system := &corev1.Namespace{}
	c.Expect(client.IgnoreAlreadyExists(c.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem}}))).To(Succeed())
	c.Expect(c.client.Get(t.Context(), client.ObjectKey{Name: metav1.NamespaceSystem}, system)).To(Succeed())
	past, future := metav1.Time{Time: c.clock.Now().Add(-time.Hour)}, metav1.Time{Time: c.clock.Now().Add(time.Hour)}
	left := func(name string, mark layout.Interim) {
		var zipped strings.Builder
		c.Expect(layout.EncodeJSONGzip(&zipped, mark)).To(Succeed())
		c.put(t, layout.BackupInterim(name), zipped.String())
		c.put(t, layout.BackupContents(name), "x")
		c.put(t, layout.BackupLog(name), "x")
	}
	ours := string(system.UID)
	left("gone", layout.Interim{BackupUID: "u", Cluster: ours, Until: past})
	left("running-elsewhere", layout.Interim{BackupUID: "u", Cluster: "other", Until: past})
	left("young", layout.Interim{BackupUID: "u", Cluster: ours, Until: future})
	left("here", layout.Interim{BackupUID: "u", Cluster: ours, Until: past})
	here := backup(named("here"))
	here.Namespace, here.Spec.StorageLocation, here.Status.Phase = c.reconciler.Namespace, "default", velerov1.BackupPhaseFailed
	c.Expect(c.client.Create(t.Context(), here)).To(Succeed())
	c.put(t, layout.BackupContents("velero-half"), "x")

	c.sync(t)

	for name, want := range map[string]int{"gone": 0, "running-elsewhere": 3, "young": 3, "here": 3, "velero-half": 1} {
		keys, err := c.bucket.List(t.Context(), layout.BackupPrefix(name))
		c.Expect(err).NotTo(HaveOccurred())
		c.Expect(keys).To(HaveLen(want), name)
	}
	c.Expect(c.told()).To(ContainSubstring(velerov1.ReasonInterimFilesRemoved + " Files of backups that were deleted before they were complete are removed: gone"))
}
