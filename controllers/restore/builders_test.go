package restore

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/podkeep/podkeep/injector"
)

// waitingPod is the pod of every volume that volume builds.
func waitingPod(mods ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", UID: "pod-uid"}}
	for _, mod := range mods {
		mod(p)
	}
	return p
}

func deletedNow() *metav1.Time { return &metav1.Time{Time: t0} }

func scheduled(p *corev1.Pod) { p.Spec.NodeName = "n1" }

func unschedulable(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}
}

func gateState(s corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: injector.GateName, State: s}}
	}
}
