package registration

import (
	"testing"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestNamespacesThatAreNeverMatched(t *testing.T) {
	t.Parallel()
	for _, w := range Configuration("backup").Webhooks {
		for _, namespace := range []string{"backup", "kube-system", "kube-node-lease"} {
			t.Run(w.Name+" in "+namespace, func(t *testing.T) {
				t.Parallel()

				NewWithT(t).Expect(matches(t, w.NamespaceSelector, map[string]string{
					corev1.LabelMetadataName: namespace, "podkeep.io/fs-backup": "opt-out", "podkeep.io/restoring": "r",
				})).To(BeFalse())
			})
		}
	}
}

func TestWhatIsMatched(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		namespace map[string]string
		pod       map[string]string
		want      []string
	}{
		"no pod without labels": {},
		"a pod in a namespace with a policy": {
			namespace: map[string]string{"podkeep.io/fs-backup": "off"}, want: []string{SelectionName},
		},
		"a restored pod": {
			pod: map[string]string{"velero.io/restore-name": "r"}, want: []string{GateName},
		},
		"a restored pod in a restoring namespace is not guarded": {
			namespace: map[string]string{"podkeep.io/restoring": "r"}, pod: map[string]string{"velero.io/restore-name": "r"},
			want: []string{GateName},
		},
		"another pod in a restoring namespace": {
			namespace: map[string]string{"podkeep.io/restoring": "r", "podkeep.io/fs-backup": "opt-in"},
			want:      []string{SelectionName, GuardName},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			var got []string
			for _, w := range Configuration("velero").Webhooks {
				if matches(t, w.NamespaceSelector, tc.namespace) && matches(t, w.ObjectSelector, tc.pod) {
					got = append(got, w.Name)
				}
			}

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	wantFailure := map[string]admissionv1.FailurePolicyType{
		SelectionName: admissionv1.Ignore, GateName: admissionv1.Fail, GuardName: admissionv1.Fail,
	}
	configuration := Configuration("velero")
	NewWithT(t).Expect(configuration.Name).To(Equal("podkeep-velero"))
	for _, w := range configuration.Webhooks {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			g.Expect(*w.FailurePolicy).To(Equal(wantFailure[w.Name]))
			g.Expect(*w.SideEffects).To(Equal(admissionv1.SideEffectClassNone))
			g.Expect(*w.ReinvocationPolicy).To(Equal(admissionv1.IfNeededReinvocationPolicy))
			g.Expect(*w.TimeoutSeconds).To(BeEquivalentTo(5))
			g.Expect(w.ClientConfig.Service.Namespace).To(Equal("velero"))
			g.Expect(w.Rules).To(HaveLen(1))
			g.Expect(w.Rules[0].Resources).To(Equal([]string{"pods"}))
		})
	}
}

func matches(t *testing.T, selector *metav1.LabelSelector, set map[string]string) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return s.Matches(labels.Set(set))
}
