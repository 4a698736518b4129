package nodeagent

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// nodeNameField is the field selector of a pod's node.
const nodeNameField = "spec.nodeName"

// CacheOptions returns what the manager of a node agent caches: the pods of its
// node, and podkeep's objects in the install namespace. What nobody reads is
// dropped before it is stored, so that memory does not grow with the size of pods
// or with the number of other nodes' backups. Objects from this cache must only
// be patched, never updated.
func CacheOptions(installNamespace, node string) cache.Options {
	here := map[string]cache.Config{installNamespace: {}}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {
				Field:     fields.OneTermEqualSelector(nodeNameField, node),
				Transform: stripPod,
			},
			&velerov1.PodVolumeBackup{}: {
				Namespaces: here,
				Transform:  func(obj any) (any, error) { return stripBackup(obj, node) },
			},
			&velerov1.PodVolumeRestore{}:      {Namespaces: here, Transform: stripRestore},
			&velerov1.BackupRepository{}:      {Namespaces: here},
			&velerov1.BackupStorageLocation{}: {Namespaces: here},
		},
	}
}

// stripPod keeps what says whose pod it is, where its volumes are and how its
// containers stand.
func stripPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil // a tombstone
	}
	annotations := map[string]string{}
	for _, key := range []string{velerov1.SlotAnnotation, velerov1.SlotGrantedAtAnnotation, corev1.MirrorPodAnnotationKey} {
		if v, ok := pod.Annotations[key]; ok {
			annotations[key] = v
		}
	}
	labels := map[string]string{}
	if v, ok := pod.Labels[velerov1.MoverNodeLabel]; ok {
		labels[velerov1.MoverNodeLabel] = v
	}
	return &corev1.Pod{
		TypeMeta: pod.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace:         pod.Namespace,
			Name:              pod.Name,
			UID:               pod.UID,
			ResourceVersion:   pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp,
			DeletionTimestamp: pod.DeletionTimestamp,
			OwnerReferences:   pod.OwnerReferences,
			Labels:            labels,
			Annotations:       annotations,
		},
		Spec: corev1.PodSpec{NodeName: pod.Spec.NodeName, Volumes: stripVolumes(pod.Spec.Volumes)},
		Status: corev1.PodStatus{
			Phase:                 pod.Status.Phase,
			Reason:                pod.Status.Reason,
			Message:               pod.Status.Message,
			InitContainerStatuses: stripStatuses(pod.Status.InitContainerStatuses),
			ContainerStatuses:     stripStatuses(pod.Status.ContainerStatuses),
		},
	}, nil
}

// stripVolumes keeps the sources that decide what a volume's directory is called
// (internal/podvolume).
func stripVolumes(volumes []corev1.Volume) []corev1.Volume {
	kept := make([]corev1.Volume, 0, len(volumes))
	for _, v := range volumes {
		short := corev1.Volume{Name: v.Name}
		short.PersistentVolumeClaim = v.PersistentVolumeClaim
		if v.CSI != nil {
			short.CSI = &corev1.CSIVolumeSource{Driver: v.CSI.Driver}
		}
		if v.Ephemeral != nil {
			short.Ephemeral = &corev1.EphemeralVolumeSource{}
		}
		kept = append(kept, short)
	}
	return kept
}

func stripStatuses(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, 0, len(statuses))
	for _, s := range statuses {
		kept = append(kept, corev1.ContainerStatus{Name: s.Name, State: s.State})
	}
	return kept
}

// stripBackup keeps of another node's backup only what its finalizer depends on,
// and drops from all what no agent reads.
func stripBackup(obj any, node string) (any, error) {
	b, ok := obj.(*velerov1.PodVolumeBackup)
	if !ok {
		return obj, nil
	}
	if b.Spec.Node == node && !b.IsFinished() {
		b.ManagedFields = nil
		b.Spec.Tags = nil
		return b, nil
	}
	return &velerov1.PodVolumeBackup{
		TypeMeta:   b.TypeMeta,
		ObjectMeta: stripMeta(b.ObjectMeta),
		Spec:       velerov1.PodVolumeBackupSpec{Node: b.Spec.Node},
		Status:     velerov1.PodVolumeBackupStatus{Phase: b.Status.Phase},
	}, nil
}

func stripRestore(obj any) (any, error) {
	r, ok := obj.(*velerov1.PodVolumeRestore)
	if !ok {
		return obj, nil
	}
	if !r.IsFinished() {
		r.ManagedFields = nil
		return r, nil
	}
	return &velerov1.PodVolumeRestore{
		TypeMeta:   r.TypeMeta,
		ObjectMeta: stripMeta(r.ObjectMeta),
		Status:     velerov1.PodVolumeRestoreStatus{Phase: r.Status.Phase, Node: r.Status.Node},
	}, nil
}

func stripMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:         m.Namespace,
		Name:              m.Name,
		UID:               m.UID,
		ResourceVersion:   m.ResourceVersion,
		Generation:        m.Generation,
		CreationTimestamp: m.CreationTimestamp,
		DeletionTimestamp: m.DeletionTimestamp,
		Finalizers:        m.Finalizers,
	}
}
