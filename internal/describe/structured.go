package describe

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// values is a JSON object.
type values = map[string]any

// BackupValues returns "backup describe -o json": Velero's keys (velero-facts
// §8.10), with conditions and volumes in addition.
func BackupValues(in BackupInput) map[string]any {
	b, volumes := in.Backup, BackupVolumes(in.Volumes)
	v := values{
		"metadata": metadataValues(&b.ObjectMeta),
		"phase":    backupStatusWord(b),
		"spec":     backupSpecValues(&b.Spec),
		"status":   backupStatusValues(&b.Status, volumes, in.Details),
	}
	if ref := b.Spec.ResourcePolicy; ref != nil {
		v["resourcePolicies"] = values{"type": ref.Kind, "name": ref.Name}
	}
	commonValues(v, common{
		problems: b.Status.ValidationErrors, failure: b.Status.FailureReason, conditions: b.Status.Conditions,
		errors: b.Status.Errors, warnings: b.Status.Warnings,
	})
	if in.Details {
		v["volumes"] = volumeValues(volumes)
	}
	return v
}

// RestoreValues returns "restore describe -o json", which Velero does not have,
// with keys that are like those of a backup.
func RestoreValues(in RestoreInput) map[string]any {
	r, volumes := in.Restore, RestoreVolumes(in.Volumes)
	v := values{
		"metadata": metadataValues(&r.ObjectMeta),
		"phase":    restoreStatusWord(r),
		"spec":     restoreSpecValues(&r.Spec),
		"status":   restoreStatusValues(&r.Status, volumes, in.Details),
	}
	commonValues(v, common{
		problems: r.Status.ValidationErrors, failure: r.Status.FailureReason, conditions: r.Status.Conditions,
		errors: r.Status.Errors, warnings: r.Status.Warnings,
	})
	if in.Details {
		v["volumes"] = volumeValues(volumes)
	}
	return v
}

// common is what a backup and a restore both have.
type common struct {
	problems   []string
	failure    string
	conditions []metav1.Condition
	errors     int
	warnings   int
}

func commonValues(v values, c common) {
	if len(c.problems) > 0 {
		v["validationErrors"] = c.problems
	}
	if c.failure != "" {
		v["failureReason"] = c.failure
	}
	if len(c.conditions) > 0 {
		v["conditions"] = c.conditions
	}
	v["errors"], v["warnings"] = c.errors, c.warnings
}

func metadataValues(m *metav1.ObjectMeta) values {
	v := values{"name": m.Name, "namespace": m.Namespace}
	if len(m.Labels) > 0 {
		v["labels"] = m.Labels
	}
	if len(m.Annotations) > 0 {
		v["annotations"] = m.Annotations
	}
	return v
}

func backupSpecValues(s *velerov1.BackupSpec) values {
	v := values{
		"namespaces":              values{"included": includes(s.IncludedNamespaces, everything), "excluded": joined(s.ExcludedNamespaces, none)},
		"resources":               resourceValues(s),
		"labelSelector":           selectorText(s.LabelSelector),
		"storageLocation":         s.StorageLocation,
		"veleroNativeSnapshotPVs": optional(s.SnapshotVolumes, "true", "false", auto),
		"veleroSnapshotMoveData":  optional(s.SnapshotMoveData, "true", "false", auto),
		"dataMover":               dataMover(s),
		"TTL":                     s.TTL.Duration.String(),
		"CSISnapshotTimeout":      s.CSISnapshotTimeout.Duration.String(),
	}
	if len(s.Hooks.Resources) > 0 {
		v["hooks"] = s.Hooks
	}
	if len(s.OrderedResources) > 0 {
		v["orderedResources"] = s.OrderedResources
	}
	return v
}

func resourceValues(s *velerov1.BackupSpec) values {
	if hasScopeFilters(s) {
		return values{
			"includedClusterScoped":   joined(s.IncludedClusterScopedResources, none),
			"excludedClusterScoped":   joined(s.ExcludedClusterScopedResources, none),
			"includedNamespaceScoped": joined(s.IncludedNamespaceScopedResources, everything),
			"excludedNamespaceScoped": joined(s.ExcludedNamespaceScopedResources, none),
		}
	}
	return values{
		"included":      includes(s.IncludedResources, everything),
		"excluded":      joined(s.ExcludedResources, none),
		"clusterScoped": optional(s.IncludeClusterResources, "included", "excluded", auto),
	}
}

