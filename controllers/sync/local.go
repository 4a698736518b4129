package sync

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// maxObjectBytes is the largest object that is tried to be created: etcd takes
// 1.5 MiB, and the API server adds managed fields.
const maxObjectBytes = 1_400_000

const kindBackup = "Backup"

// target is where stored objects are to be.
type target struct {
	namespace string
	location  string

	// schedules are the UIDs of the Schedules in the cluster, by name.
	schedules map[string]types.UID
}

// admission says whether a stored backup may become a Backup.
type admission struct {
	ok      bool
	why     string
	visible bool // people should hear why not
}

// admit judges a stored backup. Only finished ones may come into the cluster: an
// unfinished one would be taken up by the backup controller.
func admit(stored *velerov1.Backup, name string, now time.Time) admission {
	switch phase := stored.Status.Phase; {
	case stored.Name != name:
		return admission{why: fmt.Sprintf("its folder holds a Backup with the name %q", shortened(stored.Name)), visible: true}
	case stored.IsFinished():
		return admission{ok: true}
	case isLeftBehind(stored) && isExpired(stored, now):
		return admission{ok: true}
	case isLeftBehind(stored):
		return admission{why: fmt.Sprintf("the cluster that makes it has not finished it (%s)", phase)}
	case phase == velerov1.BackupPhaseDeleting:
		// Another cluster's deletion marks it so, and removes it in a moment.
		return admission{why: "a cluster is deleting it"}
	default:
		return admission{why: fmt.Sprintf("its phase is %q, and only finished backups are taken", shortened(string(phase))), visible: true}
	}
}

// isLeftBehind reports whether a real Velero is about to finish the backup, or
// died before it could: it stores a backup once before that.
func isLeftBehind(b *velerov1.Backup) bool {
	switch b.Status.Phase {
	case velerov1.BackupPhaseWaitingForPluginOperations, velerov1.BackupPhaseWaitingForPluginOperationsPartiallyFailed,
		velerov1.BackupPhaseFinalizing, velerov1.BackupPhaseFinalizingPartiallyFailed:
		return true
	default:
		return false
	}
}

func isExpired(b *velerov1.Backup, now time.Time) bool {
	return b.Status.Expiration != nil && b.Status.Expiration.Time.Before(now)
}

// localBackup is the Backup for a stored one. It says of itself that its volumes
// are not in the cluster yet.
func localBackup(stored *velerov1.Backup, to target) *velerov1.Backup {
	b := stored.DeepCopy()
	b.ObjectMeta = localMeta(stored.ObjectMeta, to.namespace)
	b.Labels[velerov1.StorageLocationLabel] = velerov1.ValidLabelValue(to.location)
	delete(b.Labels, velerov1.GCFailureLabel) // it tells of another cluster
	delete(b.Annotations, velerov1.CancelRequestedByAnnotation)
	b.Annotations[velerov1.SyncingAnnotation] = "true"
	for _, owner := range stored.OwnerReferences {
		if isOurSchedule(owner, to.schedules) {
			b.OwnerReferences = append(b.OwnerReferences, owner)
		}
	}
	b.Spec.StorageLocation = to.location
	b.Status.QueuePosition = 0
	if isLeftBehind(b) {
		b.Status.Phase = velerov1.BackupPhasePartiallyFailed
	}
	return b
}

// isOurSchedule keeps a Backup with the Schedule that made it. Any other owner
// would have the garbage collector remove it.
func isOurSchedule(owner metav1.OwnerReference, schedules map[string]types.UID) bool {
	return owner.APIVersion == velerov1.SchemeGroupVersion.String() && owner.Kind == kindSchedule &&
		owner.UID != "" && schedules[owner.Name] == owner.UID
}

const kindSchedule = "Schedule"

