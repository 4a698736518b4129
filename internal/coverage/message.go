package coverage

import (
	"fmt"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

// message says for people what a reason leaves out, and what to do.
func message(s subject, o outcome) string {
	if o.verdict == Excluded {
		return exclusion(s, o)
	}
	name := ""
	if o.schedule != nil {
		name = o.schedule.name
	}
	switch o.reason {
	case ReasonFirstBackupDue:
		return fmt.Sprintf("schedule %s takes it; its next backup is due at %s", name, stamp(o.schedule.next))
	case ReasonClaimNotBound:
		return "the claim has no volume yet"
	case ReasonPodNotStarted:
		return fmt.Sprintf("pod %s has not started; the volume begins with it", s.row.Pod)
	case ReasonNoSchedule:
		return fmt.Sprintf("no schedule takes anything of it; make one with: podkeep schedule create NAME --schedule \"0 3 * * *\" --include-namespaces %s",
			s.row.Namespace)
	case ReasonSchedulePaused:
		return fmt.Sprintf("schedule %s would take it and is paused; go on with: podkeep schedule unpause %s", name, name)
	case ReasonScheduleInvalid:
		return fmt.Sprintf("schedule %s would take it and makes no valid backups: %s", name, oneLine(o.detail))
	case ReasonNotSelected:
		return fmt.Sprintf("schedule %s comes to it, and nobody has selected it (%s); %s", name, o.detail, howToSelect(s))
	case ReasonLastBackupFailed:
		return "backup " + oneLine(o.detail)
	case ReasonNeverBackedUp:
		return fmt.Sprintf("schedule %s takes it and should have done so at %s; look at its backups with: podkeep backup get -l %s=%s",
			name, stamp(o.schedule.required), velerov1.ScheduleNameLabel, velerov1.ValidLabelValue(name))
	case ReasonStale:
		return fmt.Sprintf("its last backup is older than the one that was due at %s by schedule %s; look at its backups with: podkeep backup get -l %s=%s",
			stamp(o.schedule.required), name, velerov1.ScheduleNameLabel, velerov1.ValidLabelValue(name))
	case ReasonSnapshotMissing:
		return fmt.Sprintf("the volume policy of schedule %s leaves it to snapshots, and no VolumeSnapshot of it is ready that was made since %s",
			name, stamp(o.schedule.required))
	default:
		return obstacle(s, o.reason)
	}
}

// obstacle is the message of reasons that lie in the volume itself.
func obstacle(s subject, r Reason) string {
	switch r {
	case ReasonClaimNotMounted:
		return "no pod mounts it, and its files are read where they are mounted; run a pod that mounts it, or exclude it with annotation " +
			velerov1.ClaimFSBackupAnnotation + ": " + velerov1.ClaimExclude
	case ReasonClaimLost:
		return "its persistent volume is gone; restore the claim from a backup, or delete it"
	case Reason(selection.ReasonPodNotRunning):
		return fmt.Sprintf("pod %s does not run, and its files are read where they are mounted", s.row.Pod)
	case Reason(selection.ReasonHostPathUnsupported):
		return "it is a directory of the node, which file system backup does not read; move the data to a claim of another kind"
	case Reason(selection.ReasonBlockVolume):
		return "it is a raw device without files; leave it to snapshots or to the application's own backup"
	default:
		return ""
	}
}

// exclusion says where somebody has left out a volume.
func exclusion(s subject, o outcome) string {
	switch o.reason {
	case Reason(selection.ReasonExcludedByPod):
		return fmt.Sprintf("annotation %s of pod %s", velerov1.VolumesToExcludeAnnotation, s.row.Pod)
	case Reason(selection.ReasonExcludedByClaim):
		return fmt.Sprintf("annotation %s of the claim", velerov1.ClaimFSBackupAnnotation)
	case Reason(selection.ReasonNamespacePolicy):
		return fmt.Sprintf("label %s: %s of namespace %s", velerov1.FSBackupLabel, velerov1.FSBackupOff, s.row.Namespace)
	case ReasonExcludedByLabel:
		return fmt.Sprintf("%s of the %s", velerov1.ExcludeFromBackupLabel, o.by)
	case Reason(selection.ReasonVolumePolicySkip), Reason(selection.ReasonVolumePolicyCustom):
		return fmt.Sprintf("volume policy of schedule %s", o.schedule.name)
	case ReasonExcludedByFilter:
		return fmt.Sprintf("filters of schedule %s", o.schedule.name)
	case ReasonEphemeralVolume:
		return "its data ends with its pod, and nobody has asked for it; " + howToSelect(s)
	case ReasonNodeDirectory:
		return "it is a directory of the node, and nobody has asked for it"
	case ReasonBeingDeleted:
		return fmt.Sprintf("the %s is being deleted", o.by)
	default:
		return ""
	}
}

func howToSelect(s subject) string {
	if s.row.Claim != "" {
		return fmt.Sprintf("select it with annotation %s: %s on the claim", velerov1.ClaimFSBackupAnnotation, velerov1.ClaimInclude)
	}
	return fmt.Sprintf("select it with annotation %s: %s on the pod", velerov1.VolumesToBackupAnnotation, s.row.Volume)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
