package backup

import (
	"fmt"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/hooks"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// validate says what is wrong with the spec; nil when the backup can start. Each
// problem names its field. The location is checked apart (validateLocation), the
// policies before (live.Policies).
func validate(b *velerov1.Backup, policies *resourcepolicy.Policies) []string {
	filters := filter.ForBackup(&b.Spec)
	filters.Policy = policies.Filter()
	problems := filters.Validate()
	problems = append(problems, validateValues(b)...)
	problems = append(problems, hooks.ValidateBackup(b.Spec.Hooks)...)
	return append(problems, unsupported(&b.Spec)...)
}

func validateValues(b *velerov1.Backup) []string {
	var problems []string
	if b.Spec.TTL.Duration < 0 {
		problems = append(problems, fmt.Sprintf("spec.ttl: Invalid value: %q: must not be negative", b.Spec.TTL.Duration))
	}
	if u := b.Spec.UploaderConfig; u != nil && u.ParallelFilesUpload < 0 {
		problems = append(problems,
			fmt.Sprintf("spec.uploaderConfig.parallelFilesUpload: Invalid value: %d: must not be negative", u.ParallelFilesUpload))
	}
	if raw, ok := b.Annotations[velerov1.PodVolumeTimeoutAnnotation]; ok {
		if d, err := time.ParseDuration(raw); err != nil || d <= 0 {
			problems = append(problems, fmt.Sprintf("metadata.annotations[%s]: Invalid value: %q: must be a positive duration such as 4h",
				velerov1.PodVolumeTimeoutAnnotation, raw))
		}
	}
	return problems
}

// feature is a field of the spec that asks for something podkeep cannot do yet.
// A backup that would ignore it is refused.
type feature struct {
	field string
	asked func(*velerov1.BackupSpec) bool
	what  string
}

// unsupportedFeatures are checked in this order. Values that ask for nothing
// beyond what every backup does are fine: the Velero CLI sends some of them.
var unsupportedFeatures = []feature{
	{"snapshotVolumes", func(s *velerov1.BackupSpec) bool { return isTrue(s.SnapshotVolumes) }, volumeSnapshots},
	{"volumeSnapshotLocations", func(s *velerov1.BackupSpec) bool { return len(s.VolumeSnapshotLocations) > 0 }, volumeSnapshots},
	{"snapshotMoveData", func(s *velerov1.BackupSpec) bool { return isTrue(s.SnapshotMoveData) }, volumeSnapshots},
	{"datamover", hasOtherDataMover, volumeSnapshots},
	{"volumeGroupSnapshotLabelKey", hasOtherGroupKey, volumeSnapshots},
}

// volumeSnapshots is what most of unsupportedFeatures ask for.
const volumeSnapshots = "taking volume snapshots"

func unsupported(spec *velerov1.BackupSpec) []string {
	var problems []string
	for _, f := range unsupportedFeatures {
		if f.asked(spec) {
			problems = append(problems, fmt.Sprintf("spec.%s: Unsupported value: %s is not supported by this version of podkeep; remove the field",
				f.field, f.what))
		}
	}
	return problems
}

func isTrue(b *bool) bool { return b != nil && *b }

// hasOtherDataMover accepts the name of Velero's own mover: it has no work when
// no snapshot is taken.
func hasOtherDataMover(s *velerov1.BackupSpec) bool {
	return s.DataMover != "" && s.DataMover != "velero"
}

func hasOtherGroupKey(s *velerov1.BackupSpec) bool {
	return s.VolumeGroupSnapshotLabelKey != "" && s.VolumeGroupSnapshotLabelKey != velerov1.VolumeGroupLabel
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
