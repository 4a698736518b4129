package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// podVolumeBackup is what is looked at of an entry beside its fields.
type podVolumeBackup struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Node string `json:"node"`
		Pod  struct {
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
			UID       string `json:"uid"`
		} `json:"pod"`
		Volume                string            `json:"volume"`
		BackupStorageLocation string            `json:"backupStorageLocation"`
		RepoIdentifier        string            `json:"repoIdentifier"`
		UploaderType          string            `json:"uploaderType"`
		Tags                  map[string]string `json:"tags"`
		Cancel                bool              `json:"cancel"`
	} `json:"spec"`
	Status struct {
		Phase               string       `json:"phase"`
		SnapshotID          string       `json:"snapshotID"`
		StartTimestamp      *metav1.Time `json:"startTimestamp"`
		CompletionTimestamp *metav1.Time `json:"completionTimestamp"`
		Progress            struct {
			TotalBytes int64 `json:"totalBytes"`
		} `json:"progress"`
		IncrementalBytes int64 `json:"incrementalBytes"`
	} `json:"status"`
}

func (v podVolumeBackup) isCompleted() bool { return v.Status.Phase == "Completed" }

// volumeKey names what a volume is of.
func volumeKey(namespace, pod, volume string) string { return namespace + "/" + pod + "/" + volume }

func (v podVolumeBackup) key() string {
	return volumeKey(v.Spec.Pod.Namespace, v.Spec.Pod.Name, v.Spec.Volume)
}

// validLabelValue is a name as the value of a label (velero-facts §3.1).
func validLabelValue(name string) string {
	if len(name) <= 63 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:57] + hex.EncodeToString(sum[:])[:6]
}

// checkVolumes checks the list of PodVolumeBackups.
func (b *backup) checkVolumes() {
	key := b.key("-podvolumebackups.json.gz")
	var entries []json.RawMessage
	if !b.document(key, &entries) {
		return
	}
	if entries != nil && len(entries) == 0 {
		b.add(key, RuleJSON, "is [], where Velero writes null")
	}
	names := map[string]bool{}
	for i, raw := range entries {
		where := fmt.Sprintf("entry %d: ", i)
		b.checkObject(key, where, "PodVolumeBackup", raw)
		var v podVolumeBackup
		if err := json.Unmarshal(raw, &v); err != nil {
			b.add(key, RuleType, "%s%v", where, err)
			continue
		}
		if names[v.Metadata.Name] {
			b.add(key, RuleName, "%sthe name %q is there before", where, v.Metadata.Name)
		}
		names[v.Metadata.Name] = true
		b.checkVolume(key, where, v)
		b.volumes = append(b.volumes, v)
	}
}

// checkVolume checks one entry, as a sync creates it with its status.
func (b *backup) checkVolume(key, where string, v podVolumeBackup) {
	b.checkObjectMeta(key, where, &v.Metadata)
	if problems := validation.IsDNS1123Subdomain(v.Metadata.Name); len(problems) > 0 {
		b.add(key, RuleName, "%smetadata.name %q: %s", where, v.Metadata.Name, problems[0])
	}
	b.checkOwner(key, where, v)
	if v.Spec.UploaderType != "kopia" || v.Spec.RepoIdentifier != "" {
		b.add(key, RuleSnapshot, "%sspec.uploaderType is %q, repoIdentifier %q; they must be kopia and empty", where, v.Spec.UploaderType, v.Spec.RepoIdentifier)
	}
	p := v.Spec.Pod
	if p.Kind != "Pod" || p.Namespace == "" || p.Name == "" || p.UID == "" || v.Spec.Volume == "" || v.Spec.Node == "" {
		b.add(key, RuleRequired, "%sspec must have node, volume, and kind, namespace, name and uid of the pod", where)
	}
	if v.Spec.Cancel {
		b.add(key, RulePhase, "%sspec.cancel is set", where)
	}
	if v.Spec.BackupStorageLocation != b.object.Spec.StorageLocation {
		b.add(key, RuleIdentity, "%sspec.backupStorageLocation is %q, that of the backup %q", where, v.Spec.BackupStorageLocation, b.object.Spec.StorageLocation)
	}
	b.checkTags(key, where, v)
	b.checkEnd(key, where, v)
}

