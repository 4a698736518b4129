package items

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/injector"
)

// cleanPod removes what belongs to the pod's former life: its node, the priority
// that its class stands for, token volumes of old clusters, gates and stamps.
func cleanPod(_ Target, obj *unstructured.Unstructured) Reason {
	if _, mirror := obj.GetAnnotations()[corev1.MirrorPodAnnotationKey]; mirror {
		return ReasonMirrorPod
	}
	phase := corev1.PodPhase(field(obj.Object, "status", "phase"))
	if phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		return ReasonFinished
	}
	removeAnnotations(obj,
		velerov1.SelectedVolumesAnnotation, velerov1.SkippedVolumesAnnotation,
		velerov1.SelectionInputsAnnotation, velerov1.RestoreVolumesAnnotation, velerov1.InstallationAnnotation,
		velerov1.RestoredVolumesAnnotation, velerov1.RestoreFailedAnnotation)
	removeLabels(obj, velerov1.GatedByLabel)
	for _, name := range []string{"nodeName", "priority", "ephemeralContainers"} {
		unstructured.RemoveNestedField(obj.Object, "spec", name)
	}
	removeTokenVolumes(obj)
	keep(obj.Object, func(c map[string]any) bool {
		return !injector.IsGate(corev1.Container{Name: field(c, "name")}) // one of an earlier restore would wait for ever
	}, "spec", "initContainers")
	keep(obj.Object, func(v map[string]any) bool { return field(v, "name") != injector.NoticeVolume }, "spec", "volumes")
	return ""
}

// removeTokenVolumes removes the volumes that clusters before v1.21 added with
// the token Secret of the service account; the Secret is not restored.
func removeTokenVolumes(obj *unstructured.Unstructured) {
	account := field(obj.Object, "spec", "serviceAccountName")
	isOther := func(m map[string]any) bool { return !hasTokenPrefix(field(m, "name"), account) }
	keep(obj.Object, isOther, "spec", "volumes")
	for _, containers := range []string{"initContainers", "containers"} {
		for _, c := range list(obj.Object, "spec", containers) {
			keep(c, isOther, "volumeMounts")
		}
	}
}
