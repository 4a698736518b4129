package restore

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
)

// explainUntaken says why no node agent has taken a volume. pod is the pod of
// that name in the cluster, or nil.
func explainUntaken(v *velerov1.PodVolumeRestore, pod *corev1.Pod) untaken {
	name := v.Spec.Pod.Namespace + "/" + v.Spec.Pod.Name
	if pod == nil || pod.UID != v.Spec.Pod.UID || pod.DeletionTimestamp != nil {
		return untaken{podGone: true}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return untaken{message: fmt.Sprintf("pod %s is not scheduled: %s", name, oneLine(c.Message))}
		}
	}
	if pod.Spec.NodeName == "" {
		return untaken{message: fmt.Sprintf("pod %s is not scheduled", name)}
	}
	for _, c := range pod.Status.InitContainerStatuses {
		if c.Name == injector.GateName {
			return untaken{message: explainGate(name, pod.Spec.NodeName, c.State)}
		}
	}
	return untaken{message: fmt.Sprintf("pod %s is being prepared on node %s; see its events", name, pod.Spec.NodeName)}
}

func explainGate(pod, node string, state corev1.ContainerState) string {
	switch {
	case state.Running != nil:
		return fmt.Sprintf("no node agent has taken pod %s; check the node-agent pod of node %s", pod, node)
	case state.Waiting != nil && state.Waiting.Message != "":
		return fmt.Sprintf("%s of pod %s does not run: %s: %s", injector.GateName, pod, state.Waiting.Reason, oneLine(state.Waiting.Message))
	case state.Terminated != nil:
		return fmt.Sprintf("%s of pod %s has ended with exit code %d", injector.GateName, pod, state.Terminated.ExitCode)
	default:
		return fmt.Sprintf("%s of pod %s does not run yet on node %s; see the events of the pod", injector.GateName, pod, node)
	}
}
