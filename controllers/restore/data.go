package restore

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/layout"
)

// backupData is what a backup knows of its volumes, found by pod, claim and
// volume without looking at all of them for each.
type backupData struct {
	volumes []velerov1.PodVolumeBackup // sorted by pod and volume

	byPod   map[types.NamespacedName][]velerov1.PodVolumeBackup // names of the backup; oldest first
	byClaim map[types.NamespacedName][]*velerov1.PodVolumeBackup
	infos   map[string]layout.VolumeInfo // by persistent volume
}

func newBackupData(volumes []velerov1.PodVolumeBackup, infos layout.VolumeInfoList) backupData {
	d := backupData{
		volumes: volumes,
		byPod:   map[types.NamespacedName][]velerov1.PodVolumeBackup{},
		byClaim: map[types.NamespacedName][]*velerov1.PodVolumeBackup{},
		infos:   map[string]layout.VolumeInfo{},
	}
	for i := range volumes {
		b := &volumes[i]
		pod := types.NamespacedName{Namespace: b.Spec.Pod.Namespace, Name: b.Spec.Pod.Name}
		d.byPod[pod] = append(d.byPod[pod], *b)
		if claim := b.Annotations[velerov1.PVCNameAnnotation]; claim != "" {
			key := types.NamespacedName{Namespace: b.Spec.Pod.Namespace, Name: claim}
			d.byClaim[key] = append(d.byClaim[key], b)
		}
	}
	for _, info := range infos {
		if _, ok := d.infos[info.PVName]; !ok && info.BackupMethod != "" {
			d.infos[info.PVName] = info
		}
	}
	return d
}

// ofPod are the volume backups of a pod of the archive, oldest first.
func (d backupData) ofPod(namespace, name string) []velerov1.PodVolumeBackup {
	return d.byPod[types.NamespacedName{Namespace: namespace, Name: name}]
}

// of says where the data of a volume of the archive is. A volume without an entry
// in the volume information is known by a backup of its claim.
func (d backupData) of(pv *corev1.PersistentVolume) items.Data {
	switch d.infos[pv.Name].BackupMethod {
	case layout.BackupMethodPodVolumeBackup:
		return items.DataFileSystem
	case layout.BackupMethodNativeSnapshot, layout.BackupMethodCSISnapshot:
		return items.DataSnapshot
	}
	namespace, claim, bound := items.ClaimOf(pv)
	if bound && len(d.byClaim[types.NamespacedName{Namespace: namespace, Name: claim}]) > 0 {
		return items.DataFileSystem
	}
	return items.DataNone
}

// shared are the volumes of a pod without a backup of their own whose claim is
// restored through another pod: a shared claim is backed up once.
func (d backupData) shared(pod *corev1.Pod) []string {
	var shared []string
	for _, v := range pod.Spec.Volumes {
		claim := claimOf(pod, v.Name)
		if claim == "" {
			continue
		}
		own, others := false, false
		for _, b := range d.byClaim[types.NamespacedName{Namespace: pod.Namespace, Name: claim}] {
			hasData := b.Status.SnapshotID != ""
			own = own || hasData && b.Spec.Pod.Name == pod.Name
			others = others || hasData && b.Spec.Pod.Name != pod.Name
		}
		if others && !own {
			shared = append(shared, v.Name)
		}
	}
	return shared
}
