package schema

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
)

// restoreInfo is an entry of the volume information of a restore (velero-facts
// §1.8).
type restoreInfo struct {
	PVCName              string   `json:"pvcName"`
	PVCNamespace         string   `json:"pvcNamespace"`
	PVName               string   `json:"pvName"`
	RestoreMethod        string   `json:"restoreMethod"`
	SnapshotDataMoved    bool     `json:"snapshotDataMoved"`
	CSISnapshotInfo      object   `json:"csiSnapshotInfo"`
	SnapshotMovementInfo object   `json:"snapshotDataMovementInfo"`
	NativeSnapshotInfo   object   `json:"nativeSnapshotInfo"`
	PVRInfo              *pvbInfo `json:"pvrInfo"`
}

// checkRestore checks the folder of one restore.
func (c *checker) checkRestore(name string, objects []string) {
	base := path.Join(restoresFolder, name)
	prefix := "restore-" + name
	wanted := []string{
		prefix + "-logs.gz", prefix + "-results.gz", prefix + "-resource-list.json.gz", prefix + "-itemoperations.json.gz",
		name + "-volumeinfo.json.gz",
	}
	if !c.expectObjects(base, objects, wanted, nil) {
		return
	}
	c.checkLog(path.Join(base, prefix+"-logs.gz"), "restore=")
	c.checkResults(path.Join(base, prefix+"-results.gz"))
	c.checkEmptyList(path.Join(base, prefix+"-itemoperations.json.gz"), "[]")
	c.checkRestoredList(path.Join(base, prefix+"-resource-list.json.gz"))
	c.checkRestoreInfo(path.Join(base, name+"-volumeinfo.json.gz"))
}

var (
	restoredItem = regexp.MustCompile(`^([^/()]+/)?[^/()]+\((created|updated|failed|skipped)\)$`)
	kindKey      = regexp.MustCompile(`^([a-z0-9.-]+/)?v[a-z0-9]+/[A-Za-z0-9]+$`)
)

func (c *checker) checkRestoredList(key string) {
	var list map[string][]string
	if !c.document(key, &list) {
		return
	}
	for kind, names := range list {
		if !kindKey.MatchString(kind) {
			c.add(key, RuleList, "%q is no apiVersion and kind", kind)
		}
		if !slices.IsSorted(names) {
			c.add(key, RuleList, "%s is not sorted", kind)
		}
		for _, n := range names {
			if !restoredItem.MatchString(n) {
				c.add(key, RuleList, "%s: %q is no item with what was done with it", kind, n)
			}
		}
	}
}

func (c *checker) checkRestoreInfo(key string) {
	var raw []object
	if !c.document(key, &raw) {
		return
	}
	if raw == nil {
		c.add(key, RuleJSON, "is null, where Velero writes []")
	}
	for i, o := range raw {
		where := fmt.Sprintf("entry %d", i)
		c.requireKeys(key, where, o, "restoreMethod", "snapshotDataMoved")
		content, err := json.Marshal(o)
		if err != nil {
			panic(err) // it was JSON before
		}
		var info restoreInfo
		if !c.strict(key, content, &info) {
			continue
		}
		p := info.PVRInfo
		if info.RestoreMethod != "PodVolumeRestore" || p == nil || info.PVCName == "" || info.PVCNamespace == "" {
			c.add(key, RuleVolumeInfo, "%s must be a PodVolumeRestore with pvrInfo and a claim: %s", where, content)
			continue
		}
		if !snapshotID.MatchString(p.SnapshotHandle) || p.NodeName != "" || p.Phase != "" || p.VolumeName == "" || p.PodName == "" {
			c.add(key, RuleVolumeInfo, "%s.pvrInfo must have a snapshot, a volume and a pod, and neither node nor phase: %s", where, content)
		}
	}
}
