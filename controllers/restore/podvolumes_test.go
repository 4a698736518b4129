package restore

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestDecideVolumes(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{Spec: corev1.PodSpec{Volumes: []corev1.Volume{
		{Name: "data"}, {Name: "logs"},
		{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}},
	}}}
	tests := map[string]struct {
		backups     []velerov1.PodVolumeBackup
		want        []string // volumes
		wantWarning string
		wantLoss    string
	}{
		"a pod without backups waits for nothing": {},
		"volumes are sorted":                      {backups: backups(backup("logs"), backup("data")), want: []string{"data", "logs"}},
		"a failed backup with a snapshot is used, with a warning": {
			backups: backups(backup("data", failedWith("some files"))), want: []string{"data"},
			wantWarning: "volume data is restored from a backup that is Failed: some files",
		},
		"a backup without snapshot is a loss": {
			backups:  backups(backup("data", failedWith("no node"), func(b *velerov1.PodVolumeBackup) { b.Status.SnapshotID = "" })),
			wantLoss: "volume data has no data in the backup (Failed), so the pod starts with it as it is: no node",
		},
		"the newest snapshot of a volume counts": {
			backups: backups(backup("data"), backup("data", func(b *velerov1.PodVolumeBackup) { b.Status.SnapshotID = "" })), want: []string{"data"},
		},
		"restic is a loss": {
			backups:  backups(backup("data", func(b *velerov1.PodVolumeBackup) { b.Spec.UploaderType = "restic" })),
			wantLoss: "volume data was written by restic",
		},
		"a volume that the pod does not have": {
			backups: backups(backup("gone")), wantWarning: "volume gone has a backup, but the pod has no such volume",
		},
		"a projected volume is written by Kubernetes": {
			backups: backups(backup("token")), wantWarning: "volume token is written by Kubernetes",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := decideVolumes(pod, tc.backups)

			g.Expect(got.names()).To(Equal(tc.want))
			g.Expect(strings.Join(got.warnings, "")).To(HavePrefix(tc.wantWarning))
			g.Expect(got.warnings == nil).To(Equal(tc.wantWarning == ""))
			g.Expect(strings.Join(got.losses, "")).To(HavePrefix(tc.wantLoss))
			g.Expect(got.losses == nil).To(Equal(tc.wantLoss == ""))
		})
	}
}

func TestMergeVolumes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	inCluster := backups(backup("data", named("cluster")))
	inBucket := backups(backup("data", named("bucket")), backup("logs", named("bucket")), backup("nameless", named("")))

	got := mergeVolumes(inCluster, inBucket)

	var names []string
	for _, b := range got {
		names = append(names, b.Name+" "+b.Spec.Volume)
	}
	g.Expect(names).To(Equal([]string{"cluster data", "bucket logs"}))
}

func TestNewVolumeRestore(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r := restore(func(r *velerov1.Restore) {
		r.Spec.UploaderConfig = &velerov1.UploaderConfigForRestore{WriteSparseFiles: ptr.To(true), ParallelFilesDownload: 4}
	})
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop-2", Name: "db-0", UID: "new-pod-uid"}}

	v := newVolumeRestore(volumeRestoreSource{
		restore: r, backup: backup("data"), location: "default", pod: pod, claim: "data-db-0", claimUID: "claim-uid",
	})

	got, err := yaml.Marshal(v)
	g.Expect(err).NotTo(HaveOccurred())
	const golden = "testdata/podvolumerestore.golden.yaml"
	if *update {
		g.Expect(os.WriteFile(golden, got, 0o644)).To(Succeed())
	}
	want, err := os.ReadFile(golden)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(string(want)))
}

func TestVolumeRestoreName(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	long := strings.Repeat("a", 253)

	g.Expect(volumeRestoreName("again", "u1", "data")).To(MatchRegexp(`^again-[0-9a-f]{10}$`))
	g.Expect(volumeRestoreName("again", "u1", "data")).To(Equal(volumeRestoreName("again", "u1", "data")), "it is made once")
	g.Expect(volumeRestoreName("again", "u1", "data")).NotTo(Equal(volumeRestoreName("again", "u2", "data")))
	g.Expect(volumeRestoreName(long, "u1", "data")).To(HaveLen(253))
}

func TestUploaderSettings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config *velerov1.UploaderConfigForRestore
		want   map[string]string
	}{
		"no config sets nothing":         {},
		"a config always says sparse":    {config: &velerov1.UploaderConfigForRestore{}, want: map[string]string{"WriteSparseFiles": "false"}},
		"parallelism is said when given": {config: &velerov1.UploaderConfigForRestore{ParallelFilesDownload: 2}, want: map[string]string{"WriteSparseFiles": "false", "ParallelFilesDownload": "2"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			NewWithT(t).Expect(uploaderSettings(tc.config)).To(Equal(tc.want))
		})
	}
}

