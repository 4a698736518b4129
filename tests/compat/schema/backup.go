package schema

import (
	"bytes"
	"encoding/json"
	"path"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	groupVersion  = "velero.io/v1"
	formatVersion = "1.1.0"

	metadataObject = "velero-backup.json"

	labelBackupName      = "velero.io/backup-name"
	labelBackupUID       = "velero.io/backup-uid"
	labelPVCUID          = "velero.io/pvc-uid"
	labelStorageLocation = "velero.io/storage-location"
	annotationPVCName    = "velero.io/pvc-name"
)

// backup is what the checks of one backup share.
type backup struct {
	*checker

	name string
	base string // backups/<name>

	object  backupObject
	volumes []podVolumeBackup
	archive archive
}

// backupObject is what is looked at of velero-backup.json beside its fields.
type backupObject struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Spec       struct {
		StorageLocation    string   `json:"storageLocation"`
		TTL                string   `json:"ttl"`
		IncludedNamespaces []string `json:"includedNamespaces"`
	} `json:"spec"`
	Status struct {
		Version             int          `json:"version"`
		FormatVersion       string       `json:"formatVersion"`
		Phase               string       `json:"phase"`
		Expiration          *metav1.Time `json:"expiration"`
		StartTimestamp      *metav1.Time `json:"startTimestamp"`
		CompletionTimestamp *metav1.Time `json:"completionTimestamp"`
		Warnings            int          `json:"warnings"`
		Errors              int          `json:"errors"`
		Progress            *struct {
			TotalItems    int `json:"totalItems"`
			ItemsBackedUp int `json:"itemsBackedUp"`
		} `json:"progress"`
	} `json:"status"`
}

func (b *backup) key(suffix string) string { return path.Join(b.base, b.name+suffix) }

// checkBackup checks the folder of one backup.
func (c *checker) checkBackup(name string, objects []string) {
	b := &backup{checker: c, name: name, base: path.Join(backupsFolder, name)}
	wanted := []string{metadataObject}
	for _, suffix := range []string{".tar.gz", "-logs.gz", "-podvolumebackups.json.gz", "-volumesnapshots.json.gz",
		"-itemoperations.json.gz", "-resource-list.json.gz", "-results.gz", "-volumeinfo.json.gz"} {
		wanted = append(wanted, name+suffix)
	}
	tolerated := []string{ // 1.17 and older write them for snapshots
		name + "-csi-volumesnapshots.json.gz", name + "-csi-volumesnapshotcontents.json.gz", name + "-csi-volumesnapshotclasses.json.gz",
	}
	if !b.expectObjects(b.base, objects, wanted, tolerated) {
		return
	}
	b.checkMetadata()
	b.checkLog(b.key("-logs.gz"), "backup="+b.object.Metadata.Namespace+"/"+name)
	b.checkCounts()
	b.checkEmptyList(b.key("-volumesnapshots.json.gz"), "null")
	b.checkEmptyList(b.key("-itemoperations.json.gz"), "[]")
	b.checkArchive()
	b.checkResourceList()
	b.checkVolumes()
	b.checkVolumeInfo()
}

// checkMetadata checks velero-backup.json.
func (b *backup) checkMetadata() {
	key := path.Join(b.base, metadataObject)
	content := b.read(key)
	var indented bytes.Buffer
	if err := json.Indent(&indented, content, "", "  "); err != nil {
		b.add(key, RuleJSON, "%v", err)
		return
	}
	if !bytes.Equal(bytes.TrimSpace(indented.Bytes()), bytes.TrimSpace(content)) {
		b.add(key, RuleJSON, "is not indented by two spaces")
	}
	b.checkObject(key, "", "Backup", content)
	if err := json.Unmarshal(content, &b.object); err != nil {
		b.add(key, RuleType, "%v", err)
		return
	}
	o := b.object
	if o.Kind != "Backup" || o.APIVersion != groupVersion {
		b.add(key, RuleIdentity, "is a %q of %q", o.Kind, o.APIVersion)
	}
	if o.Metadata.Name != b.name {
		b.add(key, RuleIdentity, "metadata.name is %q", o.Metadata.Name)
	}
	b.checkObjectMeta(key, "", &o.Metadata)
	if o.Spec.StorageLocation == "" || o.Metadata.Labels[labelStorageLocation] != validLabelValue(o.Spec.StorageLocation) {
		b.add(key, RuleIdentity, "spec.storageLocation is %q, the label %s %q", o.Spec.StorageLocation, labelStorageLocation, o.Metadata.Labels[labelStorageLocation])
	}
	b.checkStatus(key)
}

// checkObjectMeta checks what every stored object must have, and must not.
func (c *checker) checkObjectMeta(key, where string, m *metav1.ObjectMeta) {
	if m.Name == "" || m.Namespace == "" || m.UID == "" || m.CreationTimestamp.IsZero() {
		c.add(key, RuleRequired, "%smetadata must have name, namespace, uid and creationTimestamp", where)
	}
	if m.DeletionTimestamp != nil {
		c.add(key, RuleFinalizer, "%sis being deleted", where)
	}
	if len(m.Finalizers) > 0 {
		c.add(key, RuleFinalizer, "%shas the finalizers %v: without their controller it cannot be deleted", where, m.Finalizers)
	}
}

func (b *backup) checkStatus(key string) {
	s := b.object.Status
	switch s.Phase {
	case "Completed":
		if s.Errors > 0 {
			b.add(key, RuleCount, "status.phase is Completed, with %d errors", s.Errors)
		}
	case "PartiallyFailed":
		if s.Errors == 0 {
			b.add(key, RuleCount, "status.phase is PartiallyFailed, without errors")
		}
	default:
		b.add(key, RulePhase, "status.phase is %q: only Completed and PartiallyFailed can be restored", s.Phase)
	}
	if s.Version != 1 || s.FormatVersion != formatVersion {
		b.add(key, RuleRequired, "status.version is %d and formatVersion %q, not 1 and %q", s.Version, s.FormatVersion, formatVersion)
	}
	if s.StartTimestamp == nil || s.CompletionTimestamp == nil || s.Expiration == nil || s.Progress == nil {
		b.add(key, RuleRequired, "status must have startTimestamp, completionTimestamp, expiration and progress")
		return
	}
	if s.CompletionTimestamp.Before(s.StartTimestamp) {
		b.add(key, RuleCount, "status.completionTimestamp is before startTimestamp")
	}
	ttl, err := time.ParseDuration(b.object.Spec.TTL)
	if err != nil || ttl <= 0 {
		b.add(key, RuleType, "spec.ttl is %q, no duration", b.object.Spec.TTL)
	}
	if s.Progress.TotalItems != s.Progress.ItemsBackedUp {
		b.add(key, RuleCount, "status.progress has %d of %d items", s.Progress.ItemsBackedUp, s.Progress.TotalItems)
	}
}

// checkCounts compares the results with the numbers of the status.
func (b *backup) checkCounts() {
	key := b.key("-results.gz")
	errs, warnings, ok := b.checkResults(key)
	s := b.object.Status
	if ok && (errs != s.Errors || warnings != s.Warnings) {
		b.add(key, RuleCount, "has %d errors and %d warnings, status %d and %d", errs, warnings, s.Errors, s.Warnings)
	}
}
