package restore

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/controllers/restore/items"
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
	problems = append(problems, validateNamespaces(&r.Spec)...)
	problems = append(problems, validateMapping(r.Spec.NamespaceMapping)...)
	problems = append(problems, validateValues(r)...)
	return append(problems, unsupported(&r.Spec)...)
}

func validateBackup(r *velerov1.Restore, backup *velerov1.Backup) []string {
	name := r.Spec.BackupName
	switch {
	case name == "":
		return []string{"spec.backupName: Required value: name one of: kubectl get backups.velero.io"}
	case backup == nil:
		return []string{fmt.Sprintf("spec.backupName: Not found: %q: name one of: kubectl get backups.velero.io", name)}
	case backup.DeletionTimestamp != nil:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: %q: the backup is being deleted", name)}
	case backup.Status.Phase != velerov1.BackupPhaseCompleted && backup.Status.Phase != velerov1.BackupPhasePartiallyFailed:
		return []string{fmt.Sprintf("spec.backupName: Invalid value: %q: the backup must be %s or %s and is %q",
			name, velerov1.BackupPhaseCompleted, velerov1.BackupPhasePartiallyFailed, backup.Status.Phase)}
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

func validateNamespaces(spec *velerov1.RestoreSpec) []string {
	var problems []string
	complain := func(field, value, why string) {
		problems = append(problems, fmt.Sprintf("spec.%s: Invalid value: %q: %s", field, value, why))
	}
	if slices.Contains(spec.IncludedNamespaces, everything) && len(spec.IncludedNamespaces) > 1 {
		complain("includedNamespaces", everything, "must be the only entry, or absent")
	}
	if slices.Contains(spec.ExcludedNamespaces, everything) {
		complain("excludedNamespaces", everything, "must not exclude every namespace")
	}
	for _, name := range spec.IncludedNamespaces {
		if name != everything && slices.Contains(spec.ExcludedNamespaces, name) {
			complain("excludedNamespaces", name, "must not be in includedNamespaces too")
		}
		if !isNamespacePattern(name) {
			complain("includedNamespaces", name, patternRule)
		}
	}
	for _, name := range spec.ExcludedNamespaces {
		if !isNamespacePattern(name) {
			complain("excludedNamespaces", name, patternRule)
		}
	}
	return problems
}

const patternRule = "must be the name of a namespace or a pattern of *, ? and [abc]"

// isNamespacePattern accepts names, and the patterns of velero-facts §11.1.
func isNamespacePattern(name string) bool {
	if !strings.ContainsAny(name, "*?[") {
		return len(validation.IsDNS1123Label(name)) == 0
	}
	_, err := path.Match(name, "")
	return err == nil && !strings.Contains(name, "**") && !strings.ContainsAny(name, "/|()!{},")
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
	if raw, ok := r.Annotations[velerov1.PodVolumeTimeoutAnnotation]; ok {
		if d, err := time.ParseDuration(raw); err != nil || d <= 0 {
			problems = append(problems, fmt.Sprintf("metadata.annotations[%s]: Invalid value: %q: must be a positive duration such as 4h",
				velerov1.PodVolumeTimeoutAnnotation, raw))
		}
	}
	return problems
}

// feature is a field of the spec that asks for something podkeep cannot do yet. A
// restore that would ignore it is refused.
type feature struct {
	field string
	asked func(*velerov1.RestoreSpec) bool
	what  string
}

// unsupportedFeatures are checked in this order. Values that ask for nothing
// beyond what every restore does are fine: the Velero CLI sends some of them.
var unsupportedFeatures = []feature{
	{"scheduleName", func(s *velerov1.RestoreSpec) bool { return s.ScheduleName != "" }, "choosing the newest backup of a schedule"},
	{"includedResources", func(s *velerov1.RestoreSpec) bool { return isNarrow(s.IncludedResources) }, "filtering by resource"},
	{"excludedResources", func(s *velerov1.RestoreSpec) bool { return excludesMore(s.ExcludedResources) }, "filtering by resource"},
	{"includeClusterResources", func(s *velerov1.RestoreSpec) bool { return s.IncludeClusterResources != nil }, "filtering by resource"},
	{"labelSelector", hasLabelSelector, "filtering by label"},
	{"orLabelSelectors", func(s *velerov1.RestoreSpec) bool { return len(s.OrLabelSelectors) > 0 }, "filtering by label"},
	{"hooks.resources", func(s *velerov1.RestoreSpec) bool { return len(s.Hooks.Resources) > 0 }, "running hooks"},
	{"restorePVs", func(s *velerov1.RestoreSpec) bool { return s.RestorePVs != nil && !*s.RestorePVs }, "leaving out persistent volumes"},
	{"restoreStatus", func(s *velerov1.RestoreSpec) bool { return s.RestoreStatus != nil }, "restoring the status of objects"},
	{"preserveNodePorts", func(s *velerov1.RestoreSpec) bool { return s.PreserveNodePorts != nil && *s.PreserveNodePorts }, "keeping node ports"},
	{"existingResourcePolicy", changesExisting, "changing existing objects"},
	{"resourceModifier", func(s *velerov1.RestoreSpec) bool { return s.ResourceModifier != nil }, "modifying objects"},
}

func unsupported(spec *velerov1.RestoreSpec) []string {
	var problems []string
	for _, f := range unsupportedFeatures {
		if f.asked(spec) {
			problems = append(problems, fmt.Sprintf("spec.%s: Unsupported value: %s is not supported by this version of podkeep; remove the field",
				f.field, f.what))
		}
	}
	return problems
}

// isNarrow reports whether the list includes less than everything.
func isNarrow(includes []string) bool {
	return len(includes) > 0 && !slices.Contains(includes, everything)
}

// excludesMore reports whether the list has more than what no restore writes.
func excludesMore(excludes []string) bool {
	return slices.ContainsFunc(excludes, func(name string) bool { return !slices.Contains(items.NotRestorable, name) })
}

func hasLabelSelector(s *velerov1.RestoreSpec) bool {
	l := s.LabelSelector
	return l != nil && len(l.MatchLabels)+len(l.MatchExpressions) > 0
}

func changesExisting(s *velerov1.RestoreSpec) bool {
	return s.ExistingResourcePolicy != "" && s.ExistingResourcePolicy != velerov1.PolicyTypeNone
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
