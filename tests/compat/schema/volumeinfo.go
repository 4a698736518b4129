package schema

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volumeInfo is an entry of the volume information, with every key that Velero
// knows (velero-facts §1.7).
type volumeInfo struct {
	PVCName               string       `json:"pvcName"`
	PVCNamespace          string       `json:"pvcNamespace"`
	PVName                string       `json:"pvName"`
	BackupMethod          string       `json:"backupMethod"`
	SnapshotDataMoved     bool         `json:"snapshotDataMoved"`
	PreserveLocalSnapshot bool         `json:"preserveLocalSnapshot"`
	Skipped               bool         `json:"skipped"`
	SkippedReason         string       `json:"skippedReason"`
	StartTimestamp        *metav1.Time `json:"startTimestamp"`
	CompletionTimestamp   *metav1.Time `json:"completionTimestamp"`
	Result                string       `json:"result"`
	CSISnapshotInfo       object       `json:"csiSnapshotInfo"`
	SnapshotMovementInfo  object       `json:"snapshotDataMovementInfo"`
	NativeSnapshotInfo    object       `json:"nativeSnapshotInfo"`
	PVBInfo               *pvbInfo     `json:"pvbInfo"`
	PVInfo                *pvInfo      `json:"pvInfo"`
}

type pvbInfo struct {
	SnapshotHandle  string `json:"snapshotHandle"`
	Size            int64  `json:"size"`
	IncrementalSize int64  `json:"incrementalSize"`
	UploaderType    string `json:"uploaderType"`
	VolumeName      string `json:"volumeName"`
	PodName         string `json:"podName"`
	PodNamespace    string `json:"podNamespace"`
	NodeName        string `json:"nodeName"`
	Phase           string `json:"Phase"`
}

type pvInfo struct {
	ReclaimPolicy string            `json:"reclaimPolicy"`
	Labels        map[string]string `json:"labels"`
}

const methodPodVolumeBackup = "PodVolumeBackup"

// checkVolumeInfo checks the volume information, and that every volume is in it.
func (b *backup) checkVolumeInfo() {
	key := b.key("-volumeinfo.json.gz")
	var raw []object
	if !b.document(key, &raw) {
		return
	}
	if raw == nil {
		b.add(key, RuleJSON, "is null, where Velero writes []")
	}
	var infos []volumeInfo
	for i, o := range raw {
		info, ok := b.decodeInfo(key, i, o)
		if !ok {
			continue
		}
		if info.Skipped && len(infos) > 0 && !infos[len(infos)-1].Skipped {
			b.add(key, RuleVolumeInfo, "entry %d: skipped volumes come first", i)
		}
		infos = append(infos, info)
	}
	b.checkVolumesAreListed(key, infos)
	b.checkClaimsAreListed(key, infos)
}

func (b *backup) decodeInfo(key string, i int, o object) (info volumeInfo, ok bool) {
	where := fmt.Sprintf("entry %d", i)
	b.requireKeys(key, where, o, "snapshotDataMoved", "preserveLocalSnapshot", "skipped")
	content, err := json.Marshal(o)
	if err != nil {
		panic(err) // it was JSON before
	}
	if !b.strict(key, content, &info) {
		return info, false
	}
	b.requireBelow(key, where, o, "pvbInfo", "uploaderType", "volumeName", "podName", "podNamespace", "Phase")
	b.requireBelow(key, where, o, "pvInfo", "reclaimPolicy", "labels")
	switch {
	case info.Skipped:
		b.checkSkipped(key, where, info)
	case info.BackupMethod == methodPodVolumeBackup:
		b.checkMoved(key, where, info)
	default:
		b.add(key, RuleEnum, "%s: backupMethod is %q", where, info.BackupMethod)
	}
	if (info.PVCName == "") != (info.PVCNamespace == "") || (info.PVName != "") != (info.PVInfo != nil) {
		b.add(key, RuleVolumeInfo, "%s: the claim must have name and namespace, and the volume name and information", where)
	}
	return info, true
}

