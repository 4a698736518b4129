package restore

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/hooks"
)

// everything is the list entry that matches every name.
const everything = "*"

// validate says what is wrong with the restore or with what it refers to; nil
// when it can start. Each problem names its field. backup and location are nil
// when they do not exist.
func validate(r *velerov1.Restore, backup *velerov1.Backup, location *velerov1.BackupStorageLocation) []string {
	problems := validateBackup(r, backup)
	if backup != nil {
		problems = append(problems, validateLocation(backup.Spec.StorageLocation, location)...)
	}
	problems = append(problems, filter.ForRestore(&r.Spec).Validate()...)
	problems = append(problems, validateResources(r.Spec.IncludedResources)...)
	problems = append(problems, validateMapping(r.Spec.NamespaceMapping)...)
	problems = append(problems, validateValues(r)...)
	return append(problems, hooks.ValidateRestore(r.Spec.Hooks)...)
}

func validateBackup(r *velerov1.Restore, backup *velerov1.Backup) []string {
	name, schedule := r.Spec.BackupName, r.Spec.ScheduleName
	switch {
	case name != "" && schedule != "":
		return []string{"spec.scheduleName: Forbidden: must not be used together with backupName"}
	case name == "" && schedule != "" && backup == nil:
		return []string{fmt.Sprintf("spec.scheduleName: Invalid value: %q: no completed backup of this schedule; see kubectl get backups.velero.io -l %s=%s",
			schedule, velerov1.ScheduleNameLabel, velerov1.ValidLabelValue(schedule))}
	case name == "" && schedule == "":
		return []string{"spec.backupName: Required value: name one of: kubectl get backups.velero.io"}
	case backup == nil:
		return []string{fmt.Sprintf("spec.backupName: Not found: %q: name one of: kubectl get backups.velero.io", name)}
	case backup.DeletionTimestamp != nil:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: %q: the backup is being deleted", backup.Name)}
	case backup.Status.Phase != velerov1.BackupPhaseCompleted && backup.Status.Phase != velerov1.BackupPhasePartiallyFailed:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: %q: the backup must be %s or %s and is %q",
			backup.Name, velerov1.BackupPhaseCompleted, velerov1.BackupPhasePartiallyFailed, backup.Status.Phase)}
	default:
		return nil
	}
}

// validateLocation says why the backup cannot be read; location is nil when there
// is none of that name.
func validateLocation(name string, location *velerov1.BackupStorageLocation) []string {
	switch {
	case location == nil:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: its storage location %q does not exist", name)}
	case location.Status.Phase == velerov1.BackupStorageLocationPhaseUnavailable:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: its storage location %q is unavailable: %s", name, oneLine(location.Status.Message))}
	default:
		return nil
	}
}

// validateResources refuses to include what no restore writes.
func validateResources(included []string) []string {
	var problems []string
	for _, name := range included {
		if items.ExcludedResource(schema.ParseGroupResource(name)) != "" {
			problems = append(problems, fmt.Sprintf("spec.includedResources: Invalid value: %q: must not be one that is never restored: %s",
				name, strings.Join(items.NotRestorable, ", ")))
		}
	}
	return problems
}

// validateMapping refuses two namespaces that become one: their objects could not
// be told apart.
func validateMapping(mapping map[string]string) []string {
	var problems []string
	sources := map[string]string{}
	for _, source := range slices.Sorted(maps.Keys(mapping)) {
		target := mapping[source]
		field := "spec.namespaceMapping[" + source + "]"
		if why := validation.IsDNS1123Label(target); len(why) > 0 {
			problems = append(problems, fmt.Sprintf("%s: Invalid value: %q: must be the name of a namespace", field, target))
		}
		if other, taken := sources[target]; taken {
			problems = append(problems, fmt.Sprintf("%s: Duplicate value: %q: namespace %q is mapped to it too", field, target, other))
		}
		sources[target] = source
	}
	return problems
}

func validateValues(r *velerov1.Restore) []string {
	var problems []string
	if u := r.Spec.UploaderConfig; u != nil && u.ParallelFilesDownload < 0 {
		problems = append(problems, fmt.Sprintf("spec.uploaderConfig.parallelFilesDownload: Invalid value: %d: must not be negative",
			u.ParallelFilesDownload))
	}
	if p := r.Spec.ExistingResourcePolicy; p != "" && p != velerov1.PolicyTypeNone && p != velerov1.PolicyTypeUpdate {
		problems = append(problems, fmt.Sprintf("spec.existingResourcePolicy: Unsupported value: %q: supported values: %q, %q",
			p, velerov1.PolicyTypeNone, velerov1.PolicyTypeUpdate))
	}
	if d := r.Spec.ItemOperationTimeout.Duration; d < 0 {
		problems = append(problems, fmt.Sprintf("spec.itemOperationTimeout: Invalid value: %q: must not be negative", d))
	}
	if raw, ok := r.Annotations[velerov1.PodVolumeTimeoutAnnotation]; ok {
		if d, err := time.ParseDuration(raw); err != nil || d <= 0 {
			problems = append(problems, fmt.Sprintf("metadata.annotations[%s]: Invalid value: %q: must be a positive duration such as 4h",
				velerov1.PodVolumeTimeoutAnnotation, raw))
		}
	}
	return problems
}

// volumeTimeoutOf is how long the restore may take until its last volume.
func volumeTimeoutOf(r *velerov1.Restore, fallback time.Duration) time.Duration {
	d, err := time.ParseDuration(r.Annotations[velerov1.PodVolumeTimeoutAnnotation])
	if err != nil || d <= 0 {
		return fallback // a value that does not parse was refused before the start
	}
	return d
}

// oneLine makes a text fit for a condition or a result.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
