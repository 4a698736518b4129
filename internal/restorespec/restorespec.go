// Package restorespec says what is wrong with the spec of a Restore, and which kinds
// no restore writes.
//
// It is pure and looks at nothing but the object itself: whether the backup exists
// and can be read is for the controller. The restore controller and the webhook that
// refuses a Restore when it is written share it, so that what is admitted is what is
// run. Facts: velero-facts §2.2.
package restorespec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/filter"
	"github.com/podkeep/podkeep/internal/hooks"
)

// NeverRestored are the resources that no restore writes; the names are those that
// Velero adds to spec.excludedResources.
var NeverRestored = []string{
	"nodes",
	"events",
	"events.events.k8s.io",
	"backups.velero.io",
	"restores.velero.io",
	"resticrepositories.velero.io",
	"csinodes.storage.k8s.io",
	"volumeattachments.storage.k8s.io",
	"backuprepositories.velero.io",
}

// IsNeverRestored says whether no restore writes a resource: NeverRestored, and all
// other kinds of velero.io. A restored PodVolumeRestore or DeleteBackupRequest would
// be carried out.
func IsNeverRestored(gr schema.GroupResource) bool {
	return gr.Group == velerov1.GroupName || slices.Contains(NeverRestored, gr.String())
}

// Problems says what is wrong with the spec, and the annotations that belong to it;
// nil when nothing is. Each problem names its field, its value and what is allowed.
func Problems(r *velerov1.Restore) []string {
	problems := source(r)
	problems = append(problems, filter.ForRestore(&r.Spec).Validate()...)
	problems = append(problems, resources(r.Spec.IncludedResources)...)
	problems = append(problems, mapping(r.Spec.NamespaceMapping)...)
	problems = append(problems, values(r)...)
	return append(problems, hooks.ValidateRestore(r.Spec.Hooks)...)
}

// source asks for a backup or a schedule.
func source(r *velerov1.Restore) []string {
	switch {
	case r.Spec.BackupName != "" && r.Spec.ScheduleName != "":
		return []string{"spec.scheduleName: Forbidden: must not be used together with backupName"}
	case r.Spec.BackupName == "" && r.Spec.ScheduleName == "":
		return []string{"spec.backupName: Required value: name one of: kubectl get backups.velero.io"}
	default:
		return nil
	}
}

// resources refuses to include what no restore writes.
func resources(included []string) []string {
	var problems []string
	for _, name := range included {
		if IsNeverRestored(schema.ParseGroupResource(name)) {
			problems = append(problems, fmt.Sprintf("spec.includedResources: Invalid value: %q: must not be one that is never restored: %s",
				name, strings.Join(NeverRestored, ", ")))
		}
	}
	return problems
}

// mapping refuses two namespaces that become one: their objects could not
// be told apart.
func mapping(namespaces map[string]string) []string {
	var problems []string
	sources := map[string]string{}
	for _, source := range slices.Sorted(maps.Keys(namespaces)) {
		target := namespaces[source]
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

func values(r *velerov1.Restore) []string {
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
