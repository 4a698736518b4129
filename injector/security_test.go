package injector

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestSecurityContext(t *testing.T) {
	t.Parallel()
	base := func(mods ...func(*corev1.SecurityContext)) *corev1.SecurityContext {
		sc := &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		}
		for _, mod := range mods {
			mod(sc)
		}
		return sc
	}
	velero := func(sc *corev1.SecurityContext) { sc.RunAsUser, sc.RunAsNonRoot = ptr.To[int64](1000), ptr.To(true) }
	root := func(sc *corev1.SecurityContext) {
		sc.RunAsUser = ptr.To[int64](0)
		sc.Capabilities.Add = []corev1.Capability{"DAC_OVERRIDE", "FOWNER"}
	}
	user := func(id int64) *corev1.SecurityContext { return &corev1.SecurityContext{RunAsUser: &id} }
	tests := map[string]struct {
		pod        *corev1.PodSecurityContext
		container  *corev1.SecurityContext
		configured *corev1.SecurityContext

		want *corev1.SecurityContext
	}{
		"the ConfigMap beats the container": {
			container: user(7), configured: user(9), want: user(9),
		},
		"the container is copied": {
			container: user(7), want: user(7),
		},
		"the container is copied although it says nothing about users": {
			container: &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true)},
			want:      &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true)},
		},
		"a copy that forbids root gets a user": {
			container: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true)},
			want:      &corev1.SecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](1000)},
		},
		"a copy in a pod that forbids root gets a user": {
			pod:       &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true)},
			container: &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true)},
			want:      &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true), RunAsUser: ptr.To[int64](1000)},
		},
		"a copy that forbids root inherits the pod's user": {
			pod:       &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](5)},
			container: &corev1.SecurityContext{RunAsNonRoot: ptr.To(true)},
			want:      &corev1.SecurityContext{RunAsNonRoot: ptr.To(true)},
		},
		"by default the pod's user is inherited": {
			pod: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](999), RunAsNonRoot: ptr.To(true)}, want: base(),
		},
		"by default a pod that forbids root gets Velero's user": {
			pod: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true)}, want: base(velero),
		},
		"by default a pod that may be root gets root that reaches every folder": {
			want: base(root),
		},
		"a group for the volumes does not change that": {
			pod: &corev1.PodSecurityContext{FSGroup: ptr.To[int64](2000)}, want: base(root),
		},
		"a pod that is root gets root that reaches every folder": {
			pod: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](0)}, want: base(root),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			pod := podWithVolumes("data")
			pod.Spec.SecurityContext = tc.pod
			pod.Spec.Containers[0].SecurityContext = tc.container
			before := pod.DeepCopy()

			got := securityContext(pod, pod.Spec.Containers[0], tc.configured)

			g.Expect(got).To(Equal(tc.want))
			g.Expect(pod).To(Equal(before))
		})
	}
}