func backupStatusValues(s *velerov1.BackupStatus, volumes []Volume, details bool) values {
	v := values{
		"backupFormatVersion": s.FormatVersion,
		"started":             optionalTime(s.StartTimestamp),
		"completed":           optionalTime(s.CompletionTimestamp),
		"expiration":          optionalTime(s.Expiration),
		"backupVolumes": values{
			"nativeSnapshots":  snapshotCounts(s.VolumeSnapshotsCompleted, s.VolumeSnapshotsAttempted),
			"csiSnapshots":     snapshotCounts(s.CSIVolumeSnapshotsCompleted, s.CSIVolumeSnapshotsAttempted),
			"podVolumeBackups": groupValues("podVolumeBackupsDetails", volumes, details),
		},
	}
	if p := s.Progress; p != nil {
		v["totalItemsToBeBackedUp"], v["itemsBackedUp"] = p.TotalItems, p.ItemsBackedUp
	}
	hookValues(v, s.HookStatus)
	return v
}

func restoreSpecValues(s *velerov1.RestoreSpec) values {
	v := values{
		"backup":     s.BackupName,
		"namespaces": values{"included": includes(s.IncludedNamespaces, everything), "excluded": joined(s.ExcludedNamespaces, none)},
		"resources": values{
			"included": includes(s.IncludedResources, everything), "excluded": joined(s.ExcludedResources, none),
			"clusterScoped": optional(s.IncludeClusterResources, "included", "excluded", auto),
		},
		"labelSelector":          selectorText(s.LabelSelector),
		"restorePVs":             optional(s.RestorePVs, "true", "false", auto),
		"existingResourcePolicy": existingPolicy(s),
		"preserveNodePorts":      optional(s.PreserveNodePorts, "true", "false", auto),
	}
	if len(s.NamespaceMapping) > 0 {
		v["namespaceMappings"] = s.NamespaceMapping
	}
	return v
}

func restoreStatusValues(s *velerov1.RestoreStatus, volumes []Volume, details bool) values {
	v := values{
		"started":           optionalTime(s.StartTimestamp),
		"completed":         optionalTime(s.CompletionTimestamp),
		"podVolumeRestores": groupValues("podVolumeRestoresDetails", volumes, details),
	}
	if p := s.Progress; p != nil {
		v["totalItemsToBeRestored"], v["itemsRestored"] = p.TotalItems, p.ItemsRestored
	}
	hookValues(v, s.HookStatus)
	return v
}

func hookValues(v values, h *velerov1.HookStatus) {
	if h != nil {
		v["hooksAttempted"], v["hooksFailed"] = h.HooksAttempted, h.HooksFailed
	}
}

// groupValues counts volumes by phase, or lists them. The key "uploderType" is
// spelled as Velero spells it.
func groupValues(key string, volumes []Volume, details bool) any {
	if len(volumes) == 0 {
		return noneIncluded
	}
	groups := values{}
	for _, phase := range backupPhaseOrder {
		of := inPhase(volumes, phase)
		switch {
		case len(of) == 0:
		case details:
			groups[phaseTitle(phase)] = podValues(of)
		default:
			groups[phaseTitle(phase)] = len(of)
		}
	}
	return values{"uploderType": volumes[0].Format, key: groups}
}

func podValues(volumes []Volume) []map[string]string {
	var pods []map[string]string
	for _, line := range podLines(volumes) {
		pod, names, _ := strings.Cut(line, ": ")
		pods = append(pods, map[string]string{pod: names})
	}
	return pods
}

// volumeValues is one object per volume, with numbers as numbers.
func volumeValues(volumes []Volume) []map[string]any {
	list := make([]map[string]any, 0, len(volumes))
	for _, v := range volumes {
		list = append(list, values{
			"pod": v.Pod, "volume": v.Volume, "node": v.Node, "phase": v.Phase,
			"reason": v.Why.Reason, "message": cmp.Or(v.Message, v.Why.Message),
			"bytesDone": v.BytesDone, "totalBytes": v.BytesTotal, "incrementalBytes": v.IncrementalBytes,
			"skippedFiles": v.SkippedFiles, "lostAttributes": v.LostAttributes,
			"durationSeconds": v.Duration().Seconds(),
		})
	}
	return list
}
