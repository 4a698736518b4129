package movement

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// cacheLimitKey is, in spec.repositoryConfig of a BackupRepository, the size of
// kopia's cache in MB (velero-facts §8.2).
const cacheLimitKey = "cacheLimitMB"

// VolumeName is how messages name a volume of a pod.
func VolumeName(pod corev1.ObjectReference, volume string) string {
	return fmt.Sprintf("volume %s of pod %s/%s", volume, pod.Namespace, pod.Name)
}

// CancelReason says why an object is to be stopped, or "" when it is not. A
// message that somebody has left on an unfinished object is theirs, and says more
// than we know.
func CancelReason(obj client.Object, cancel bool, message string) string {
	switch {
	case obj.GetDeletionTimestamp() != nil:
		return "canceled because the object is being deleted"
	case cancel && message != "":
		return "canceled: " + message
	case cancel:
		return "canceled on request (spec.cancel)"
	default:
		return ""
	}
}

// SetMetadata records the movers of an unfinished object, and keeps a finalizer
// on it from its first mover until it is finished.
func SetMetadata(obj client.Object, movers string, finished bool) {
	if finished {
		controllerutil.RemoveFinalizer(obj, velerov1.PodVolumeFinalizer)
		return
	}
	if movers == "" {
		return
	}
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[velerov1.MoversAnnotation] = movers
	obj.SetAnnotations(annotations)
	if obj.GetDeletionTimestamp() == nil {
		controllerutil.AddFinalizer(obj, velerov1.PodVolumeFinalizer)
	}
}

// CacheLimitMB returns the size of kopia's cache for a repository; 0 means the
// mover's default, also for a value that is no number.
func CacheLimitMB(repository *velerov1.BackupRepository) int64 {
	n, err := strconv.ParseInt(repository.Spec.RepositoryConfig[cacheLimitKey], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Setting reads a setting of the uploader that is a number from 0 up; an absent
// one is 0.
func Setting(settings map[string]string, key string) (int, error) {
	text, ok := settings[key]
	if !ok || text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("spec.uploaderSettings[%s]: Invalid value: %q: must be a number from 0 up", key, text)
	}
	return n, nil
}
