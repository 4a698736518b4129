package backup

import (
	"fmt"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/backupspec"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// validate says what is wrong with the spec, or asks for what podkeep cannot do; nil
// when the backup can start. A backup that would ignore something is refused. The
// location is checked apart (validateLocation), the policies before (live.Policies).
func validate(b *velerov1.Backup, policies *resourcepolicy.Policies) []string {
	return append(backupspec.Problems(b, policies), backupspec.Unsupported(&b.Spec)...)
}

// validateLocation says why the location cannot take the backup; bsl is nil when
// there is none of that name.
func validateLocation(name string, bsl *velerov1.BackupStorageLocation) []string {
	switch {
	case bsl == nil:
		return []string{fmt.Sprintf("spec.storageLocation: Not found: %q: create it, or name one of: kubectl get backupstoragelocations", name)}
	case bsl.Spec.AccessMode == velerov1.BackupStorageLocationAccessModeReadOnly:
		return []string{fmt.Sprintf("spec.storageLocation: Invalid value: %q: the location is read-only", name)}
	default:
		return nil
	}
}

// validateAvailable says why the location cannot take a backup now. It may be
// another day, so a backup that waits in the queue is not asked.
func validateAvailable(bsl *velerov1.BackupStorageLocation) []string {
	if bsl == nil || bsl.Status.Phase != velerov1.BackupStorageLocationPhaseUnavailable {
		return nil
	}
	return []string{fmt.Sprintf("spec.storageLocation: Invalid value: %q: the location is unavailable: %s", bsl.Name, oneLine(bsl.Status.Message))}
}

// volumeTimeoutOf is how long the volumes of the backup may take.
func volumeTimeoutOf(b *velerov1.Backup, fallback time.Duration) time.Duration {
	d, err := time.ParseDuration(b.Annotations[velerov1.PodVolumeTimeoutAnnotation])
	if err != nil || d <= 0 {
		return fallback // a value that does not parse was refused before the start
	}
	return d
}

func isTrue(b *bool) bool { return b != nil && *b }
