package sync

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func expires(at time.Time) backupMod {
	return func(b *velerov1.Backup) { b.Status.Expiration = &metav1.Time{Time: at} }
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stored *velerov1.Backup
		want   bool
		hear   bool
	}{
		"a completed one":                       {backup(), true, false},
		"a partially failed one":                {backup(inPhase("PartiallyFailed")), true, false},
		"a failed one":                          {backup(inPhase("Failed")), true, false},
		"one that is being finished elsewhere":  {backup(inPhase("Finalizing"), expires(t0.Add(time.Hour))), false, false},
		"one that waits elsewhere":              {backup(inPhase("WaitingForPluginOperations")), false, false},
		"one that was never finished":           {backup(inPhase("FinalizingPartiallyFailed"), expires(t0.Add(-time.Hour))), true, false},
		"one that would be begun here":          {backup(inPhase("")), false, true},
		"one that would be continued here":      {backup(inPhase("InProgress"), expires(t0.Add(-time.Hour))), false, true},
		"one that would be deleted here":        {backup(inPhase("Deleting")), false, false},
		"one in a phase that does not exist":    {backup(inPhase("Perfect")), false, true},
		"one of another name than its folder's": {backup(named("weekly")), false, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := admit(tc.stored, "nightly", t0)

			g.Expect(got.ok).To(Equal(tc.want))
			g.Expect(got.visible).To(Equal(tc.hear))
			g.Expect(got.why == "").To(Equal(tc.want))
		})
	}
}

func TestLocalBackup(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	stored := backup(inLocation("theirs"), inPhase("Finalizing"), func(b *velerov1.Backup) {
		b.Namespace, b.UID, b.ResourceVersion, b.GenerateName, b.Generation = "elsewhere", "theirs", "7", "x-", 3
		b.CreationTimestamp, b.DeletionTimestamp = metav1.Time{Time: t0}, &metav1.Time{Time: t0}
		b.Finalizers, b.ManagedFields = []string{"f"}, []metav1.ManagedFieldsEntry{{}}
		b.Labels["team"], b.Labels[velerov1.GCFailureLabel] = "a", "BSLNotFound"
		b.Annotations = map[string]string{"note": "b", velerov1.CancelRequestedByAnnotation: "me"}
		b.Status.QueuePosition = 4
		owner := func(apiVersion, kind, name, uid string) metav1.OwnerReference {
			return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: types.UID(uid)}
		}
		b.OwnerReferences = []metav1.OwnerReference{
			owner("velero.io/v1", "Schedule", "here", "s1"), owner("velero.io/v1", "Schedule", "other-uid", "s2"),
			owner("velero.io/v1", "Schedule", "gone", "s3"), owner("v1", "ConfigMap", "here", "s1"), owner("velero.io/v1", "Schedule", "gone", ""),
		}
	})

	got := localBackup(stored, target{namespace: "velero", location: "default", schedules: map[string]types.UID{"here": "s1", "other-uid": "x"}})

	g.Expect(got.ObjectMeta).To(Equal(metav1.ObjectMeta{
		Namespace: "velero", Name: "nightly",
		Labels:      map[string]string{"team": "a", velerov1.StorageLocationLabel: "default"},
		Annotations: map[string]string{"note": "b", velerov1.SyncingAnnotation: "true"},
		OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "velero.io/v1", Kind: "Schedule", Name: "here", UID: "s1"},
		},
	}))
	g.Expect(got.Spec.StorageLocation).To(Equal("default"))
	g.Expect(got.Status.Phase).To(Equal(velerov1.BackupPhasePartiallyFailed))
	g.Expect(got.Status.QueuePosition).To(BeZero())
	g.Expect(stored.Namespace).To(Equal("elsewhere"), "the argument is not changed")
}

type volumeMod func(*velerov1.PodVolumeBackup)

// volume is a stored PodVolumeBackup.
func volume(mods ...volumeMod) *velerov1.PodVolumeBackup {
	v := &velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly-abcde", Labels: map[string]string{velerov1.BackupNameLabel: "nightly"}},
		Spec: velerov1.PodVolumeBackupSpec{
			Node: "gone", Pod: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "db-0"}, Volume: "data",
			BackupStorageLocation: "theirs", UploaderType: "kopia",
		},
		Status: velerov1.PodVolumeBackupStatus{Phase: velerov1.PodVolumeBackupPhaseCompleted, SnapshotID: "s"},
	}
	for _, m := range mods {
		m(v)
	}
	return v
}

