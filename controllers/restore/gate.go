package restore

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/podkeep/podkeep/injector"
)

// verifyGate says what is wrong with the gate that the webhook gave to a pod, or
// nil when the pod cannot start before the volumes are restored: the gate is the
// first init container, has every volume, and waits for the markers of this
// restore.
func verifyGate(pod *corev1.Pod, volumes []string, restore types.UID) error {
	if len(pod.Spec.InitContainers) == 0 || pod.Spec.InitContainers[0].Name != injector.GateName {
		return fmt.Errorf("init container %s is not the first one", injector.GateName)
	}
	gate := pod.Spec.InitContainers[0]
	if !slices.Contains(gate.Args, string(restore)) {
		return fmt.Errorf("init container %s has arguments %q without the UID of the restore", injector.GateName, gate.Args)
	}
	for _, volume := range volumes {
		if !slices.ContainsFunc(gate.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.Name == volume && m.MountPath == injector.MountRoot+volume && m.SubPath == ""
		}) {
			return fmt.Errorf("init container %s does not mount volume %s at %s", injector.GateName, volume, injector.MountRoot+volume)
		}
	}
	if gate.RestartPolicy != nil {
		return fmt.Errorf("init container %s has a restart policy, so the pod does not wait for it", injector.GateName)
	}
	return nil
}
