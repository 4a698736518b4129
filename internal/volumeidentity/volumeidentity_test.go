package volumeidentity

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOf(t *testing.T) {
	t.Parallel()

	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PodSpec{Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{
					PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "db"},
				}},
				{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "generic", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
			}},
		}
	}
	tests := map[string]struct {
		pod    string
		volume string
		owner  OwnerRef
		want   string
	}{
		"a claim is itself, whoever mounts it":           {pod: "web-6d5f-x2k", volume: "data", owner: OwnerRef{"Deployment", "web"}, want: "claim/db"},
		"a replaced pod of a Deployment is the same":     {pod: "web-6d5f-x2k", volume: "scratch", owner: OwnerRef{"Deployment", "web"}, want: "Deployment/web/scratch"},
		"an ephemeral claim goes with its pod":           {pod: "web-6d5f-x2k", volume: "generic", owner: OwnerRef{"Deployment", "web"}, want: "Deployment/web/generic"},
		"a pod on its own is its name":                   {pod: "debug", volume: "scratch", want: "Pod/debug/scratch"},
		"replicas of a StatefulSet are told apart":       {pod: "db-1", volume: "scratch", owner: OwnerRef{"StatefulSet", "db"}, want: "Pod/db-1/scratch"},
		"a volume that the pod lacks has no claim":       {pod: "debug", volume: "gone", want: "Pod/debug/gone"},
		"an owner of a kind nobody knows is an owner":    {pod: "r-8f2", volume: "scratch", owner: OwnerRef{"Rollout", "r"}, want: "Rollout/r/scratch"},
		"a run of a CronJob continues the run before it": {pod: "nightly-29-abc", volume: "scratch", owner: OwnerRef{"CronJob", "nightly"}, want: "CronJob/nightly/scratch"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := Of(pod(tc.pod), tc.volume, tc.owner)

			g.Expect(got).To(Equal(tc.want))
		})
	}
}
