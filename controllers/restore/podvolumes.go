package restore

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// mergeVolumes returns the pod volume backups of the cluster, and those of the
// bucket's list whose volume the cluster does not know: a pod whose
// PodVolumeBackups were deleted from the cluster must not start on empty volumes
// as long as the bucket has its data. Entries without name or volume are left out
// (velero-facts §12, 23).
func mergeVolumes(cluster, bucket []velerov1.PodVolumeBackup) []velerov1.PodVolumeBackup {
	known := map[string]bool{}
	var all []velerov1.PodVolumeBackup
	for _, b := range cluster {
		known[sourceOf(&b)] = true
		all = append(all, b)
	}
	for _, b := range bucket {
		if b.Name != "" && b.Spec.Volume != "" && !known[sourceOf(&b)] {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b velerov1.PodVolumeBackup) int {
		return cmp.Or(cmp.Compare(sourceOf(&a), sourceOf(&b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// sourceOf names the volume of a backup for people: "shop/db-0 data".
func sourceOf(b *velerov1.PodVolumeBackup) string {
	return b.Spec.Pod.Namespace + "/" + b.Spec.Pod.Name + " " + b.Spec.Volume
}

// podVolumes is the verdict about the volumes of one pod.
type podVolumes struct {
	// restore are the backups that its volumes are filled from, sorted by volume,
	// one for each.
	restore []velerov1.PodVolumeBackup

	// shared are the volumes that are filled through another pod on the same claim,
	// and that the pod waits for all the same; sorted.
	shared []string

	// warnings and losses are sentences for the results; a loss is data that the
	// pod starts without.
	warnings, losses []string
}

// awaited are the volumes that the pod waits for, sorted.
func (v podVolumes) awaited() []string {
	return slices.Sorted(slices.Values(slices.Concat(v.names(), v.shared)))
}

// names are the volumes that are filled through the pod, sorted.
func (v podVolumes) names() []string {
	var names []string
	for _, b := range v.restore {
		names = append(names, b.Spec.Volume)
	}
	return names
}

// decideVolumes decides which volumes of a pod are filled. backups are those of
// the pod, oldest first. The phase of a backup does not decide, its snapshot does
// (velero-facts §6.2).
func decideVolumes(pod *corev1.Pod, backups []velerov1.PodVolumeBackup) podVolumes {
	var v podVolumes
	newest := map[string]velerov1.PodVolumeBackup{}
	for _, b := range backups {
		if _, ok := newest[b.Spec.Volume]; !ok || b.Status.SnapshotID != "" {
			newest[b.Spec.Volume] = b
		}
	}
	for _, volume := range slices.Sorted(maps.Keys(newest)) {
		v.decide(pod, newest[volume])
	}
	return v
}

func (v *podVolumes) decide(pod *corev1.Pod, b velerov1.PodVolumeBackup) {
	at := slices.IndexFunc(pod.Spec.Volumes, func(pv corev1.Volume) bool { return pv.Name == b.Spec.Volume })
	switch {
	case at < 0:
		v.warnings = append(v.warnings, fmt.Sprintf("volume %s has a backup, but the pod has no such volume", b.Spec.Volume))
	case pod.Spec.Volumes[at].Projected != nil || pod.Spec.Volumes[at].DownwardAPI != nil:
		v.warnings = append(v.warnings, fmt.Sprintf("volume %s is written by Kubernetes and is not restored", b.Spec.Volume))
	case b.Status.SnapshotID == "":
		v.losses = append(v.losses, fmt.Sprintf("volume %s has no data in the backup (%s), so the pod starts with it as it is: %s",
			b.Spec.Volume, cmp.Or(string(b.Status.Phase), "New"), cmp.Or(oneLine(b.Status.Message), "no message")))
	case b.Spec.UploaderType != "" && b.Spec.UploaderType != velerov1.BackupRepositoryTypeKopia:
		v.losses = append(v.losses, fmt.Sprintf("volume %s was written by %s, which podkeep does not read; the pod starts with it as it is",
			b.Spec.Volume, b.Spec.UploaderType))
	default:
		if b.Status.Phase != velerov1.PodVolumeBackupPhaseCompleted {
			v.warnings = append(v.warnings, fmt.Sprintf("volume %s is restored from a backup that is %s: %s",
				b.Spec.Volume, cmp.Or(string(b.Status.Phase), "New"), cmp.Or(oneLine(b.Status.Message), "no message")))
		}
		v.restore = append(v.restore, b)
	}
}

// claimOf returns the claim of a pod's volume, "" when it is not a claim's.
func claimOf(pod *corev1.Pod, volume string) string {
	for _, v := range pod.Spec.Volumes {
		if v.Name != volume {
			continue
		}
		switch {
		case v.PersistentVolumeClaim != nil:
			return v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil: // k8s.io/component-helpers/storage/ephemeral, VolumeClaimName
			return pod.Name + "-" + v.Name
		}
	}
	return ""
}

// volumeRestoreSource is what one PodVolumeRestore is made from.
type volumeRestoreSource struct {
	restore  *velerov1.Restore
	backup   velerov1.PodVolumeBackup
	location string // storage location of the Backup
	pod      *corev1.Pod
	owner    string    // controller that the pod had in the backup, as Kind/name, or ""
	claim    string    // of the volume, or ""
	claimUID types.UID // or "" when there is no claim or it is not known
}

// newVolumeRestore builds the PodVolumeRestore of one volume (velero-facts §6.2).
// Its name depends on the new pod and the volume only, so that it is made once.
func newVolumeRestore(s volumeRestoreSource) *velerov1.PodVolumeRestore {
	r := &velerov1.PodVolumeRestore{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.restore.Namespace,
			Name:      volumeRestoreName(s.restore.Name, s.pod.UID, s.backup.Spec.Volume),
			Labels: map[string]string{
				velerov1.RestoreNameLabel: velerov1.ValidLabelValue(s.restore.Name),
				velerov1.RestoreUIDLabel:  string(s.restore.UID),
				velerov1.PodUIDLabel:      string(s.pod.UID),
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: velerov1.SchemeGroupVersion.String(),
				Kind:       "Restore",
				Name:       s.restore.Name,
				UID:        s.restore.UID,
				Controller: ptr.To(true),
			}},
		},
		Spec: velerov1.PodVolumeRestoreSpec{
			Pod:                   corev1.ObjectReference{Kind: "Pod", Namespace: s.pod.Namespace, Name: s.pod.Name, UID: s.pod.UID},
			Volume:                s.backup.Spec.Volume,
			BackupStorageLocation: s.location,
			SnapshotID:            s.backup.Status.SnapshotID,
			SnapshotSize:          s.backup.Status.Progress.TotalBytes,
			SourceNamespace:       s.backup.Spec.Pod.Namespace,
			UploaderType:          velerov1.BackupRepositoryTypeKopia,
			UploaderSettings:      uploaderSettings(s.restore.Spec.UploaderConfig),
		},
	}
	r.Annotations = map[string]string{velerov1.VolumeSourceAnnotation: s.backup.Spec.Pod.Name + "/" + s.backup.Spec.Volume}
	if s.claim != "" {
		r.Annotations[velerov1.PVCNameAnnotation] = s.claim
	}
	if s.owner != "" {
		r.Annotations[velerov1.PodOwnerAnnotation] = s.owner
	}
	if s.claimUID != "" {
		r.Labels[velerov1.PVCUIDLabel] = string(s.claimUID)
	}
	return r
}

const (
	// nameHashDigits is how many hex digits tell the volumes of a restore apart:
	// with 40 bits, 1 000 volumes collide once in two million restores.
	nameHashDigits = 10

	// maxNameBytes is the longest name of an object
	// (k8s.io/apimachinery/pkg/util/validation, DNS1123SubdomainMaxLength).
	maxNameBytes = 253
)

func volumeRestoreName(restore string, pod types.UID, volume string) string {
	sum := sha256.Sum256([]byte(string(pod) + "/" + volume))
	prefix := restore[:min(len(restore), maxNameBytes-nameHashDigits-1)]
	return strings.TrimRight(prefix, ".-") + "-" + hex.EncodeToString(sum[:])[:nameHashDigits]
}

// Keys of uploader settings (velero-facts §4.9.3).
const (
	settingSparse   = "WriteSparseFiles"
	settingParallel = "ParallelFilesDownload"
)

// uploaderSettings returns the settings that a restore asks for; nil when it has
// no uploaderConfig.
func uploaderSettings(c *velerov1.UploaderConfigForRestore) map[string]string {
	if c == nil {
		return nil
	}
	settings := map[string]string{settingSparse: strconv.FormatBool(c.WriteSparseFiles != nil && *c.WriteSparseFiles)}
	if c.ParallelFilesDownload > 0 {
		settings[settingParallel] = strconv.Itoa(c.ParallelFilesDownload)
	}
	return settings
}

// volumeError is the entry in the results for a volume that has not been
// restored, nil for one that has. It names the pod, which does not start, and what
// has kept it from being filled.
func volumeError(v *velerov1.PodVolumeRestore, u untaken) error {
	stays := fmt.Sprintf("pod %s/%s does not start; delete it and restore again, or restore into a new namespace",
		v.Spec.Pod.Namespace, v.Spec.Pod.Name)
	if claim := v.Annotations[velerov1.PVCNameAnnotation]; claim != "" {
		stays += fmt.Sprintf("; claim %s keeps pods away until it is restored, or its label %s is taken off", claim, velerov1.RestoreIncompleteLabel)
	}
	if u.message != "" {
		stays = u.message + "; " + stays
	}
	message := cmp.Or(oneLine(v.Status.Message), "no message")
	switch {
	case v.Status.Phase == velerov1.PodVolumeRestorePhaseCompleted:
		return nil
	case u.podGone:
		return errors.New("pod volume restore failed: the pod does not exist any more")
	case hasLostPod(v):
		return fmt.Errorf("pod volume restore failed: %s", message)
	case v.Status.Phase == velerov1.PodVolumeRestorePhaseFailed:
		return fmt.Errorf("pod volume restore failed: %s; %s", message, stays)
	case v.Status.Phase == velerov1.PodVolumeRestorePhaseCanceled:
		return fmt.Errorf("pod volume restore canceled: %s; %s", message, stays)
	case v.Spec.Cancel:
		return fmt.Errorf("pod volume restore canceled while it was %s; %s", cmp.Or(string(v.Status.Phase), "New"), stays)
	default:
		return fmt.Errorf("timed out waiting for the pod volume restore, which is %s; %s", cmp.Or(string(v.Status.Phase), "New"), stays)
	}
}

// hasLostPod reports whether the volume failed because its pod went away.
func hasLostPod(v *velerov1.PodVolumeRestore) bool {
	c := meta.FindStatusCondition(v.Status.Conditions, velerov1.ConditionCompleted)
	return c != nil && c.Reason == velerov1.ReasonPodGone
}

// volumeWarning says what a completed restore of a volume lacks, or "".
func volumeWarning(v *velerov1.PodVolumeRestore) string {
	var lacks []string
	if n := v.Status.SkippedFiles; n > 0 {
		lacks = append(lacks, fmt.Sprintf("%d special files (pipes, sockets, devices) were not restored", n))
	}
	if n := v.Status.LostAttributes; n > 0 {
		lacks = append(lacks, fmt.Sprintf("%d attributes (owner, mode, times, extended attributes) could not be set", n))
	}
	if v.Status.Phase != velerov1.PodVolumeRestorePhaseCompleted || len(lacks) == 0 {
		return ""
	}
	return strings.Join(lacks, "; ")
}
