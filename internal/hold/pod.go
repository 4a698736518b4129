package hold

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
	"github.com/podkeep/podkeep/internal/selection"
)

// Pod is what is known of a pod with a gate.
type Pod struct {
	Namespace, Name string
	UID             types.UID

	// Owner is its controller, as Kind/name; "" means that it has none.
	Owner string

	// Own says that the restore has made it.
	Own bool

	// Gone says that it is being deleted or has ended.
	Gone bool

	// Open says that its gate has ended well. Passed says that it did before, and that
	// the kubelet runs it again, as after the restart of a node: its marker is gone.
	Open, Passed bool

	// Failed says that it was told that its gate will never open.
	Failed bool

	// Told are the volumes that it was told not to wait for.
	Told []string

	// Volumes are those that its gate waits for.
	Volumes []Volume
}

// Volume is a volume that a pod waits for.
type Volume struct {
	Name     string
	Claim    string // "" for a volume of the pod alone
	ReadOnly bool   // the claim is mounted without the right to write
}

func (p *Pod) claim(v Volume) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: v.Claim}
}

// PodsOf reduces pods to facts. Left out are those whose gate is not that of the
// restore: a pod from a backup may carry the label of an earlier one.
func PodsOf(pods []corev1.Pod, restore types.UID) []Pod {
	var all []Pod
	for i := range pods {
		if p, ok := podOf(&pods[i], restore); ok {
			all = append(all, p)
		}
	}
	return all
}

func podOf(pod *corev1.Pod, restore types.UID) (Pod, bool) {
	at := slices.IndexFunc(pod.Spec.InitContainers, injector.IsGate)
	if at < 0 || !slices.Contains(pod.Spec.InitContainers[at].Args, string(restore)) {
		return Pod{}, false
	}
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	p := Pod{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Owner: OwnerOf(pod),
		Own:    pod.Labels[velerov1.RestoreNameLabel] != "",
		Gone:   pod.DeletionTimestamp != nil || ended,
		Failed: pod.Annotations[velerov1.RestoreFailedAnnotation] != "",
		Told:   selection.ParseList(pod.Annotations[velerov1.RestoredVolumesAnnotation]),
	}
	p.setGate(pod)
	for _, name := range selection.ParseList(pod.Annotations[velerov1.RestoreVolumesAnnotation]) {
		p.Volumes = append(p.Volumes, volumeOf(pod, name))
	}
	return p, true
}

// setGate reads how the gate stands. Containers that have ended although the gate
// runs show that it has passed before.
func (p *Pod) setGate(pod *corev1.Pod) {
	for _, s := range pod.Status.InitContainerStatuses {
		if !injector.IsGate(corev1.Container{Name: s.Name}) {
			continue
		}
		p.Open = s.State.Terminated != nil && s.State.Terminated.ExitCode == 0
		p.Passed = s.LastTerminationState.Terminated != nil && s.LastTerminationState.Terminated.ExitCode == 0
	}
	p.Open = p.Open || pod.Status.Phase == corev1.PodRunning
	p.Passed = p.Passed || slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.LastTerminationState.Terminated != nil || s.State.Terminated != nil
	})
}

func volumeOf(pod *corev1.Pod, name string) Volume {
	v := Volume{Name: name}
	for _, pv := range pod.Spec.Volumes {
		if pv.Name != name {
			continue
		}
		v.Claim, _ = selection.ClaimName(pod, pv) // "" for none
		v.ReadOnly = pv.PersistentVolumeClaim != nil && pv.PersistentVolumeClaim.ReadOnly
	}
	return v
}

// OwnerOf returns the controller of an object as Kind/name, "" when it has none.
func OwnerOf(o metav1.Object) string {
	if c := metav1.GetControllerOf(o); c != nil {
		return c.Kind + "/" + c.Name
	}
	return ""
}
