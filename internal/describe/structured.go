package describe

import (
	"cmp"
	"errors"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// values is a JSON object.
type values = map[string]any

// Values returns "backup describe -o json": Velero's keys (velero-facts §8.10),
// with conditions, the failure reason and volumes in addition.
func (in BackupInput) Values() map[string]any {
	b, volumes := in.Backup, volumesOf(in.Volumes)
	v := values{
		"metadata": metadataValues(&b.ObjectMeta),
		"phase":    backupStatusWord(b),
		"spec":     backupSpecValues(&b.Spec),
		"status":   backupStatusValues(in, volumes),
	}
	if ref := b.Spec.ResourcePolicy; ref != nil {
		v["resourcePolicies"] = values{"type": ref.Kind, "name": ref.Name}
	}
	if len(in.Deletions) > 0 {
		v["deletionAttempts"] = deletionValues(in.Deletions)
	}
	commonValues(v, RunOf(b, volumes), in.Files.Results)
	if in.Details {
		v["volumes"] = volumeValues(volumes)
	}
	return v
}

// Values returns "restore describe -o json", which Velero does not have, with keys
// that are like those of a backup.
func (in RestoreInput) Values() map[string]any {
	r, volumes := in.Restore, restoredVolumesOf(in.Volumes)
	v := values{
		"metadata": metadataValues(&r.ObjectMeta),
		"phase":    restoreStatusWord(r),
		"spec":     restoreSpecValues(&r.Spec),
		"status":   restoreStatusValues(in, volumes),
	}
	commonValues(v, RunOf(r, volumes), in.Files.Results)
	if in.Details {
		v["volumes"] = volumeValues(volumes)
	}
	return v
}

// commonValues are what a backup and a restore both have. As in Velero, there are
// no keys for errors and warnings when there is neither.
func commonValues(v values, r Run, f File[layout.Results]) {
	if len(r.ValidationErrors) > 0 {
		v["validationErrors"] = r.ValidationErrors
	}
	if r.FailureReason != "" {
		v["failureReason"] = r.FailureReason
	}
	if len(r.Conditions) > 0 {
		v["conditions"] = r.Conditions
	}
	if r.Errors+r.Warnings == 0 {
		return
	}
	v["errors"] = resultValues(r.Errors, f.Content.Errors, f.Err)
	v["warnings"] = resultValues(r.Warnings, f.Content.Warnings, f.Err)
}

func resultValues(count int, s layout.ResultSet, err error) values {
	switch {
	case errors.Is(err, ErrNoFile):
		return values{"count": count}
	case err != nil:
		return values{"count": count, "error": OneLine(err.Error())}
	case count == 0:
		return values{}
	}
	// The key of the namespaces has no plural in Velero, and a list when it is empty.
	v := values{"velero": texts(s.Velero), "cluster": texts(s.Cluster), "namespace": []string{}}
	if len(s.Namespaces) > 0 {
		v["namespace"] = s.Namespaces
	}
	return v
}

func texts(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func metadataValues(m *metav1.ObjectMeta) values {
	return values{"name": m.Name, "namespace": m.Namespace, "labels": m.Labels, "annotations": m.Annotations}
}

func backupSpecValues(s *velerov1.BackupSpec) values {
	v := values{
		"namespaces":              includesValues(s.IncludedNamespaces, s.ExcludedNamespaces),
		"resources":               resourceValues(s),
		"labelSelector":           selectorText(s.LabelSelector),
		"orLabelSelector":         selectorsText(s.OrLabelSelectors),
		"storageLocation":         s.StorageLocation,
		"veleroNativeSnapshotPVs": optional(s.SnapshotVolumes, "true", "false", auto),
		"veleroSnapshotMoveData":  optional(s.SnapshotMoveData, "true", "false", auto),
		"dataMover":               dataMover(s, none),
		"TTL":                     s.TTL.Duration.String(),
		"CSISnapshotTimeout":      s.CSISnapshotTimeout.Duration.String(),
	}
	if s.DefaultVolumesToFsBackup != nil {
		v["fileSystemBackupDefault"] = *s.DefaultVolumesToFsBackup
	}
	if len(s.Hooks.Resources) > 0 {
		v["hooks"] = values{"resources": hookSpecValues(s.Hooks.Resources)}
	}
	if s.OrderedResources != nil {
		v["orderedResources"] = s.OrderedResources
	}
	return v
}

func includesValues(included, excluded []string) values {
	return values{"included": joined(included, everything), "excluded": joined(excluded, none)}
}

func resourceValues(s *velerov1.BackupSpec) values {
	v := includesValues(s.IncludedResources, s.ExcludedResources)
	v["clusterScoped"] = optional(s.IncludeClusterResources, "included", "excluded", auto)
	if hasScopeFilters(s) {
		v["includedClusterScoped"] = joined(s.IncludedClusterScopedResources, none)
		v["excludedClusterScoped"] = joined(s.ExcludedClusterScopedResources, none)
		v["includedNamespaceScoped"] = joined(s.IncludedNamespaceScopedResources, everything)
		v["excludedNamespaceScoped"] = joined(s.ExcludedNamespaceScopedResources, none)
	}
	return v
}

func hookSpecValues(hooks []velerov1.BackupResourceHookSpec) values {
	v := values{}
	for i := range hooks {
		h := &hooks[i]
		v[h.Name] = values{
			"namespaces":    includesValues(h.IncludedNamespaces, h.ExcludedNamespaces),
			"resources":     includesValues(h.IncludedResources, h.ExcludedResources),
			"labelSelector": selectorText(h.LabelSelector),
			"preExecHook":   execHookValues(h.PreHooks),
			"postExecHook":  execHookValues(h.PostHooks),
		}
	}
	return v
}

func execHookValues(hooks []velerov1.BackupResourceHook) []values {
	list := make([]values, 0, len(hooks))
	for _, h := range hooks {
		if h.Exec == nil {
			continue
		}
		list = append(list, values{
			"container": h.Exec.Container,
			"command":   strings.Join(h.Exec.Command, " "),
			"onError:":  h.Exec.OnError, // with a colon, as Velero spells it
			"timeout":   h.Exec.Timeout.Duration.String(),
		})
	}
	return list
}

func backupStatusValues(in BackupInput, volumes []Volume) values {
	s := &in.Backup.Status
	v := values{
		"backupFormatVersion": s.FormatVersion,
		"started":             optionalTime(s.StartTimestamp),
		"completed":           optionalTime(s.CompletionTimestamp),
		"expiration":          optionalTime(s.Expiration),
		"backupVolumes":       backupVolumeValues(in, volumes),
	}
	if p := s.Progress; p != nil {
		total, done := "totalItemsToBeBackedUp", "itemsBackedUp"
		if s.Phase == velerov1.BackupPhaseInProgress {
			total, done = "estimatedTotalItemsToBeBackedUp", "itemsBackedUpSoFar"
		}
		v[total], v[done] = p.TotalItems, p.ItemsBackedUp
	}
	if in.Details {
		resourceListValues(v, "backup", in.Files.Resources)
	}
	hookValues(v, s.HookStatus)
	return v
}

func backupVolumeValues(in BackupInput, volumes []Volume) values {
	set := snapshotsOf(&in.Backup.Status, in.Files)
	v := values{"podVolumeBackups": groupValues("podVolumeBackupsDetails", volumes, in.Look)}
	if set.err != nil {
		v["errorGetBackupVolumeInfo"] = "error getting backup volume info: " + OneLine(set.err.Error())
		return v
	}
	v["nativeSnapshots"], v["csiSnapshots"] = noneIncluded, set.noCSI
	if len(set.native) > 0 {
		v["nativeSnapshots"] = nativeValues(set.native, in.Look)
	}
	if len(set.csi) > 0 {
		v["csiSnapshots"] = csiValues(set.csi, in.Look)
	}
	return v
}

func resourceListValues(v values, of string, f File[layout.ResourceList]) {
	switch {
	case errors.Is(f.Err, ErrNoFile):
		v["errorGettingResourceList"] = "<" + of + " resource list not found>"
	case f.Err != nil:
		v["errorGettingResourceList"] = "<error getting " + of + " resource list: " + OneLine(f.Err.Error()) + ">"
	default:
		v["resourceList"] = f.Content
	}
}

func nativeValues(list []layout.VolumeInfo, look Look) values {
	v := values{}
	for _, i := range list {
		if !look.Details {
			v[i.PVName] = askDetails
			continue
		}
		s := i.NativeSnapshotInfo
		v[i.PVName] = values{
			"snapshotID": s.SnapshotHandle, "type": s.VolumeType, "availabilityZone": s.VolumeAZ, "IOPS": s.IOPS, "result": i.Result,
		}
	}
	return v
}

func csiValues(list []layout.VolumeInfo, look Look) values {
	v := values{}
	for _, i := range list {
		one := values{}
		if s := i.CSISnapshotInfo; i.PreserveLocalSnapshot && s != nil {
			one["snapshot"] = detailed(look, localSnapshotValues(i, s))
		}
		if m := i.SnapshotDataMovementInfo; i.SnapshotDataMoved && m != nil {
			one["dataMovement"] = detailed(look, movementValues(i, m))
		}
		v[i.PVCNamespace+"/"+i.PVCName] = one
	}
	return v
}

func detailed(look Look, v values) any {
	if look.Details {
		return v
	}
	return includedDetails
}

func localSnapshotValues(i layout.VolumeInfo, s *layout.CSISnapshotInfo) values {
	v := values{
		"snapshotContentName": s.VSCName, "storageSnapshotID": s.SnapshotHandle, "snapshotSize(bytes)": s.SizeBytes,
		"csiDriver": s.Driver, "result": i.Result,
	}
	if !i.SnapshotDataMoved {
		v["operationID"] = s.OperationID
	}
	return v
}

func movementValues(i layout.VolumeInfo, m *layout.SnapshotDataMovementInfo) values {
	v := values{"operationID": m.OperationID, "dataMover": moverOf(m), "uploaderType": m.UploaderType, "result": i.Result}
	if m.SizeBytes > 0 || m.IncrementalBytes > 0 {
		v["size"], v["incrementalSize"] = m.SizeBytes, m.IncrementalBytes
	}
	return v
}

func restoreSpecValues(s *velerov1.RestoreSpec) values {
	resources := includesValues(s.IncludedResources, s.ExcludedResources)
	resources["clusterScoped"] = optional(s.IncludeClusterResources, "included", "excluded", auto)
	v := values{
		"backup":                 s.BackupName,
		"namespaces":             includesValues(s.IncludedNamespaces, s.ExcludedNamespaces),
		"resources":              resources,
		"labelSelector":          selectorText(s.LabelSelector),
		"orLabelSelector":        selectorsText(s.OrLabelSelectors),
		"restorePVs":             optional(s.RestorePVs, "true", "false", auto),
		"existingResourcePolicy": existingPolicy(s),
		"itemOperationTimeout":   s.ItemOperationTimeout.Duration.String(),
		"preserveNodePorts":      optional(s.PreserveNodePorts, "true", "false", auto),
	}
	if s.ScheduleName != "" {
		v["schedule"] = s.ScheduleName
	}
	if len(s.NamespaceMapping) > 0 {
		v["namespaceMappings"] = s.NamespaceMapping
	}
	if ref := s.ResourceModifier; ref != nil {
		v["resourceModifier"] = values{"type": ref.Kind, "name": ref.Name}
	}
	return v
}

func restoreStatusValues(in RestoreInput, volumes []Volume) values {
	s := &in.Restore.Status
	v := values{
		"started":           optionalTime(s.StartTimestamp),
		"completed":         optionalTime(s.CompletionTimestamp),
		"podVolumeRestores": groupValues("podVolumeRestoresDetails", volumes, in.Look),
	}
	if p := s.Progress; p != nil {
		v["totalItemsToBeRestored"], v["itemsRestored"] = p.TotalItems, p.ItemsRestored
	}
	if in.Details {
		resourceListValues(v, "restore", in.Files.Resources)
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
func groupValues(key string, volumes []Volume, look Look) any {
	if len(volumes) == 0 {
		return noneIncluded
	}
	groups := values{}
	for _, phase := range backupPhaseOrder {
		of := inPhase(volumes, phase)
		switch {
		case len(of) == 0:
		case look.Details:
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
