// Package backupspec says what is wrong with the spec of a Backup.
//
// It is pure and looks at nothing but the object itself and the policies that it
// names: whether a location exists, and takes backups, is for the controller. The
// backup controller, the webhook that refuses a Backup or Schedule when it is
// written, and tools share it, so that what is admitted is what is run. What real
// Velero accepts and podkeep cannot do is apart (Unsupported).
package backupspec

import (
	"fmt"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/hooks"
	"github.com/podkeep/podkeep/internal/resourcepolicy"
)

// Problems says what is wrong with the spec, and the annotations that belong to it;
// nil when nothing is. Each problem names its field, its value and what is allowed.
// policies are those that the spec names, nil when there are none or they are not
// known.
func Problems(b *velerov1.Backup, policies *resourcepolicy.Policies) []string {
	filters := filter.ForBackup(&b.Spec)
	filters.Policy = policies.Filter()
	problems := filters.Validate()
	problems = append(problems, values(b)...)
	return append(problems, hooks.ValidateBackup(b.Spec.Hooks)...)
}

func values(b *velerov1.Backup) []string {
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

// Unsupported says, with its field, what of the spec asks for something that podkeep
// cannot do yet. Velero can, so such a spec is not wrong: whoever may not refuse it
// warns.
func Unsupported(spec *velerov1.BackupSpec) []string {
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
