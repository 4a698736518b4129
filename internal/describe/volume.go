package describe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

// Volumes returns the volumes that PodVolumeBackups and PodVolumeRestores, as
// pointers, speak of, sorted by name. Objects of other kinds are left out.
func Volumes(objects []any) []Volume {
	volumes := make([]Volume, 0, len(objects))
	for _, o := range objects {
		switch v := o.(type) {
		case *velerov1.PodVolumeBackup:
			volumes = append(volumes, backupVolume(v))
		case *velerov1.PodVolumeRestore:
			volumes = append(volumes, restoreVolume(v))
		}
	}
	return sorted(volumes)
}

func volumesOf(list []velerov1.PodVolumeBackup) []Volume {
	volumes := make([]Volume, 0, len(list))
	for i := range list {
		volumes = append(volumes, backupVolume(&list[i]))
	}
	return sorted(volumes)
}

func restoredVolumesOf(list []velerov1.PodVolumeRestore) []Volume {
	volumes := make([]Volume, 0, len(list))
	for i := range list {
		volumes = append(volumes, restoreVolume(&list[i]))
	}
	return sorted(volumes)
}

func backupVolume(b *velerov1.PodVolumeBackup) Volume {
	v := Volume{
		Pod: b.Spec.Pod.Namespace + "/" + b.Spec.Pod.Name, Volume: b.Spec.Volume,
		Node: b.Spec.Node, Format: b.Spec.UploaderType,
		Phase:     phaseOrNew(string(b.Status.Phase)),
		BytesDone: b.Status.Progress.BytesDone, BytesTotal: b.Status.Progress.TotalBytes,
		IncrementalBytes: b.Status.IncrementalBytes, SkippedFiles: b.Status.SkippedFiles,
		Started: timeOf(b.Status.StartTimestamp), Completed: timeOf(b.Status.CompletionTimestamp), Finished: b.IsFinished(),
	}
	return v.explained(b.Status.Message, b.Status.Conditions)
}

func restoreVolume(r *velerov1.PodVolumeRestore) Volume {
	v := Volume{
		Pod: r.Spec.Pod.Namespace + "/" + r.Spec.Pod.Name, Volume: r.Spec.Volume,
		Node: r.Status.Node, Format: r.Spec.UploaderType,
		Phase:     phaseOrNew(string(r.Status.Phase)),
		BytesDone: r.Status.Progress.BytesDone, BytesTotal: max(r.Status.Progress.TotalBytes, r.Spec.SnapshotSize),
		SkippedFiles: r.Status.SkippedFiles, LostAttributes: r.Status.LostAttributes,
		Started: timeOf(r.Status.StartTimestamp), Completed: timeOf(r.Status.CompletionTimestamp), Finished: r.IsFinished(),
	}
	return v.explained(r.Status.Message, r.Status.Conditions)
}

// explained adds why the volume is where it is. Node agents begin messages with
// the name of the volume (nodeagent/movement, VolumeName), because the messages
// must stand alone in an event; wherever a Volume is shown its name is beside it.
func (v Volume) explained(message string, conditions []metav1.Condition) Volume {
	name := fmt.Sprintf("volume %s of pod %s: ", v.Volume, v.Pod)
	v.Why = WhyOf(conditions)
	v.Why.Message = strings.TrimPrefix(v.Why.Message, name)
	v.Message = strings.TrimPrefix(OneLine(message), name)
	return v
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
