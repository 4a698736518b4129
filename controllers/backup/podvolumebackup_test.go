package backup

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares a value, as YAML, with testdata/<name>.golden.yaml.
func golden(t *testing.T, name string, value any) {
	t.Helper()
	g := NewWithT(t)
	got, err := yaml.Marshal(value)
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join("testdata", name+".golden.yaml")
	if *update {
		g.Expect(os.WriteFile(path, got, 0o600)).To(Succeed())
	}

	want, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(string(want)))
}

func webPod(mods ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "web-0", UID: "pod-uid"},
		Spec: corev1.PodSpec{
			NodeName: "node-1",
			Containers: []corev1.Container{{Name: "web", VolumeMounts: []corev1.VolumeMount{
				{Name: "data", MountPath: "/data"}, {Name: "cache", MountPath: "/cache"}, {Name: "config", MountPath: "/config"},
			}}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "db"}}},
				{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}},
			},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, mod := range mods {
		mod(p)
	}
	return p
}

func TestNewPodVolumeBackup(t *testing.T) {
	t.Parallel()

	tuned := newBackup(started, func(b *velerov1.Backup) {
		b.Spec.UploaderConfig = &velerov1.UploaderConfigForBackup{ParallelFilesUpload: 4}
	})
	long := newBackup(started, func(b *velerov1.Backup) { b.Name = strings.Repeat("n", 70) })
	tests := map[string]struct {
		backup *velerov1.Backup
		volume podVolume
	}{
		"volume-of-a-claim": {
			backup: newBackup(started),
			volume: podVolume{pod: webPod(), name: "data", claim: &claim{namespace: "app", name: "db", uid: "claim-uid"}, identity: "claim/db"},
		},
		"volume-without-a-claim": {
			backup: tuned,
			volume: podVolume{pod: webPod(), name: "cache", identity: "Deployment/web/cache"},
		},
		"backup-with-a-long-name": {
			backup: long,
			volume: podVolume{pod: webPod(), name: "cache", identity: "Deployment/web/cache"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, name, newPodVolumeBackup(tc.backup, tc.volume))
		})
	}
}

func TestPodVolumeBackupNameIsTheSameForTheSameVolume(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	b := newBackup()
	other := newBackup(func(b *velerov1.Backup) { b.UID = "another-backup-uid" })
	name := podVolumeBackupName(b, "uid-1", "data")

	g.Expect(name).To(MatchRegexp(`^nightly-[0-9a-f]{10}$`))
	g.Expect(podVolumeBackupName(b, "uid-1", "data")).To(Equal(name))
	g.Expect(podVolumeBackupName(b, "uid-2", "data")).NotTo(Equal(name))
	g.Expect(podVolumeBackupName(b, "uid-1", "logs")).NotTo(Equal(name))
	g.Expect(podVolumeBackupName(other, "uid-1", "data")).NotTo(Equal(name), "the volumes of an earlier backup of the name may still be there")
}

func ptrTime() *metav1.Time { return &metav1.Time{Time: t0} }