func TestVolumeError(t *testing.T) {
	t.Parallel()
	const stays = "; pod shop/db-0 does not start; delete it and restore again, or restore into a new namespace"
	tests := map[string]struct {
		volume  velerov1.PodVolumeRestore
		untaken untaken
		want    string
	}{
		"a completed one is fine": {volume: volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseCompleted))},
		"a failed one names the pod that waits": {
			volume: volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseFailed), func(v *velerov1.PodVolumeRestore) { v.Status.Message = "disk\nfull" }),
			want:   "pod volume restore failed: disk full" + stays,
		},
		"a canceled one too": {volume: volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseCanceled)), want: "pod volume restore canceled: no message" + stays},
		"a failed one of a claim says how to accept the claim": {
			volume: volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseFailed), ofClaim("data-db-0")),
			want: "pod volume restore failed: no message" + stays +
				"; claim data-db-0 keeps pods away until it is restored, or its label podkeep.io/restore-incomplete is taken off",
		},
		"one that never ended":                  {volume: volume("db-0", "data"), want: "timed out waiting for the pod volume restore, which is New" + stays},
		"one that was told to stop and has not": {volume: volume("db-0", "data", cancelRequested), want: "pod volume restore canceled while it was New" + stays},
		"one whose pod found no node": {
			volume: volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseCanceled)), untaken: untaken{message: "pod shop/db-0 is not scheduled: no node"},
			want: "pod volume restore canceled: no message; pod shop/db-0 is not scheduled: no node" + stays,
		},
		"one whose pod went away": {
			volume: volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseFailed), func(v *velerov1.PodVolumeRestore) {
				v.Status.Message = "the pod is being deleted"
				v.Status.Conditions = []metav1.Condition{{Type: velerov1.ConditionCompleted, Reason: velerov1.ReasonPodGone}}
			}),
			want: "pod volume restore failed: the pod is being deleted",
		},
		"one whose pod is gone": {volume: volume("db-0", "data"), untaken: untaken{podGone: true}, want: "pod volume restore failed: the pod does not exist any more"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			err := volumeError(&tc.volume, tc.untaken)

			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(tc.want))
		})
	}
}

func backups(all ...velerov1.PodVolumeBackup) []velerov1.PodVolumeBackup { return all }

func backup(volume string, mods ...func(*velerov1.PodVolumeBackup)) velerov1.PodVolumeBackup {
	b := velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "nightly-" + volume, CreationTimestamp: metav1.Time{Time: t0.Add(time.Hour)}},
		Spec: velerov1.PodVolumeBackupSpec{
			Pod: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "db-0"}, Volume: volume, UploaderType: "kopia",
		},
		Status: velerov1.PodVolumeBackupStatus{
			Phase: velerov1.PodVolumeBackupPhaseCompleted, SnapshotID: "720c9fa04a9b301e4b32e72902d35d64",
			Progress: velerov1.DataMoveOperationProgress{TotalBytes: 9988644},
		},
	}
	for _, mod := range mods {
		mod(&b)
	}
	return b
}

func named(name string) func(*velerov1.PodVolumeBackup) {
	return func(b *velerov1.PodVolumeBackup) { b.Name = name }
}

func failedWith(message string) func(*velerov1.PodVolumeBackup) {
	return func(b *velerov1.PodVolumeBackup) {
		b.Status.Phase, b.Status.Message = velerov1.PodVolumeBackupPhaseFailed, message
	}
}

func TestReplacedVolumes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	failed := volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseFailed))
	restored := volume("db-0", "data", phase(velerov1.PodVolumeRestorePhaseCompleted), func(v *velerov1.PodVolumeRestore) { v.Name = "second" })
	other := volume("db-1", "data", phase(velerov1.PodVolumeRestorePhaseFailed))
	lost := volume("web-x1", "data", phase(velerov1.PodVolumeRestorePhaseFailed), fromSource("web-x1/data"))
	followed := volume("web-x2", "data", phase(velerov1.PodVolumeRestorePhaseCompleted), fromSource("web-x1/data"))

	again := replaced([]velerov1.PodVolumeRestore{failed, restored, other, lost, followed})

	g.Expect(again[failed.Name]).To(BeTrue(), "a new pod of that name has its data")
	g.Expect(again[other.Name]).To(BeFalse())
	g.Expect(again[lost.Name]).To(BeTrue(), "another pod has taken over its volume")
	g.Expect(again[restored.Name]).To(BeFalse())
}

// ofClaim makes a volume restore one of a claim.
func ofClaim(claim string) func(*velerov1.PodVolumeRestore) {
	return annotated(velerov1.PVCNameAnnotation, claim)
}

// fromSource names the volume of the backup.
func fromSource(source string) func(*velerov1.PodVolumeRestore) {
	return annotated(velerov1.VolumeSourceAnnotation, source)
}

func annotated(key, value string) func(*velerov1.PodVolumeRestore) {
	return func(v *velerov1.PodVolumeRestore) {
		if v.Annotations == nil {
			v.Annotations = map[string]string{}
		}
		v.Annotations[key] = value
	}
}
