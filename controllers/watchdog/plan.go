// Package watchdog finds what the webhook has missed while nobody answered for it:
// pods without the stamp of their selection, pods that use a volume which a restore
// fills and do not wait for it, and marks of restores that are over.
//
// One scan is observe → plan → act; plan is pure, its rows are in docs/watchdog.md.
// It repairs what can be repaired without ending a container that runs, and reports
// the rest. It decides about no volume itself: selection does.
package watchdog

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hold"
)

// observed is all that plan may look at. observe fills it, nobody changes it after.
type observed struct {
	// installNamespace and its like are never matched by the webhook.
	installNamespace string

	// policies are the values of velerov1.FSBackupLabel, by namespace, and stampable
	// the pods that have not ended, of all namespaces; nil when no namespace has a
	// policy.
	policies  map[string]string
	stampable []metav1.PartialObjectMetadata

	// restoring are the namespaces with the mark of a restore.
	restoring []restoringNamespace

	// restores are those that go on, and fills their volume restores, by UID.
	restores []velerov1.Restore
	fills    map[types.UID][]velerov1.PodVolumeRestore
}

// restoringNamespace is a namespace with velerov1.RestoringLabel.
type restoringNamespace struct {
	name   string
	mark   string // value of the label
	pods   []corev1.Pod
	claims []metav1.PartialObjectMetadata
}

// podKey names a pod for good.
type podKey struct {
	types.NamespacedName
	uid types.UID
}

// ungatedPod is a pod that uses a claim which a restore fills, and does not wait.
type ungatedPod struct {
	podKey
	volumes []string
	restore types.UID
}

// step is what a scan has found, and what is done about it.
type step struct {
	stamp    []podKey     // pods to stamp
	recreate []ungatedPod // pods that nothing has started of: their controller makes others, which wait
	report   []ungatedPod // pods that have started, or that nobody would make again
	unmark   []string     // namespaces in which nothing is restored
}

// plan decides what to do. Each function is one row of the table in
// docs/watchdog.md.
func plan(o observed) step {
	s := step{stamp: unstamped(o)}
	for _, ns := range o.restoring {
		for _, p := range ungated(o, ns) {
			switch pod := find(ns.pods, p.uid); {
			case hasStarted(pod), metav1.GetControllerOf(pod) == nil:
				s.report = append(s.report, p)
			default:
				s.recreate = append(s.recreate, p)
			}
		}
		if !isMarkNeeded(o, ns) {
			s.unmark = append(s.unmark, ns.name)
		}
	}
	return s
}

// unstamped are the pods of namespaces with a policy that have no stamp.
func unstamped(o observed) []podKey {
	var pods []podKey
	for i := range o.stampable {
		m := &o.stampable[i]
		if o.policies[m.Namespace] == "" || isExempt(o, m.Namespace) || m.DeletionTimestamp != nil || isMirror(m) {
			continue
		}
		_, selected := m.Annotations[velerov1.SelectedVolumesAnnotation]
		_, hashed := m.Annotations[velerov1.SelectionInputsAnnotation]
		if !selected || !hashed {
			pods = append(pods, keyOf(m))
		}
	}
	return pods
}

// isExempt reports whether the webhook never sees pods of a namespace
// (webhook/registration).
func isExempt(o observed, namespace string) bool {
	return slices.Contains([]string{o.installNamespace, metav1.NamespaceSystem, corev1.NamespaceNodeLease}, namespace)
}

func isMirror(o metav1.Object) bool {
	_, ok := o.GetAnnotations()[corev1.MirrorPodAnnotationKey]
	return ok
}

// ungated are the pods of a namespace that use a claim which a restore has yet to
// fill, and have no gate of it.
func ungated(o observed, ns restoringNamespace) []ungatedPod {
	var found []ungatedPod
	for _, restore := range o.restores {
		unfilled := unfilledClaims(restore.UID, ns, o.fills[restore.UID])
		for i := range ns.pods {
			pod := &ns.pods[i]
			if len(unfilled) == 0 || pod.DeletionTimestamp != nil || hasEnded(pod) || isMirror(pod) || len(hold.PodsOf(ns.pods[i:i+1], restore.UID)) > 0 {
				continue
			}
			if volumes := volumesOf(pod, unfilled); len(volumes) > 0 {
				found = append(found, ungatedPod{podKey: keyOf(pod), volumes: volumes, restore: restore.UID})
			}
		}
	}
	return found
}

// unfilledClaims are the claims of a namespace that a restore is to fill and has
// not.
func unfilledClaims(restore types.UID, ns restoringNamespace, fills []velerov1.PodVolumeRestore) map[string]bool {
	unfilled := map[string]bool{}
	for _, claim := range ns.claims {
		if claim.Annotations[velerov1.FilledByAnnotation] == string(restore) {
			unfilled[claim.Name] = true
		}
	}
	for i := range fills {
		f := &fills[i]
		if f.Spec.Pod.Namespace == ns.name && f.Status.Phase == velerov1.PodVolumeRestorePhaseCompleted {
			delete(unfilled, f.Annotations[velerov1.PVCNameAnnotation])
		}
	}
	return unfilled
}

func volumesOf(pod *corev1.Pod, claims map[string]bool) []string {
	var volumes []string
	for _, v := range pod.Spec.Volumes {
		if v.PersistentVolumeClaim != nil && claims[v.PersistentVolumeClaim.ClaimName] {
			volumes = append(volumes, v.Name)
		}
	}
	return volumes
}

func hasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// hasStarted reports whether a container of the pod runs or has run.
func hasStarted(pod *corev1.Pod) bool {
	statuses := slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
	return pod.Status.Phase == corev1.PodRunning || slices.ContainsFunc(statuses, func(s corev1.ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated != nil || s.RestartCount > 0
	})
}

// isMarkNeeded reports whether the webhook must still look at the pods of a
// namespace: a restore goes on there, or a claim lacks data.
func isMarkNeeded(o observed, ns restoringNamespace) bool {
	if slices.ContainsFunc(ns.claims, func(c metav1.PartialObjectMetadata) bool { return c.Labels[velerov1.RestoreIncompleteLabel] != "" }) {
		return true
	}
	return slices.ContainsFunc(o.restores, func(r velerov1.Restore) bool {
		return velerov1.ValidLabelValue(r.Name) == ns.mark ||
			slices.ContainsFunc(o.fills[r.UID], func(f velerov1.PodVolumeRestore) bool { return f.Spec.Pod.Namespace == ns.name })
	})
}

func keyOf(o metav1.Object) podKey {
	return podKey{types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, o.GetUID()}
}

func find(pods []corev1.Pod, uid types.UID) *corev1.Pod {
	at := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.UID == uid })
	return &pods[at] // it was found there
}
