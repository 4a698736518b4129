package describe

import (
	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// RestoreInput is what cluster and object storage know of a restore.
type RestoreInput struct {
	Look
	Restore *velerov1.Restore
	Volumes []velerov1.PodVolumeRestore // in any order
	Files   RestoreFiles
}

// Page returns the page of "restore describe".
func (in RestoreInput) Page() string {
	r, volumes, p := in.Restore, restoredVolumesOf(in.Volumes), newPage(in.Look)
	p.metadata(&r.ObjectMeta)
	p.gap()
	p.restorePhase(r)
	p.conditions(r.Status.Conditions)
	p.gap()
	p.line("Started:\t%s", optionalTime(r.Status.StartTimestamp))
	p.line("Completed:\t%s", optionalTime(r.Status.CompletionTimestamp))
	p.validationErrors(r.Status.ValidationErrors)
	p.failureReason(r.Status.FailureReason)
	p.results(r.Status.Errors, r.Status.Warnings, in.Files.Results)
	p.failedVolumes(volumes)
	p.gap()
	p.restoreSpec(&r.Spec)
	p.restoreVolumes(volumes)
	p.restoredSnapshots(in.Files.Volumes)
	p.restoreSettings(&r.Spec)
	p.gap()
	p.restoreOperations(&r.Status, in.Files.Operations)
	p.hookStatus(r.Status.HookStatus, " ")
	if in.Details {
		p.gap()
		p.resourceList("restore", in.Files.Resources)
		p.volumeDetails(volumes)
	}
	return p.String()
}

func (p *page) restorePhase(r *velerov1.Restore) {
	phase, note := restoreStatusWord(r), ""
	text := phase
	if r.DeletionTimestamp != nil {
		text += " (Deleting)"
	}
	if phase == runFailed || phase == runPartiallyFailed {
		note = " (run '" + p.look.Command + " restore logs " + r.Name + "' for more information)"
	}
	p.line("Phase:\t%s%s", p.phase(phase, text), note)
	if progress := r.Status.Progress; progress != nil {
		total, done := "Total items to be restored", "Items restored"
		if r.Status.Phase == velerov1.RestorePhaseInProgress {
			total, done = "Estimated total items to be restored", "Items restored so far"
		}
		p.line("%s:\t%d", total, progress.TotalItems)
		p.line("%s:\t%d", done, progress.ItemsRestored)
	}
}

func (p *page) restoreSpec(s *velerov1.RestoreSpec) {
	p.field("Backup", s.BackupName)
	p.line("Namespaces:")
	p.line("\tIncluded:\t%s", includedInRestore(s))
	p.line("\tExcluded:\t%s", joined(s.ExcludedNamespaces, none))
	p.gap()
	p.names("", "Resources", s.IncludedResources, s.ExcludedResources)
	p.line("\tCluster-scoped:\t%s", optional(s.IncludeClusterResources, "included", "excluded", auto))
	p.gap()
	p.pairs("Namespace mappings", s.NamespaceMapping)
	p.gap()
	p.selectors(s.LabelSelector, s.OrLabelSelectors)
	p.line("Restore PVs:\t%s", optional(s.RestorePVs, "true", "false", auto))
}

// includedInRestore has a longer name for everything.
func includedInRestore(s *velerov1.RestoreSpec) string {
	const all = "all namespaces found in the backup"
	if len(s.IncludedNamespaces) == 1 && s.IncludedNamespaces[0] == everything {
		return all
	}
	return joined(s.IncludedNamespaces, all)
}

func (p *page) restoreVolumes(volumes []Volume) {
	if len(volumes) == 0 {
		return
	}
	p.gap()
	p.line("%s Restores%s:", volumes[0].Format, p.moreNote())
	p.phaseLines("", restorePhaseOrder, volumes)
}

func (p *page) restoreSettings(s *velerov1.RestoreSpec) {
	p.gap()
	p.line("Existing Resource Policy: \t%s", existingPolicy(s))
	p.line("ItemOperationTimeout:\t%s", s.ItemOperationTimeout.Duration)
	p.gap()
	p.line("Preserve Service NodePorts:\t%s", optional(s.PreserveNodePorts, "true", "false", auto))
	p.reference("Resource modifier", s.ResourceModifier)
	c := s.UploaderConfig
	if c == nil {
		return
	}
	p.gap()
	p.line("Uploader config:")
	if c.WriteSparseFiles != nil && *c.WriteSparseFiles {
		p.line("\tWrite Sparse Files:\ttrue")
	}
	if c.ParallelFilesDownload > 0 {
		p.line("\tParallel Restore:\t%d", c.ParallelFilesDownload)
	}
}

func existingPolicy(s *velerov1.RestoreSpec) string {
	if s.ExistingResourcePolicy == "" {
		return none
	}
	return string(s.ExistingResourcePolicy)
}
