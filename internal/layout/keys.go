// Package layout says where the objects of backups and restores lie in a storage
// location, and what is in them.
//
// It is pure: names to keys, values to bytes and back. Keys and JSON are
// Velero's, byte for byte, including its oddities (keys in Go's case, null for
// some empty lists and [] for others), because Velero reads what podkeep writes
// and the other way round (velero-facts §1.1–1.8, testdata/velero-1.18). The
// item archive has a package of its own (internal/archive).
//
// Everything that is read may come from a stranger: decoders bound what they
// take, and never panic.
package layout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Folders directly under the root of a location.
const (
	// BackupsPrefix is the folder of all backups.
	BackupsPrefix = "backups/"

	// RestoresPrefix is the folder of all restores.
	RestoresPrefix = "restores/"
)

// topLevel are the folders that Velero tolerates under the root. With any other
// it takes the location for somebody else's and refuses it.
var topLevel = []string{"backups", "restores", "restic", "metadata", "plugins", "kopia"}

// BackupPrefix is the folder of a backup, with a trailing slash.
func BackupPrefix(backup string) string { return BackupsPrefix + backup + "/" }

// RestorePrefix is the folder of a restore, with a trailing slash.
func RestorePrefix(restore string) string { return RestoresPrefix + restore + "/" }

// BackupName is the backup of a folder as BackupPrefix returns it, or "" when
// the folder is none.
func BackupName(prefix string) string {
	name, ok := strings.CutPrefix(prefix, BackupsPrefix)
	if !ok {
		return ""
	}
	name, ok = strings.CutSuffix(name, "/")
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	return name
}

// BackupMetadata is the Backup object itself (EncodeBackup). A backup exists in
// the bucket if and only if this object does, so it is written last. It is deleted
// last, too: before the first of the others goes, its phase becomes Deleting, and
// what is left is found through it.
func BackupMetadata(backup string) string { return BackupPrefix(backup) + "velero-backup.json" }

// BackupContents is the item archive (internal/archive).
func BackupContents(backup string) string { return backupObject(backup, ".tar.gz") }

// BackupLog is the log of a backup: gzip of text lines.
func BackupLog(backup string) string { return backupObject(backup, "-logs.gz") }

// BackupPodVolumeBackups is a list of whole PodVolumeBackups; null when there
// are none.
func BackupPodVolumeBackups(backup string) string {
	return backupObject(backup, "-podvolumebackups.json.gz")
}

// BackupVolumeSnapshots is a list of snapshots taken by the provider
// (NativeSnapshot); null when there are none.
func BackupVolumeSnapshots(backup string) string {
	return backupObject(backup, "-volumesnapshots.json.gz")
}

// BackupItemOperations is a list of asynchronous operations
// (BackupItemOperationList); [] when there are none.
func BackupItemOperations(backup string) string {
	return backupObject(backup, "-itemoperations.json.gz")
}

// BackupResourceList lists the items of a backup (ResourceList).
func BackupResourceList(backup string) string {
	return backupObject(backup, "-resource-list.json.gz")
}

// BackupResults holds the errors and warnings of a backup (Results).
func BackupResults(backup string) string { return backupObject(backup, "-results.gz") }

// BackupVolumeInfo says how each volume was backed up (VolumeInfoList).
func BackupVolumeInfo(backup string) string { return backupObject(backup, "-volumeinfo.json.gz") }

// BackupCSIVolumeSnapshots is a list of VolumeSnapshots. Velero up to 1.16 writes
// it.
func BackupCSIVolumeSnapshots(backup string) string {
	return backupObject(backup, "-csi-volumesnapshots.json.gz")
}

// BackupCSIVolumeSnapshotContents is a list of VolumeSnapshotContents. Velero up
// to 1.16 writes it.
func BackupCSIVolumeSnapshotContents(backup string) string {
	return backupObject(backup, "-csi-volumesnapshotcontents.json.gz")
}

// RestoreLog is the log of a restore: gzip of text lines.
func RestoreLog(restore string) string { return restoreObject(restore, "-logs.gz") }

// RestoreResults holds the errors and warnings of a restore (Results).
func RestoreResults(restore string) string { return restoreObject(restore, "-results.gz") }

// RestoreResourceList lists the items of a restore and what was done with them
// (ResourceList, RestoredItem).
func RestoreResourceList(restore string) string {
	return restoreObject(restore, "-resource-list.json.gz")
}

// RestoreItemOperations is a list of asynchronous operations
// (RestoreItemOperationList); [] when there are none.
func RestoreItemOperations(restore string) string {
	return restoreObject(restore, "-itemoperations.json.gz")
}

// RestoreVolumeInfo says how each volume was restored (RestoreVolumeInfoList).
// It is the only object of a restore whose name does not begin with "restore-".
func RestoreVolumeInfo(restore string) string {
	return RestorePrefix(restore) + restore + "-volumeinfo.json.gz"
}

func backupObject(backup, suffix string) string {
	return BackupPrefix(backup) + backup + suffix
}

func restoreObject(restore, suffix string) string {
	return RestorePrefix(restore) + "restore-" + restore + suffix
}

// ValidateTopLevel checks the folders under the root of a location, each with or
// without a trailing slash. The error names those that do not belong there; from
// the fourth on it only counts them.
func ValidateTopLevel(prefixes []string) error {
	const named = 3
	count := 0
	var foreign []string // the first ones in the alphabet
	for _, p := range prefixes {
		name := strings.TrimSuffix(p, "/")
		if slices.Contains(topLevel, name) {
			continue
		}
		count++
		at, _ := slices.BinarySearch(foreign, name)
		foreign = slices.Insert(foreign, at, name)
		foreign = foreign[:min(len(foreign), named)]
	}
	for i, name := range foreign {
		foreign[i] = legible(name)
	}
	switch {
	case count == 0:
		return nil
	case count <= named:
		return fmt.Errorf("Backup store contains invalid top-level directories: %v", foreign) //nolint:staticcheck // Velero's text
	default:
		return fmt.Errorf("Backup store contains %d invalid top-level directories: [%s ...]", //nolint:staticcheck // Velero's text
			count, strings.Join(foreign, " "))
	}
}

// legible is a name that somebody else has chosen, fit for one line of a message.
func legible(name string) string {
	short := shorten(name)
	if strings.ContainsFunc(short, func(r rune) bool { return !strconv.IsPrint(r) }) || !utf8.ValidString(short) {
		return strconv.Quote(short)
	}
	return short
}
