package describe

import (
	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// BackupInput is what the cluster knows of a backup.
type BackupInput struct {
	Backup  *velerov1.Backup
	Volumes []velerov1.PodVolumeBackup // in any order
	Details bool                       // list each volume
}

// Backup returns the page of "backup describe".
func Backup(in BackupInput) string {
	b, volumes, p := in.Backup, BackupVolumes(in.Volumes), newPage()
	p.metadata(&b.ObjectMeta)
	p.backupPhase(b)
	p.conditions(b.Status.Conditions)
	p.reference("Resource policies", b.Spec.ResourcePolicy)
	if c := b.Spec.UploaderConfig; c != nil && c.ParallelFilesUpload > 0 {
		p.line("Uploader config:")
		p.line("\tParallel files upload:\t%d", c.ParallelFilesUpload)
		p.gap()
	}
	p.validationErrors(b.Status.ValidationErrors)
	p.outcome(outcome{
		failureReason: b.Status.FailureReason,
		errors:        b.Status.Errors, warnings: b.Status.Warnings,
		results: layout.BackupResults(b.Name), volumes: volumes,
	})
	p.backupSpec(&b.Spec)
	p.backupStatus(b)
	p.backupVolumes(&b.Status, volumes, in.Details)
	p.hookStatus(b.Status.HookStatus)
	return p.String()
}

func (p *page) backupPhase(b *velerov1.Backup) {
	p.line("Phase:\t%s", backupStatusWord(b))
	if b.Status.Phase == velerov1.BackupPhaseQueued {
		p.line("Queue position:\t%d", b.Status.QueuePosition)
	}
	p.gap()
}

func (p *page) backupSpec(s *velerov1.BackupSpec) {
	p.gap()
	p.names("Namespaces", s.IncludedNamespaces, s.ExcludedNamespaces, everything)
	p.gap()
	p.backupResources(s)
	p.gap()
	p.selectors(s.LabelSelector, s.OrLabelSelectors)
	p.field("Storage Location", s.StorageLocation)
	p.line("Velero-Native Snapshot PVs:\t%s", optional(s.SnapshotVolumes, "true", "false", auto))
	if s.DefaultVolumesToFsBackup != nil {
		p.line("File System Backup (Default):\t%s", optional(s.DefaultVolumesToFsBackup, "true", "false", ""))
	}
	p.line("Snapshot Move Data:\t%s", optional(s.SnapshotMoveData, "true", "false", auto))
	p.line("Data Mover:\t%s", dataMover(s))
	p.gap()
	p.field("TTL", s.TTL.Duration.String())
	p.line("CSISnapshotTimeout:\t%s", s.CSISnapshotTimeout.Duration)
	p.line("ItemOperationTimeout:\t%s", s.ItemOperationTimeout.Duration)
	p.gap()
	p.backupHooks(s.Hooks.Resources)
	if len(s.OrderedResources) > 0 {
		p.pairs("OrderedResources", s.OrderedResources)
		p.gap()
	}
}

func dataMover(s *velerov1.BackupSpec) string {
	if s.DataMover == "" {
		return "velero"
	}
	return s.DataMover
}

// hasScopeFilters reports whether the filters that tell scopes apart are used.
func hasScopeFilters(s *velerov1.BackupSpec) bool {
	return len(s.IncludedClusterScopedResources)+len(s.ExcludedClusterScopedResources)+
		len(s.IncludedNamespaceScopedResources)+len(s.ExcludedNamespaceScopedResources) > 0
}

func (p *page) backupResources(s *velerov1.BackupSpec) {
	if !hasScopeFilters(s) {
		p.names("Resources", s.IncludedResources, s.ExcludedResources, everything)
		p.line("\tCluster-scoped:\t%s", optional(s.IncludeClusterResources, "included", "excluded", auto))
		return
	}
	p.line("Resources:")
	p.line("\tIncluded cluster-scoped:\t%s", joined(s.IncludedClusterScopedResources, none))
	p.line("\tExcluded cluster-scoped:\t%s", joined(s.ExcludedClusterScopedResources, none))
	p.line("\tIncluded namespace-scoped:\t%s", joined(s.IncludedNamespaceScopedResources, everything))
	p.line("\tExcluded namespace-scoped:\t%s", joined(s.ExcludedNamespaceScopedResources, none))
}

func (p *page) backupHooks(hooks []velerov1.BackupResourceHookSpec) {
	if len(hooks) == 0 {
		p.field("Hooks", none)
		return
	}
	p.line("Hooks:")
	p.line("\tResources:")
	for i := range hooks {
		h := &hooks[i]
		p.line("\t\t%s:", h.Name)
		p.line("\t\t\tNamespaces:\t%s", includes(h.IncludedNamespaces, everything))
		p.line("\t\t\tResources:\t%s", includes(h.IncludedResources, everything))
		p.line("\t\t\tLabel selector:\t%s", selectorText(h.LabelSelector))
		p.execHooks("Pre Exec Hook", h.PreHooks)
		p.execHooks("Post Exec Hook", h.PostHooks)
	}
	p.gap()
}

func (p *page) execHooks(heading string, hooks []velerov1.BackupResourceHook) {
	for _, h := range hooks {
		if h.Exec == nil {
			continue
		}
		p.line("\t\t\t%s:", heading)
		p.line("\t\t\t\tContainer:\t%s", h.Exec.Container)
		p.line("\t\t\t\tCommand:\t%s", OneLine(commandLine(h.Exec.Command)))
		p.line("\t\t\t\tOn Error:\t%s", h.Exec.OnError)
		p.line("\t\t\t\tTimeout:\t%s", h.Exec.Timeout.Duration)
	}
}

func (p *page) backupStatus(b *velerov1.Backup) {
	p.field("Backup Format Version", b.Status.FormatVersion)
	p.line("Started:\t%s", optionalTime(b.Status.StartTimestamp))
	p.line("Completed:\t%s", optionalTime(b.Status.CompletionTimestamp))
	p.gap()
	p.field("Expiration", optionalTime(b.Status.Expiration))
	if progress := b.Status.Progress; progress != nil {
		total, done := "Total items to be backed up", "Items backed up"
		if b.Status.Phase == velerov1.BackupPhaseInProgress {
			total, done = "Estimated total items to be backed up", "Items backed up so far"
		}
		p.line("%s:\t%d", total, progress.TotalItems)
		p.line("%s:\t%d", done, progress.ItemsBackedUp)
		p.gap()
	}
}

func (p *page) backupVolumes(s *velerov1.BackupStatus, volumes []Volume, details bool) {
	p.line("Backup Volumes:")
	p.line("\tVelero-Native Snapshots: %s", snapshotCounts(s.VolumeSnapshotsCompleted, s.VolumeSnapshotsAttempted))
	p.gap()
	p.line("\tCSI Snapshots: %s", snapshotCounts(s.CSIVolumeSnapshotsCompleted, s.CSIVolumeSnapshotsAttempted))
	p.gap()
	if len(volumes) == 0 {
		p.line("\tPod Volume Backups: %s", noneIncluded)
		return
	}
	p.volumeGroups(volumeGroups{heading: "Pod Volume Backups", indent: "\t", order: backupPhaseOrder, details: details}, volumes)
	if details {
		p.gap()
		p.volumeDetails(volumes)
	}
}
