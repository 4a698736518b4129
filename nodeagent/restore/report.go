package restore

import (
	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/nodeagent/movement"
)

// report writes into v what a step did. It is the only writer of its phase and
// conditions. From the first time it looks at a restore, an agent stands as its
// node, so that somebody says so when the pod goes away.
func report(v *velerov1.PodVolumeRestore, r movement.Report, made, node string) {
	r.Success = velerov1.ReasonDataRestored
	if !v.IsFinished() {
		setStatus(v, r.Apply(statusOf(v)))
		if v.Status.Phase != velerov1.PodVolumeRestorePhaseCanceled {
			v.Status.Node = node
		}
		if v.Status.Phase == velerov1.PodVolumeRestorePhaseCompleted {
			v.Status.LostAttributes = r.Facts.Mover.Result.LostAttributes
		}
	}
	movement.SetMetadata(v, movement.MoversAfter(r.Facts, made), v.IsFinished())
}

func statusOf(v *velerov1.PodVolumeRestore) movement.Status {
	return movement.Status{
		Phase:        string(v.Status.Phase),
		Message:      v.Status.Message,
		Accepted:     v.Status.AcceptedTimestamp,
		Started:      v.Status.StartTimestamp,
		Completed:    v.Status.CompletionTimestamp,
		Progress:     v.Status.Progress,
		SkippedFiles: v.Status.SkippedFiles,
		Conditions:   v.Status.Conditions,
	}
}

func setStatus(v *velerov1.PodVolumeRestore, s movement.Status) {
	v.Status.Phase = velerov1.PodVolumeRestorePhase(s.Phase)
	v.Status.Message = s.Message
	v.Status.AcceptedTimestamp = s.Accepted
	v.Status.StartTimestamp = s.Started
	v.Status.CompletionTimestamp = s.Completed
	v.Status.Progress = s.Progress
	v.Status.SkippedFiles = s.SkippedFiles
	v.Status.Conditions = s.Conditions
}
