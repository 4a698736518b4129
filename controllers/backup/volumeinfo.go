package backup

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

const (
	// skipApproach names file system backup in the reasons of skipped volumes
	// (velero-facts §5.6).
	skipApproach = "podvolume"

	// reasonNoPod is why the volume of a claim is skipped that no pod mounts.
	reasonNoPod = "NotMountedByAnyPod"
)

// interimVolumeInfo is what is known of the volumes when the items have been
// read: the volumes of claims, taken or skipped, and volumes without a claim
// that are taken. finalVolumeInfo completes it.
func interimVolumeInfo(claims []*claim, taken map[string]takenVolume) layout.VolumeInfoList {
	var skipped, moved layout.VolumeInfoList
	byKey := map[claimKey]*claim{}
	for _, cl := range claims {
		byKey[claimKey{cl.namespace, cl.name}] = cl
		if cl.volume != nil && cl.volume.archived && !cl.taken {
			skipped = append(skipped, skippedInfo(cl))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(taken)) {
		v := taken[name]
		info := layout.VolumeInfo{
			BackupMethod: layout.BackupMethodPodVolumeBackup,
			PodVolumeInfo: &layout.PodVolumeInfo{
				UploaderType: velerov1.BackupRepositoryTypeKopia,
				VolumeName:   v.volume, PodName: v.podName, PodNamespace: v.podNamespace, NodeName: v.node,
			},
		}
		setClaim(&info, byKey[claimKey{v.podNamespace, v.claim}])
		moved = append(moved, info)
	}
	return append(skipped, moved...)
}

func skippedInfo(cl *claim) layout.VolumeInfo {
	reasons := cl.skips
	if len(reasons) == 0 {
		reasons = []string{reasonNoPod}
	}
	var text strings.Builder
	for _, r := range reasons {
		text.WriteString(skipApproach + ": " + r + ";")
	}
	info := layout.VolumeInfo{Skipped: true, SkippedReason: text.String()}
	setClaim(&info, cl)
	return info
}

// setClaim fills in the claim and its volume; cl is nil for a volume without a
// claim.
func setClaim(info *layout.VolumeInfo, cl *claim) {
	if cl == nil {
		return
	}
	info.PVCName, info.PVCNamespace = cl.name, cl.namespace
	if cl.volume != nil {
		info.PVName = cl.volume.name
		info.PVInfo = cl.volume.info()
	}
}

// podVolumeKey names a pod volume backup by what it is of.
type podVolumeKey struct{ namespace, pod, volume string }

// finalVolumeInfo completes the interim list by how each volume has ended: the
// skipped first, then one entry for each pod volume backup. lost are entries
// whose pod volume backup somebody has deleted; they count as failed. Completing
// a list twice changes nothing.
func finalVolumeInfo(interim layout.VolumeInfoList, volumes []velerov1.PodVolumeBackup) (list, lost layout.VolumeInfoList) {
	ended := map[podVolumeKey]*velerov1.PodVolumeBackup{}
	for i := range volumes {
		v := &volumes[i]
		ended[podVolumeKey{v.Spec.Pod.Namespace, v.Spec.Pod.Name, v.Spec.Volume}] = v
	}
	for _, info := range interim {
		if info.PodVolumeInfo == nil {
			list = append(list, info)
			continue
		}
		p := info.PodVolumeInfo
		key := podVolumeKey{p.PodNamespace, p.PodName, p.VolumeName}
		if v := ended[key]; v != nil {
			list = append(list, endedInfo(info, v))
			delete(ended, key)
			continue
		}
		info.Result = layout.VolumeResultFailed
		list, lost = append(list, info), append(lost, info)
	}
	for _, v := range sortedVolumes(ended) {
		list = append(list, endedInfo(layout.VolumeInfo{
			BackupMethod: layout.BackupMethodPodVolumeBackup,
			PVCName:      v.Annotations[velerov1.PVCNameAnnotation],
			PVCNamespace: claimNamespace(v),
		}, v))
	}
	return list, lost
}

// endedInfo copies how a pod volume backup has ended.
func endedInfo(info layout.VolumeInfo, v *velerov1.PodVolumeBackup) layout.VolumeInfo {
	info.StartTimestamp = v.Status.StartTimestamp
	info.CompletionTimestamp = v.Status.CompletionTimestamp
	info.Result = layout.VolumeResultFailed
	if v.Status.Phase == velerov1.PodVolumeBackupPhaseCompleted {
		info.Result = layout.VolumeResultSucceeded
	}
	info.PodVolumeInfo = &layout.PodVolumeInfo{
		SnapshotHandle:   v.Status.SnapshotID,
		SizeBytes:        v.Status.Progress.TotalBytes,
		IncrementalBytes: v.Status.IncrementalBytes,
		UploaderType:     v.Spec.UploaderType,
		VolumeName:       v.Spec.Volume,
		PodName:          v.Spec.Pod.Name,
		PodNamespace:     v.Spec.Pod.Namespace,
		NodeName:         v.Spec.Node,
		Phase:            v.Status.Phase,
	}
	return info
}

func claimNamespace(v *velerov1.PodVolumeBackup) string {
	if v.Annotations[velerov1.PVCNameAnnotation] == "" {
		return ""
	}
	return v.Spec.Pod.Namespace
}

func sortedVolumes(m map[podVolumeKey]*velerov1.PodVolumeBackup) []*velerov1.PodVolumeBackup {
	return slices.SortedFunc(maps.Values(m), func(a, b *velerov1.PodVolumeBackup) int { return cmp.Compare(a.Name, b.Name) })
}