// localMeta is the metadata of an object that another cluster has stored: name,
// labels and annotations.
func localMeta(stored metav1.ObjectMeta, namespace string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: stored.Name, Labels: map[string]string{}, Annotations: map[string]string{}}
	for k, v := range stored.Labels {
		m.Labels[k] = v
	}
	for k, v := range stored.Annotations {
		m.Annotations[k] = v
	}
	return m
}

// localVolume is the PodVolumeBackup for a stored one. It belongs to the backup
// in whose folder it lies, whatever it says itself, has no finalizer, which a
// cluster without node agents could not remove, and is finished, so that no node
// agent acts on it.
func localVolume(stored *velerov1.PodVolumeBackup, backup *velerov1.Backup, to target) *velerov1.PodVolumeBackup {
	v := stored.DeepCopy()
	v.ObjectMeta = localMeta(stored.ObjectMeta, to.namespace)
	v.Labels[velerov1.BackupNameLabel] = velerov1.ValidLabelValue(backup.Name)
	v.Labels[velerov1.BackupUIDLabel] = string(backup.UID)
	delete(v.Labels, velerov1.ExposeOnGoingLabel)
	delete(v.Annotations, velerov1.MoversAnnotation)
	v.OwnerReferences = []metav1.OwnerReference{ownerOf(backup)}
	v.Spec.BackupStorageLocation = to.location
	v.Spec.Cancel = false
	if !v.IsFinished() {
		was := shortened(string(v.Status.Phase))
		v.Status.Message = joined(v.Status.Message, fmt.Sprintf("the volume was not finished (phase %q) when its backup was stored", was))
		v.Status.Phase = velerov1.PodVolumeBackupPhaseFailed
	}
	return v
}

func ownerOf(backup *velerov1.Backup) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: velerov1.SchemeGroupVersion.String(), Kind: kindBackup, Name: backup.Name, UID: backup.UID, Controller: ptr.To(true),
	}
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// validateVolume refuses an entry that no restore could use: its namespace is
// part of the repository's path.
func validateVolume(v *velerov1.PodVolumeBackup) string {
	switch {
	case len(validation.IsDNS1123Subdomain(v.Name)) > 0:
		return fmt.Sprintf("metadata.name: Invalid value: %q", shortened(v.Name))
	case len(validation.IsDNS1123Label(v.Spec.Pod.Namespace)) > 0:
		return fmt.Sprintf("spec.pod.namespace: Invalid value: %q", shortened(v.Spec.Pod.Namespace))
	case len(validation.IsDNS1123Subdomain(v.Spec.Pod.Name)) > 0:
		return fmt.Sprintf("spec.pod.name: Invalid value: %q", shortened(v.Spec.Pod.Name))
	case len(validation.IsDNS1123Label(v.Spec.Volume)) > 0:
		return fmt.Sprintf("spec.volume: Invalid value: %q", shortened(v.Spec.Volume))
	default:
		return ""
	}
}

// isSameVolume reports whether an object of the cluster is what a stored volume
// would become.
func isSameVolume(existing, wanted *velerov1.PodVolumeBackup) bool {
	return existing.Labels[velerov1.BackupNameLabel] == wanted.Labels[velerov1.BackupNameLabel] &&
		existing.Spec.BackupStorageLocation == wanted.Spec.BackupStorageLocation &&
		existing.Spec.Pod.Namespace == wanted.Spec.Pod.Namespace && existing.Spec.Pod.Name == wanted.Spec.Pod.Name &&
		existing.Spec.Volume == wanted.Spec.Volume && existing.Status.SnapshotID == wanted.Status.SnapshotID
}

// isTooLarge reports whether no API server would take the object.
func isTooLarge(object any) bool {
	data, err := json.Marshal(object)
	return err != nil || len(data) > maxObjectBytes
}

// maxQuoted is how much of a text from object storage a message repeats.
const maxQuoted = 80

func shortened(text string) string {
	runes := []rune(text)
	if len(runes) <= maxQuoted {
		return text
	}
	return string(runes[:maxQuoted]) + "…"
}
