package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// parallelFilesUpload is the key of the uploader settings that carries
// spec.uploaderConfig.parallelFilesUpload (velero-facts §4.9.3).
const parallelFilesUpload = "ParallelFilesUpload"

// Tags of a snapshot (velero-facts §6.1).
const (
	tagBackup    = "backup"
	tagBackupUID = "backup-uid"
	tagPod       = "pod"
	tagPodUID    = "pod-uid"
	tagNamespace = "ns"
	tagVolume    = "volume"
	tagPVCUID    = "pvc-uid"
)

// volumeNameDigits is how many hex digits of a SHA-256 tell the volumes of a
// backup apart: 40 bits, so that 10 000 volumes collide once in 20 000 backups.
// Velero takes 5 random letters, with a retry.
const volumeNameDigits = 10

// podVolume is one volume of a pod that is to be backed up.
type podVolume struct {
	pod      *corev1.Pod
	name     string
	claim    *claim // nil for a volume without one
	identity string

	// hookRecord names the hooks that are run around the volume; "" means none.
	hookRecord string
}

// podVolumeBackupName is the same whenever the volume of the pod is found, so
// that collecting twice makes no second one. Backups of the same name, one after
// the other, have different ones: those of the first may not be gone yet.
func podVolumeBackupName(b *velerov1.Backup, pod types.UID, volume string) string {
	sum := sha256.Sum256([]byte(string(b.UID) + "/" + string(pod) + "/" + volume))
	return b.Name + "-" + hex.EncodeToString(sum[:])[:volumeNameDigits]
}

// newPodVolumeBackup is what the node agent acts on (velero-facts §6.1).
func newPodVolumeBackup(b *velerov1.Backup, v podVolume) *velerov1.PodVolumeBackup {
	pvb := &velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: b.Namespace,
			Name:      podVolumeBackupName(b, v.pod.UID, v.name),
			Labels: map[string]string{
				velerov1.BackupNameLabel: velerov1.ValidLabelValue(b.Name),
				velerov1.BackupUIDLabel:  string(b.UID),
			},
			Annotations:     map[string]string{velerov1.VolumeIdentityAnnotation: v.identity},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(b, velerov1.SchemeGroupVersion.WithKind("Backup"))},
		},
		Spec: velerov1.PodVolumeBackupSpec{
			Node:                  v.pod.Spec.NodeName,
			Pod:                   corev1.ObjectReference{Kind: "Pod", Namespace: v.pod.Namespace, Name: v.pod.Name, UID: v.pod.UID},
			Volume:                v.name,
			BackupStorageLocation: b.Spec.StorageLocation,
			UploaderType:          velerov1.BackupRepositoryTypeKopia,
			Tags:                  tagsOf(b, v),
		},
	}
	// Deleting a backup must not wait for its volumes.
	pvb.OwnerReferences[0].BlockOwnerDeletion = nil
	if u := b.Spec.UploaderConfig; u != nil {
		pvb.Spec.UploaderSettings = map[string]string{parallelFilesUpload: strconv.Itoa(u.ParallelFilesUpload)}
	}
	if v.claim != nil {
		pvb.Labels[velerov1.PVCUIDLabel] = string(v.claim.uid)
		pvb.Annotations[velerov1.PVCNameAnnotation] = v.claim.name
	}
	if v.hookRecord != "" {
		pvb.Annotations[velerov1.HookRecordAnnotation] = v.hookRecord
		pvb.Annotations[velerov1.HoldAnnotation] = velerov1.HoldAll
	}
	return pvb
}

func tagsOf(b *velerov1.Backup, v podVolume) map[string]string {
	tags := map[string]string{
		tagBackup:    b.Name,
		tagBackupUID: string(b.UID),
		tagPod:       v.pod.Name,
		tagPodUID:    string(v.pod.UID),
		tagNamespace: v.pod.Namespace,
		tagVolume:    v.name,
	}
	if v.claim != nil {
		tags[tagPVCUID] = string(v.claim.uid)
	}
	return tags
}
