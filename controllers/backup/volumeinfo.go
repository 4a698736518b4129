package backup

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// Approaches to a volume, in the reasons of skipped ones (velero-facts §5.6).
const (
	skipApproach = "podvolume"
	anyApproach  = "any"
)

// Why the volume of a claim is skipped of which no pod says more.
const (
	reasonNoPod        = "NotMountedByAnyPod"
	reasonPodsExcluded = "PodsNotInTheBackup"
)

// interimVolumeInfo is what is known of the volumes when the items have been
// read: those of claims, taken or skipped, and those without a claim.
// finalVolumeInfo completes it.
func interimVolumeInfo(c *claims, v *podVolumes) layout.VolumeInfoList {
	var skipped, moved layout.VolumeInfoList
	for _, cl := range c.sorted() {
		if !cl.taken {
			skipped = append(skipped, skippedInfo(cl, c.unused))
		}
	}
	for _, s := range v.skipped {
		skipped = append(skipped, layout.VolumeInfo{
			Skipped: true, SkippedReason: skipText(skipApproach, string(s.reason)),
			PodVolumeInfo: &layout.PodVolumeInfo{
				UploaderType: velerov1.BackupRepositoryTypeKopia,
				VolumeName:   s.volume, PodName: s.podName, PodNamespace: s.podNamespace,
			},
		})
	}
	for _, name := range slices.Sorted(maps.Keys(v.created)) {
		taken := v.created[name]
		info := layout.VolumeInfo{
			BackupMethod: layout.BackupMethodPodVolumeBackup,
			PodVolumeInfo: &layout.PodVolumeInfo{
				UploaderType: velerov1.BackupRepositoryTypeKopia,
				VolumeName:   taken.volume, PodName: taken.podName, PodNamespace: taken.podNamespace, NodeName: taken.node,
			},
		}
		setClaim(&info, c.find(taken.podNamespace, taken.claim))
		moved = append(moved, info)
	}
	return append(skipped, moved...)
}

// skippedVolumes are the persistent volumes of the backup whose data nobody has,
// in the form in which Velero logs them (velero-facts §5.6).
func skippedVolumes(c *claims) string {
	type reason struct {
		Approach string `json:"approach"`
		Reason   string `json:"reason"`
	}
	type skippedPV struct {
		Name    string   `json:"name"`
		Reasons []reason `json:"reasons"`
	}
	list := []skippedPV{}
	for _, cl := range c.sorted() {
		if cl.taken || cl.volume == nil {
			continue
		}
		pv := skippedPV{Name: cl.volume.name}
		approach, reasons := skipReasons(cl, c.unused)
		for _, r := range reasons {
			pv.Reasons = append(pv.Reasons, reason{Approach: approach, Reason: r})
		}
		list = append(list, pv)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic("backup: encoding plain values: " + err.Error()) // cannot happen
	}
	return string(text)
}

// skippedInfo says why nobody has the data of a claim; unused is the reason when
// no pod says more.
func skippedInfo(cl *claim, unused string) layout.VolumeInfo {
	info := layout.VolumeInfo{Skipped: true}
	setClaim(&info, cl)
	approach, reasons := skipReasons(cl, unused)
	info.SkippedReason = skipText(approach, reasons...)
	return info
}

func skipReasons(cl *claim, unused string) (approach string, reasons []string) {
	switch {
	case cl.excluded != "":
		return anyApproach, []string{cl.excluded}
	case len(cl.skips) == 0:
		return skipApproach, []string{cmp.Or(unused, reasonNoPod)}
	default:
		return skipApproach, cl.skips
	}
}

func skipText(approach string, reasons ...string) string {
	var text strings.Builder
	for _, r := range reasons {
		text.WriteString(approach + ": " + r + ";")
	}
	return text.String()
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
		if info.Skipped || info.PodVolumeInfo == nil {
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
