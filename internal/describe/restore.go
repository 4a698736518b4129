package describe

import (
	"fmt"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// RestoreInput is what the cluster knows of a restore.
type RestoreInput struct {
	Restore *velerov1.Restore
	Volumes []velerov1.PodVolumeRestore // in any order
	Details bool                        // list each volume
}

// Restore returns the page of "restore describe".
func Restore(in RestoreInput) string {
	r, volumes, p := in.Restore, RestoreVolumes(in.Volumes), newPage()
	p.metadata(&r.ObjectMeta)
	p.restorePhase(r)
	p.conditions(r.Status.Conditions)
	p.line("Started:\t%s", optionalTime(r.Status.StartTimestamp))
	p.line("Completed:\t%s", optionalTime(r.Status.CompletionTimestamp))
	p.gap()
	p.validationErrors(r.Status.ValidationErrors)
	p.outcome(outcome{
		failureReason: r.Status.FailureReason,
		errors:        r.Status.Errors, warnings: r.Status.Warnings,
		results: layout.RestoreResults(r.Name), volumes: volumes,
	})
	p.restoreSpec(&r.Spec)
	p.restoreVolumes(volumes, in.Details)
	p.restoreSettings(&r.Spec)
	p.hookStatus(r.Status.HookStatus)
	if in.Details {
		p.volumeDetails(volumes)
	}
	return p.String()
}

func (p *page) restorePhase(r *velerov1.Restore) {
	phase := restoreStatusWord(r)
	if r.DeletionTimestamp != nil {
		phase += " (Deleting)"
	}
	p.line("Phase:\t%s", phase)
	if progress := r.Status.Progress; progress != nil {
		total, done := "Total items to be restored", "Items restored"
		if r.Status.Phase == velerov1.RestorePhaseInProgress {
			total, done = "Estimated total items to be restored", "Items restored so far"
		}
		p.line("%s:\t%d", total, progress.TotalItems)
		p.line("%s:\t%d", done, progress.ItemsRestored)
	}
	p.gap()
}

func (p *page) restoreSpec(s *velerov1.RestoreSpec) {
	p.field("Backup", s.BackupName)
	p.names("Namespaces", s.IncludedNamespaces, s.ExcludedNamespaces, "all namespaces found in the backup")
	p.gap()
	p.names("Resources", s.IncludedResources, s.ExcludedResources, everything)
	p.line("\tCluster-scoped:\t%s", optional(s.IncludeClusterResources, "included", "excluded", auto))
	p.gap()
	p.pairs("Namespace mappings", s.NamespaceMapping)
	p.gap()
	p.selectors(s.LabelSelector, s.OrLabelSelectors)
	p.field("Restore PVs", optional(s.RestorePVs, "true", "false", auto))
}

func (p *page) restoreVolumes(volumes []Volume, details bool) {
	if len(volumes) == 0 {
		return
	}
	more := " (specify --details for more information)"
	if details {
		more = ""
	}
	p.line("%s Restores%s:", volumes[0].Format, more)
	p.phaseLines(volumeGroups{order: restorePhaseOrder, details: details}, volumes)
	p.gap()
}

func (p *page) restoreSettings(s *velerov1.RestoreSpec) {
	p.field("Existing Resource Policy", existingPolicy(s))
	p.field("ItemOperationTimeout", s.ItemOperationTimeout.Duration.String())
	p.field("Preserve Service NodePorts", optional(s.PreserveNodePorts, "true", "false", auto))
	p.reference("Resource modifier", s.ResourceModifier)
	if c := s.UploaderConfig; c != nil && (c.WriteSparseFiles != nil || c.ParallelFilesDownload > 0) {
		p.line("Uploader config:")
		if c.WriteSparseFiles != nil {
			p.line("\tWrite Sparse Files:\t%t", *c.WriteSparseFiles)
		}
		if c.ParallelFilesDownload > 0 {
			p.line("\tParallel Restore:\t%d", c.ParallelFilesDownload)
		}
		p.gap()
	}
}

func existingPolicy(s *velerov1.RestoreSpec) string {
	if s.ExistingResourcePolicy == "" {
		return none
	}
	return string(s.ExistingResourcePolicy)
}

// snapshotCounts is how many snapshots of one kind a backup has.
func snapshotCounts(completed, attempted int) string {
	if attempted == 0 {
		return noneIncluded
	}
	return fmt.Sprintf("%d of %d snapshots completed successfully", completed, attempted)
}