func (b *backup) requireBelow(key, where string, o object, name string, keys ...string) {
	raw, ok := o[name]
	if !ok {
		return
	}
	var below object
	if b.strict(key, raw, &below) {
		b.requireKeys(key, where+"."+name, below, keys...)
	}
}

func (b *backup) checkSkipped(key, where string, info volumeInfo) {
	if info.SkippedReason == "" || info.PVName == "" || info.BackupMethod != "" || info.PVBInfo != nil || info.Result != "" {
		b.add(key, RuleVolumeInfo, "%s: a skipped volume has a reason and a pvName, and no method, pvbInfo and result", where)
	}
}

func (b *backup) checkMoved(key, where string, info volumeInfo) {
	if info.PVBInfo == nil || info.SnapshotDataMoved || info.PreserveLocalSnapshot || info.SkippedReason != "" {
		b.add(key, RuleVolumeInfo, "%s: a moved volume has pvbInfo, and neither snapshots nor a reason", where)
		return
	}
	wantResult := "failed"
	if info.PVBInfo.Phase == "Completed" {
		wantResult = "succeeded"
	}
	if info.Result != wantResult {
		b.add(key, RuleVolumeInfo, "%s: result is %q, not %q, with phase %q", where, info.Result, wantResult, info.PVBInfo.Phase)
	}
}

// checkVolumesAreListed wants one entry for each stored PodVolumeBackup, which
// says the same of it.
func (b *backup) checkVolumesAreListed(key string, infos []volumeInfo) {
	listed := map[string]volumeInfo{}
	for _, info := range infos {
		p := info.PVBInfo
		if p == nil {
			continue
		}
		k := volumeKey(p.PodNamespace, p.PodName, p.VolumeName)
		if _, twice := listed[k]; twice {
			b.add(key, RuleVolumeInfo, "volume %s is there twice", k)
		}
		listed[k] = info
	}
	for _, v := range b.volumes {
		info, ok := listed[v.key()]
		if !ok {
			b.add(key, RuleVolumeInfo, "volume %s has a PodVolumeBackup and no entry", v.key())
			continue
		}
		p := info.PVBInfo
		if p.SnapshotHandle != v.Status.SnapshotID || p.Size != v.Status.Progress.TotalBytes || p.UploaderType != v.Spec.UploaderType || p.NodeName != v.Spec.Node {
			b.add(key, RuleVolumeInfo, "volume %s: %+v is not what its PodVolumeBackup says", v.key(), *p)
		}
		if v.isCompleted() != (info.Result == "succeeded") {
			b.add(key, RuleVolumeInfo, "volume %s: result is %q, its PodVolumeBackup %s", v.key(), info.Result, v.Status.Phase)
		}
		if info.PVCName != v.Metadata.Annotations[annotationPVCName] {
			b.add(key, RuleVolumeInfo, "volume %s: pvcName is %q, its PodVolumeBackup's %q", v.key(), info.PVCName, v.Metadata.Annotations[annotationPVCName])
		}
	}
}

// checkClaimsAreListed wants an entry for each volume in the archive. Without one,
// a restore takes the volume for one without data.
func (b *backup) checkClaimsAreListed(key string, infos []volumeInfo) {
	listed := map[string]volumeInfo{}
	for _, info := range infos {
		if info.PVName != "" {
			listed[info.PVName] = info
		}
	}
	moved := map[string]bool{} // claims with data
	for _, v := range b.volumes {
		if claim := v.Metadata.Annotations[annotationPVCName]; claim != "" {
			moved[v.Spec.Pod.Namespace+"/"+claim] = true
		}
	}
	for pv, claim := range b.archive.volumes {
		info, ok := listed[pv]
		switch {
		case !ok:
			b.add(key, RuleVolumeInfo, "persistent volume %s is in the archive and has no entry", pv)
		case moved[claim] && (info.BackupMethod != methodPodVolumeBackup || info.PVCNamespace+"/"+info.PVCName != claim):
			b.add(key, RuleVolumeInfo, "persistent volume %s of claim %s has a PodVolumeBackup; its entry says %+v", pv, claim, info)
		}
	}
}