// checkOwner checks what ties a volume to its backup.
func (b *backup) checkOwner(key, where string, v podVolumeBackup) {
	m := v.Metadata
	uid := b.object.Metadata.UID
	if m.Labels[labelBackupName] != validLabelValue(b.name) || m.Labels[labelBackupUID] != string(uid) {
		b.add(key, RuleIdentity, "%sthe labels %s and %s are %q and %q", where, labelBackupName, labelBackupUID, m.Labels[labelBackupName], m.Labels[labelBackupUID])
	}
	if (m.Labels[labelPVCUID] == "") != (m.Annotations[annotationPVCName] == "") {
		b.add(key, RuleIdentity, "%smust have both or none of the label %s and the annotation %s", where, labelPVCUID, annotationPVCName)
	}
	if m.Namespace != b.object.Metadata.Namespace {
		b.add(key, RuleIdentity, "%smetadata.namespace is %q", where, m.Namespace)
	}
	if len(m.OwnerReferences) != 1 {
		b.add(key, RuleIdentity, "%shas %d owner references, not the backup's", where, len(m.OwnerReferences))
		return
	}
	o := m.OwnerReferences[0]
	if o.APIVersion != groupVersion || o.Kind != "Backup" || o.Name != b.name || o.UID != uid || o.Controller == nil || !*o.Controller {
		b.add(key, RuleIdentity, "%sis owned by %+v", where, o)
	}
}

// checkTags checks the tags of the snapshot (velero-facts §6.1).
func (b *backup) checkTags(key, where string, v podVolumeBackup) {
	want := map[string]string{
		"backup": b.name, "backup-uid": string(b.object.Metadata.UID), "pod": v.Spec.Pod.Name, "pod-uid": v.Spec.Pod.UID,
		"ns": v.Spec.Pod.Namespace, "volume": v.Spec.Volume,
	}
	if uid := v.Metadata.Labels[labelPVCUID]; uid != "" {
		want["pvc-uid"] = uid
	}
	for tag, value := range want {
		if v.Spec.Tags[tag] != value {
			b.add(key, RuleIdentity, "%sspec.tags[%s] is %q, not %q", where, tag, v.Spec.Tags[tag], value)
		}
	}
}

var snapshotID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// checkEnd checks how a volume has ended. One that has not would be taken up by a
// node agent of the cluster that it is synced to.
func (b *backup) checkEnd(key, where string, v podVolumeBackup) {
	s := v.Status
	switch s.Phase {
	case "Completed":
		if !snapshotID.MatchString(s.SnapshotID) {
			b.add(key, RuleSnapshot, "%sstatus.snapshotID is %q, no ID of a manifest", where, s.SnapshotID)
		}
		if s.StartTimestamp == nil || s.CompletionTimestamp == nil {
			b.add(key, RuleRequired, "%sstatus must have startTimestamp and completionTimestamp", where)
		}
		b.checkHasRepository(key, where, v)
	case "Failed":
		if s.CompletionTimestamp == nil {
			b.add(key, RuleRequired, "%sstatus must have completionTimestamp", where)
		}
	default:
		b.add(key, RulePhase, "%sstatus.phase is %q, not Completed or Failed", where, s.Phase)
	}
}

func (b *backup) checkHasRepository(key, where string, v podVolumeBackup) {
	format := path.Join(kopiaFolder, v.Spec.Pod.Namespace, formatBlob)
	if _, err := fs.Stat(b.bucket, format); err != nil {
		b.add(key, RuleRepository, "%sits repository has no %s", where, format)
	}
}