func TestLocalVolume(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	stored := volume(func(v *velerov1.PodVolumeBackup) {
		v.UID, v.ResourceVersion, v.Namespace, v.GenerateName = "theirs", "1", "elsewhere", "nightly-"
		v.Finalizers = []string{velerov1.PodVolumeFinalizer}
		v.Labels = map[string]string{velerov1.BackupNameLabel: "somebody-elses", velerov1.BackupUIDLabel: "theirs", velerov1.PVCUIDLabel: "pvc", velerov1.ExposeOnGoingLabel: "true"}
		v.Annotations = map[string]string{velerov1.PVCNameAnnotation: "data-db-0", velerov1.MoversAnnotation: "x"}
		v.OwnerReferences = []metav1.OwnerReference{{APIVersion: "velero.io/v1", Kind: "Backup", Name: "nightly", UID: "theirs"}}
		v.Spec.Cancel = true
	})

	got := localVolume(stored, backup(), target{namespace: "velero", location: "default"})

	g.Expect(got.ObjectMeta).To(Equal(metav1.ObjectMeta{
		Namespace: "velero", Name: "nightly-abcde",
		Labels:          map[string]string{velerov1.BackupNameLabel: "nightly", velerov1.BackupUIDLabel: "here", velerov1.PVCUIDLabel: "pvc"},
		Annotations:     map[string]string{velerov1.PVCNameAnnotation: "data-db-0"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "velero.io/v1", Kind: "Backup", Name: "nightly", UID: "here", Controller: ptr.To(true)}},
	}))
	g.Expect(got.Spec.BackupStorageLocation).To(Equal("default"))
	g.Expect(got.Spec.Cancel).To(BeFalse())
	g.Expect(got.Status).To(Equal(stored.Status))
}

// A node agent acts on what is not finished.
func TestLocalVolumeIsFinished(t *testing.T) {
	t.Parallel()
	for _, p := range []velerov1.PodVolumeBackupPhase{"", "New", "Accepted", "Prepared", "InProgress", "Canceling", "Perfect", "Completed", "Failed", "Canceled"} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			stored := volume(func(v *velerov1.PodVolumeBackup) { v.Status.Phase = p })

			got := localVolume(stored, backup(), target{namespace: "velero", location: "default"})

			g.Expect(got.IsFinished()).To(BeTrue())
			g.Expect(got.Status.SnapshotID).To(Equal("s"), "it can still be restored")
			if !stored.IsFinished() {
				g.Expect(got.Status.Phase).To(Equal(velerov1.PodVolumeBackupPhaseFailed))
				g.Expect(got.Status.Message).To(ContainSubstring("not finished"))
			}
		})
	}
}

func TestValidateVolume(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mod  volumeMod
		want string
	}{
		"a good one":                          {func(*velerov1.PodVolumeBackup) {}, ""},
		"one without a snapshot":              {func(v *velerov1.PodVolumeBackup) { v.Status.SnapshotID = "" }, ""},
		"a namespace that leads out":          {func(v *velerov1.PodVolumeBackup) { v.Spec.Pod.Namespace = "../other" }, "spec.pod.namespace"},
		"no namespace":                        {func(v *velerov1.PodVolumeBackup) { v.Spec.Pod.Namespace = "" }, "spec.pod.namespace"},
		"no pod":                              {func(v *velerov1.PodVolumeBackup) { v.Spec.Pod.Name = "" }, "spec.pod.name"},
		"a volume that leads out":             {func(v *velerov1.PodVolumeBackup) { v.Spec.Volume = "a/b" }, "spec.volume"},
		"a name that no object can have":      {func(v *velerov1.PodVolumeBackup) { v.Name = "A" }, "metadata.name"},
		"a long text is not repeated in full": {func(v *velerov1.PodVolumeBackup) { v.Name = strings.Repeat("A", 10_000) }, "metadata.name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := validateVolume(volume(tc.mod))

			g.Expect(got == "").To(Equal(tc.want == ""))
			g.Expect(got).To(ContainSubstring(tc.want))
			g.Expect(len(got)).To(BeNumerically("<", 200))
		})
	}
}
