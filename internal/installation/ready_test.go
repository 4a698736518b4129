package installation

import (
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// working is an installation that lacks nothing.
func working(mods ...func(*State)) State {
	s := State{
		Deployments:     map[string]*appsv1.Deployment{"velero": {Status: appsv1.DeploymentStatus{UpdatedReplicas: 1, AvailableReplicas: 1}}},
		DaemonSet:       &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberAvailable: 2}},
		Location:        &velerov1.BackupStorageLocation{Status: velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable}},
		WantBucket:      true,
		WebhooksTrusted: true,
	}
	for _, mod := range mods {
		mod(&s)
	}
	return s
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		state State
		want  []string
	}{
		"nothing is missing": {state: working()},
		"a deployment does not exist": {
			state: working(func(s *State) { s.Deployments["velero"] = nil }),
			want:  []string{"Deployment velero does not exist"},
		},
		"pods of before make nothing ready": {
			state: working(func(s *State) {
				s.Deployments["velero"].Status = appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 1, AvailableReplicas: 1}
			}),
			want: []string{"Deployment velero has 1 pods of before"},
		},
		"a pod says why it does not start": {
			state: working(func(s *State) {
				s.Deployments["velero"].Status.AvailableReplicas = 0
				s.Pods = []corev1.Pod{{
					ObjectMeta: metav1.ObjectMeta{Name: "velero-1", Labels: map[string]string{"deploy": "velero"}},
					Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
						State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}},
					}}},
				}}
			}),
			want: []string{"Deployment velero has 0 of 1 pods ready: pod velero-1: ImagePullBackOff no such image"},
		},
		"one node lacks its agent": {
			state: working(func(s *State) { s.DaemonSet.Status.NumberAvailable = 1 }),
			want:  []string{"DaemonSet node-agent has 1 of 2 pods ready"},
		},
		"no node fits the agent": {
			state: working(func(s *State) { s.DaemonSet.Status = appsv1.DaemonSetStatus{} }),
			want:  []string{"DaemonSet node-agent fits no node"},
		},
		"the location says what is wrong": {
			state: working(func(s *State) {
				s.Location.Status = velerov1.BackupStorageLocationStatus{Message: "access denied"}
			}),
			want: []string{"access denied"},
		},
		"no location is wanted": {
			state: working(func(s *State) { s.Location, s.WantBucket = nil, false }),
		},
		"cert-manager has issued nothing": {
			state: working(func(s *State) {
				s.Certificates = map[string]*certmanagerv1.Certificate{"podkeep-webhook": nil}
				s.Deployments["velero"] = nil
			}),
			want: []string{"Certificate podkeep-webhook does not exist", "Deployment velero does not exist"},
		},
		"the webhooks are not trusted yet": {
			state: working(func(s *State) { s.WebhooksTrusted = false }),
			want:  []string{"the webhooks have no certificate yet"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(NotReady(tc.state)).To(Equal(tc.want))
		})
	}
}
