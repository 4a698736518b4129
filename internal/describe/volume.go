package describe

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Phases of a volume, which are the same for backup and restore.
const (
	PhaseNew        = string(velerov1.PodVolumeBackupPhaseNew)
	PhaseAccepted   = string(velerov1.PodVolumeBackupPhaseAccepted)
	PhasePrepared   = string(velerov1.PodVolumeBackupPhasePrepared)
	PhaseInProgress = string(velerov1.PodVolumeBackupPhaseInProgress)
	PhaseCanceling  = string(velerov1.PodVolumeBackupPhaseCanceling)
	PhaseCanceled   = string(velerov1.PodVolumeBackupPhaseCanceled)
	PhaseCompleted  = string(velerov1.PodVolumeBackupPhaseCompleted)
	PhaseFailed     = string(velerov1.PodVolumeBackupPhaseFailed)
)

// Volume is one volume of one pod, on its way into or out of a repository.
type Volume struct {
	Pod     string // namespace/name
	Volume  string // name in the pod's spec.volumes
	Node    string // "" while no node has taken it
	Format  string // uploader type: kopia or restic
	Phase   string // one of the Phase constants
	Why     Why    // what the conditions say
	Message string // status.message, on one line

	BytesDone        int64
	BytesTotal       int64 // may still grow while data moves
	IncrementalBytes int64 // of new or changed files; backups only
	SkippedFiles     int64 // pipes, sockets, devices
	LostAttributes   int64 // owners, modes, times that could not be set; restores only

	Started   time.Time // zero: no data has moved
	Completed time.Time // zero: not finished
	Finished  bool
}

// Name is how people are told which volume is meant: "namespace/pod volume".
func (v Volume) Name() string { return v.Pod + " " + v.Volume }

// Duration is how long data moved; 0 when it did not, or still does.
func (v Volume) Duration() time.Duration {
	if v.Started.IsZero() || v.Completed.IsZero() {
		return 0
	}
	return v.Completed.Sub(v.Started)
}

// HasFailed reports whether the volume ended without its data.
func (v Volume) HasFailed() bool { return v.Finished && v.Phase != PhaseCompleted }

// Explanation is why the volume is where it is, for people; "" when there is
// nothing to say.
func (v Volume) Explanation() string {
	switch {
	case v.Message != "":
		return v.Message
	case v.Why.Message != "":
		return v.Why.Message
	default:
		return v.Why.Reason
	}
}

// BackupVolumes returns the volumes of a backup, sorted by name.
func BackupVolumes(list []velerov1.PodVolumeBackup) []Volume {
	volumes := make([]Volume, 0, len(list))
	for i := range list {
		b := &list[i]
		volumes = append(volumes, Volume{
			Pod: b.Spec.Pod.Namespace + "/" + b.Spec.Pod.Name, Volume: b.Spec.Volume,
			Node: b.Spec.Node, Format: b.Spec.UploaderType,
			Phase: phaseOrNew(string(b.Status.Phase)), Why: WhyOf(b.Status.Conditions), Message: OneLine(b.Status.Message),
			BytesDone: b.Status.Progress.BytesDone, BytesTotal: b.Status.Progress.TotalBytes,
			IncrementalBytes: b.Status.IncrementalBytes, SkippedFiles: b.Status.SkippedFiles,
			Started: timeOf(b.Status.StartTimestamp), Completed: timeOf(b.Status.CompletionTimestamp), Finished: b.IsFinished(),
		})
	}
	return sorted(volumes)
}

// RestoreVolumes returns the volumes of a restore, sorted by name.
func RestoreVolumes(list []velerov1.PodVolumeRestore) []Volume {
	volumes := make([]Volume, 0, len(list))
	for i := range list {
		r := &list[i]
		volumes = append(volumes, Volume{
			Pod: r.Spec.Pod.Namespace + "/" + r.Spec.Pod.Name, Volume: r.Spec.Volume,
			Node: r.Status.Node, Format: r.Spec.UploaderType,
			Phase: phaseOrNew(string(r.Status.Phase)), Why: WhyOf(r.Status.Conditions), Message: OneLine(r.Status.Message),
			BytesDone: r.Status.Progress.BytesDone, BytesTotal: max(r.Status.Progress.TotalBytes, r.Spec.SnapshotSize),
			SkippedFiles: r.Status.SkippedFiles, LostAttributes: r.Status.LostAttributes,
			Started: timeOf(r.Status.StartTimestamp), Completed: timeOf(r.Status.CompletionTimestamp), Finished: r.IsFinished(),
		})
	}
	return sorted(volumes)
}

func sorted(volumes []Volume) []Volume {
	slices.SortFunc(volumes, func(a, b Volume) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Volume, b.Volume))
	})
	return volumes
}

func phaseOrNew(phase string) string {
	if phase == "" {
		return PhaseNew
	}
	return phase
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// Totals is a sum over volumes.
type Totals struct {
	Completed int // with all their data
	Failed    int // or canceled
	Moving    int // data moves
	Waiting   int // not yet started

	BytesDone        int64
	BytesTotal       int64
	IncrementalBytes int64
	SkippedFiles     int64
	LostAttributes   int64
}

// Sum adds volumes up.
func Sum(volumes []Volume) Totals {
	var t Totals
	for _, v := range volumes {
		switch {
		case v.HasFailed():
			t.Failed++
		case v.Finished:
			t.Completed++
		case v.Phase == PhaseInProgress || v.Phase == PhaseCanceling:
			t.Moving++
		default:
			t.Waiting++
		}
		t.BytesDone += v.BytesDone
		t.BytesTotal += max(v.BytesTotal, v.BytesDone)
		t.IncrementalBytes += v.IncrementalBytes
		t.SkippedFiles += v.SkippedFiles
		t.LostAttributes += v.LostAttributes
	}
	return t
}

// Finished is the number of volumes that will not change any more.
func (t Totals) Finished() int { return t.Completed + t.Failed }

// All is the number of volumes.
func (t Totals) All() int { return t.Completed + t.Failed + t.Moving + t.Waiting }
