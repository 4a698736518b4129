package backup

import (
	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/nodeagent/movement"
	"github.com/podkeep/podkeep/nodeagent/moverpod"
)

// report writes into b what a step did. It is the only writer of its phase and
// conditions.
func report(b *velerov1.PodVolumeBackup, r movement.Report, made string) {
	r.Success = velerov1.ReasonSnapshotTaken
	if !b.IsFinished() {
		setStatus(b, r.Apply(statusOf(b)))
		reportSnapshot(b, r.Facts.Mover)
	}
	movement.SetMetadata(b, movement.MoversAfter(r.Facts, made), b.IsFinished())
}

// reportSnapshot names the snapshot of a backup that has just ended. One that
// lacks files is named as well, because what it has can be restored; one whose
// volume went away while it was taken is not.
func reportSnapshot(b *velerov1.PodVolumeBackup, m *movement.Mover) {
	if m == nil || m.Result == nil {
		return
	}
	isWhole := b.Status.Phase == velerov1.PodVolumeBackupPhaseCompleted
	isPartial := b.Status.Phase == velerov1.PodVolumeBackupPhaseFailed &&
		m.Result.FailedFiles > 0 && !hasReason(b, velerov1.ReasonPodGone)
	if !isWhole && !isPartial {
		return
	}
	b.Status.SnapshotID = m.Result.SnapshotID
	b.Status.Path = moverpod.VolumePath(b.UID)
	b.Status.IncrementalBytes = m.Result.IncrementalBytes
}

func hasReason(b *velerov1.PodVolumeBackup, reason string) bool {
	for _, c := range b.Status.Conditions {
		if c.Type == velerov1.ConditionCompleted {
			return c.Reason == reason
		}
	}
	return false
}

func statusOf(b *velerov1.PodVolumeBackup) movement.Status {
	return movement.Status{
		Phase:        string(b.Status.Phase),
		Message:      b.Status.Message,
		Accepted:     b.Status.AcceptedTimestamp,
		Started:      b.Status.StartTimestamp,
		Completed:    b.Status.CompletionTimestamp,
		Progress:     b.Status.Progress,
		SkippedFiles: b.Status.SkippedFiles,
		Conditions:   b.Status.Conditions,
	}
}

func setStatus(b *velerov1.PodVolumeBackup, s movement.Status) {
	b.Status.Phase = velerov1.PodVolumeBackupPhase(s.Phase)
	b.Status.Message = s.Message
	b.Status.AcceptedTimestamp = s.Accepted
	b.Status.StartTimestamp = s.Started
	b.Status.CompletionTimestamp = s.Completed
	b.Status.Progress = s.Progress
	b.Status.SkippedFiles = s.SkippedFiles
	b.Status.Conditions = s.Conditions
}
