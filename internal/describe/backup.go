package describe

import (
	"strings"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// BackupInput is what cluster and object storage know of a backup.
type BackupInput struct {
	Look
	Backup    *velerov1.Backup
	Volumes   []velerov1.PodVolumeBackup     // in any order
	Deletions []velerov1.DeleteBackupRequest // in any order
	Files     BackupFiles
}

// Page returns the page of "backup describe".
func (in BackupInput) Page() string {
	b, volumes, p := in.Backup, volumesOf(in.Volumes), newPage(in.Look)
	p.metadata(&b.ObjectMeta)
	p.gap()
	p.backupPhase(b)
	p.conditions(b.Status.Conditions)
	p.policies(&b.Spec)
	p.validationErrors(b.Status.ValidationErrors)
	p.failureReason(b.Status.FailureReason)
	p.gap()
	p.results(b.Status.Errors, b.Status.Warnings, in.Files.Results)
	p.failedVolumes(volumes)
	p.gap()
	p.backupSpec(&b.Spec)
	p.gap()
	p.backupStatus(b)
	p.backupOperations(&b.Status, in.Files.Operations)
	if in.Details {
		p.resourceList("backup", in.Files.Resources)
		p.gap()
	}
	p.backupVolumes(in, volumes)
	p.hookStatus(b.Status.HookStatus, "")
	p.deletions(in.Deletions)
	if in.Details {
		p.volumeDetails(volumes)
	}
	return p.String()
}

func (p *page) backupPhase(b *velerov1.Backup) {
	phase, note := backupStatusWord(b), ""
	if phase == runFailed || phase == runPartiallyFailed {
		note = " (run `" + p.look.Command + " backup logs " + b.Name + "` for more information)"
	}
	p.line("Phase:\t%s%s", p.phase(phase, phase), note)
	if b.Status.Phase == velerov1.BackupPhaseQueued {
		p.line("Queue position:\t%d", b.Status.QueuePosition)
	}
}

// policies are what a backup and a schedule say first of what they refer to.
func (p *page) policies(s *velerov1.BackupSpec) {
	p.reference("Resource policies", s.ResourcePolicy)
	if c := s.UploaderConfig; c != nil && c.ParallelFilesUpload > 0 {
		p.gap()
		p.line("Uploader config:")
		p.line("\tParallel files upload:\t%d", c.ParallelFilesUpload)
	}
}

func (p *page) backupSpec(s *velerov1.BackupSpec) {
	p.names("", "Namespaces", s.IncludedNamespaces, s.ExcludedNamespaces)
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
	p.line("Data Mover:\t%s", dataMover(s, "velero"))
	p.gap()
	p.field("TTL", s.TTL.Duration.String())
	p.line("CSISnapshotTimeout:\t%s", s.CSISnapshotTimeout.Duration)
	p.line("ItemOperationTimeout:\t%s", s.ItemOperationTimeout.Duration)
	p.gap()
	p.backupHooks(s.Hooks.Resources)
	p.orderedResources(s.OrderedResources)
}

func dataMover(s *velerov1.BackupSpec, unset string) string {
	if s.DataMover == "" {
		return unset
	}
	return s.DataMover
}

// hasScopeFilters reports whether the filters that tell scopes apart hold. As in
// Velero, they do unless one of the others is used.
func hasScopeFilters(s *velerov1.BackupSpec) bool {
	return len(s.IncludedResources)+len(s.ExcludedResources) == 0 && s.IncludeClusterResources == nil
}

func (p *page) backupResources(s *velerov1.BackupSpec) {
	if !hasScopeFilters(s) {
		p.names("", "Resources", s.IncludedResources, s.ExcludedResources)
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
		p.line("Hooks:\t%s", none)
		return
	}
	const indent = "\t\t\t"
	p.line("Hooks:")
	p.line("\tResources:")
	for i := range hooks {
		h := &hooks[i]
		p.line("\t\t%s:", h.Name)
		p.names(indent, "Namespaces", h.IncludedNamespaces, h.ExcludedNamespaces)
		p.gap()
		p.names(indent, "Resources", h.IncludedResources, h.ExcludedResources)
		p.gap()
		p.line(indent+"Label selector:\t%s", selectorText(h.LabelSelector))
		p.execHooks("Pre Exec Hook", h.PreHooks)
		p.execHooks("Post Exec Hook", h.PostHooks)
	}
}

func (p *page) execHooks(heading string, hooks []velerov1.BackupResourceHook) {
	for _, h := range hooks {
		if h.Exec == nil {
			continue
		}
		p.gap()
		p.line("\t\t\t%s:", heading)
		p.line("\t\t\t\tContainer:\t%s", h.Exec.Container)
		p.line("\t\t\t\tCommand:\t%s", OneLine(strings.Join(h.Exec.Command, " ")))
		p.line("\t\t\t\tOn Error:\t%s", h.Exec.OnError)
		p.line("\t\t\t\tTimeout:\t%s", h.Exec.Timeout.Duration)
	}
}

func (p *page) orderedResources(m map[string]string) {
	if m == nil {
		return
	}
	p.gap()
	p.line("OrderedResources:")
	for _, kind := range sortedKeys(m) {
		p.line("\t%s: %s", kind, OneLine(m[kind]))
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

func (p *page) backupVolumes(in BackupInput, volumes []Volume) {
	p.line("Backup Volumes:")
	p.snapshots(&in.Backup.Status, in.Files)
	p.gap()
	if len(volumes) == 0 {
		p.line("\tPod Volume Backups: %s", noneIncluded)
		return
	}
	p.line("\tPod Volume Backups - %s%s:", volumes[0].Format, p.moreNote())
	p.phaseLines("\t", backupPhaseOrder, volumes)
}

// moreNote is what follows a heading whose lines are counts only.
func (p *page) moreNote() string {
	if p.look.Details {
		return ""
	}
	return " (specify --details for more information)"
}

// deletions are what came of the requests to remove a backup.
func (p *page) deletions(requests []velerov1.DeleteBackupRequest) {
	if len(requests) == 0 {
		return
	}
	p.gap()
	p.line("Deletion Attempts%s:", failedNote(requests))
	for i, r := range byCreation(requests) {
		if i > 0 {
			p.gap()
		}
		p.line("\t%s: %s", r.CreationTimestamp.String(), r.Status.Phase)
		if len(r.Status.Errors) == 0 {
			continue
		}
		p.line("\tErrors:")
		for _, e := range r.Status.Errors {
			p.line("\t\t%s", OneLine(e))
		}
	}
}
