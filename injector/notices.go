package injector

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/initwait"
)

// NoticeVolume is the name of the volume through which the server tells a gate
// what its markers do not. It shows annotations of the pod itself, so the gate
// needs no access to the API.
const NoticeVolume = "podkeep-restore-notices"

// noticeMount is where the gate finds its notices.
func noticeMount() corev1.VolumeMount {
	return corev1.VolumeMount{Name: NoticeVolume, MountPath: initwait.DefaultNotices, ReadOnly: true}
}

// addNotices gives the pod the volume of the notices.
func addNotices(pod *corev1.Pod) {
	if slices.ContainsFunc(pod.Spec.Volumes, isNotices) {
		return
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
		Name: NoticeVolume,
		VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			fromAnnotation(initwait.FailedNotice, velerov1.RestoreFailedAnnotation),
			fromAnnotation(initwait.RestoredNotice, velerov1.RestoredVolumesAnnotation),
		}}},
	})
}

// fromAnnotation is a file with the value of an annotation, empty without it.
func fromAnnotation(file, key string) corev1.DownwardAPIVolumeFile {
	return corev1.DownwardAPIVolumeFile{Path: file, FieldRef: &corev1.ObjectFieldSelector{
		APIVersion: "v1", FieldPath: "metadata.annotations['" + key + "']",
	}}
}

func removeNotices(pod *corev1.Pod) {
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes, isNotices)
}

func isNotices(v corev1.Volume) bool { return v.Name == NoticeVolume }
