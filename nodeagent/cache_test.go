package nodeagent

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/podvolume"
)

func TestStrippedPodStillSaysWhereItsVolumesAre(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	whole := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "db-0", UID: "u",
			Labels:      map[string]string{"app": "db", velerov1.MoverNodeLabel: "n1"},
			Annotations: map[string]string{"big": "text", corev1.MirrorPodAnnotationKey: "hash"},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "db", Image: "db", Args: []string{"--everything"}}},
			Volumes: []corev1.Volume{
				{Name: "a", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "b", VolumeSource: corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "d", VolumeAttributes: map[string]string{"k": "v"}}}},
				{Name: "c", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{}}}},
				{Name: "d", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}},
			},
		},
	}
	stripped, err := stripPod(whole.DeepCopy())
	g.Expect(err).NotTo(HaveOccurred())
	pod := stripped.(*corev1.Pod)

	g.Expect(pod.Spec.Containers).To(BeEmpty())
	g.Expect(pod.Labels).To(Equal(map[string]string{velerov1.MoverNodeLabel: "n1"}))
	g.Expect(podvolume.HostUID(pod)).To(Equal(podvolume.HostUID(whole)))
	for _, volume := range []string{"a", "b", "c", "d"} {
		g.Expect(podvolume.ClaimName(pod, volume)).To(Equal(podvolume.ClaimName(whole, volume)))
	}
	for _, volume := range []string{"a", "b"} {
		want, err := podvolume.Directory(podvolume.Facts{Pod: whole, Volume: volume})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(podvolume.Directory(podvolume.Facts{Pod: pod, Volume: volume})).To(Equal(want))
	}
}

func TestBackupsOfOtherNodesAndFinishedOnesTakeNoRoom(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		node      string
		phase     velerov1.PodVolumeBackupPhase
		wantWhole bool
	}{
		"ours, unfinished":    {node: "n1", wantWhole: true},
		"ours, finished":      {node: "n1", phase: velerov1.PodVolumeBackupPhaseCompleted},
		"another node's":      {node: "n2"},
		"another's, finished": {node: "n2", phase: velerov1.PodVolumeBackupPhaseFailed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			b := &velerov1.PodVolumeBackup{
				ObjectMeta: metav1.ObjectMeta{Name: "b", Finalizers: []string{velerov1.PodVolumeFinalizer}, Annotations: map[string]string{"a": "b"}},
				Spec:       velerov1.PodVolumeBackupSpec{Node: tc.node, Volume: "data"},
				Status:     velerov1.PodVolumeBackupStatus{Phase: tc.phase},
			}

			stripped, err := stripBackup(b, "n1")

			g.Expect(err).NotTo(HaveOccurred())
			got := stripped.(*velerov1.PodVolumeBackup)
			g.Expect(got.Spec.Volume == "data").To(Equal(tc.wantWhole))
			g.Expect(got.Finalizers).To(HaveLen(1))
			g.Expect(got.Spec.Node).To(Equal(tc.node))
			g.Expect(got.Status.Phase).To(Equal(tc.phase))
		})
	}
}

func TestOptionsSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	err := Options{Node: "n1"}.validate()

	g.Expect(err).To(MatchError(ContainSubstring("option Namespace is not set")))
	g.Expect(err).NotTo(MatchError(ContainSubstring("option Node is not set")))
}
