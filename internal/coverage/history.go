package coverage

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/volumeidentity"
)

// history finds the backups of a volume by what the volume is.
type history struct {
	facts  Facts
	byKey  map[string]past
	backup map[types.UID]*velerov1.Backup
	byName map[string]*velerov1.Backup
}

// past are the newest attempts at one volume, nil when there were none.
type past struct {
	success *try // the newest that can be restored
	attempt *try // the newest of all
	ended   *try // the newest that has ended, canceled ones apart
}

// try is one pod volume backup.
type try struct {
	volume  *velerov1.PodVolumeBackup
	backup  *velerov1.Backup
	at      time.Time
	result  Result
	message string
}

func newHistory(f Facts) *history {
	h := &history{
		facts:  f,
		byKey:  make(map[string]past, len(f.Claims)+len(f.Pods)),
		backup: make(map[types.UID]*velerov1.Backup, len(f.Backups)),
		byName: make(map[string]*velerov1.Backup, len(f.Backups)),
	}
	for i := range f.Backups {
		b := &f.Backups[i]
		h.backup[b.UID] = b
		h.byName[velerov1.ValidLabelValue(b.Name)] = b
	}
	for i := range f.PodVolumeBackups {
		h.add(&f.PodVolumeBackups[i])
	}
	return h
}

// Keys of volumes. A claim is one and the same only as long as its UID is: a claim
// of the same name that was made later holds other data. The volumes of workloads
// outlive their pods.
func claimKey(uid types.UID) string              { return "claim/" + string(uid) }
func podKey(uid types.UID, volume string) string { return "pod/" + string(uid) + "/" + volume }
func identityKey(namespace string, identity string) string {
	return "identity/" + namespace + "/" + identity
}

// add takes in one pod volume backup. Those whose backup is gone or going cannot be
// restored, and are about to go themselves.
func (h *history) add(v *velerov1.PodVolumeBackup) {
	b := h.backupOf(v)
	if b == nil || !b.DeletionTimestamp.IsZero() || b.Status.Phase == velerov1.BackupPhaseDeleting {
		return
	}
	t := newTry(v, b)
	for _, key := range keysOf(v) {
		h.byKey[key] = h.byKey[key].with(t)
	}
}

// backupOf finds the backup by its UID, or by its name in objects of Velero's that a
// sync has made.
func (h *history) backupOf(v *velerov1.PodVolumeBackup) *velerov1.Backup {
	if b, ok := h.backup[types.UID(v.Labels[velerov1.BackupUIDLabel])]; ok {
		return b
	}
	return h.byName[v.Labels[velerov1.BackupNameLabel]]
}

func keysOf(v *velerov1.PodVolumeBackup) []string {
	if uid := v.Labels[velerov1.PVCUIDLabel]; uid != "" {
		return []string{claimKey(types.UID(uid))}
	}
	keys := []string{podKey(v.Spec.Pod.UID, v.Spec.Volume)}
	if identity := v.Annotations[velerov1.VolumeIdentityAnnotation]; identity != "" {
		return append(keys, identityKey(v.Spec.Pod.Namespace, identity))
	}
	return keys
}

func newTry(v *velerov1.PodVolumeBackup, b *velerov1.Backup) *try {
	t := &try{volume: v, backup: b, at: beginning(b), result: InProgress}
	switch {
	case v.Status.Phase == velerov1.PodVolumeBackupPhaseCanceled, isCanceled(b):
		t.result, t.message = Canceled, oneLine(v.Status.Message)
	case v.Status.Phase == velerov1.PodVolumeBackupPhaseFailed:
		t.result, t.message = Failed, oneLine(v.Status.Message)
	case isFailed(b):
		t.result, t.message = Failed, "the backup failed: "+oneLine(failureOf(b))
	case !b.IsFinished():
	case v.Status.Phase == velerov1.PodVolumeBackupPhaseCompleted:
		t.result = Completed
	default:
		t.result, t.message = Failed, "it had not ended when its backup did"
	}
	return t
}

// with takes in one more attempt. Of two in one backup, as with the replicas of a
// workload, the one that failed counts.
func (p past) with(t *try) past {
	if p.attempt == nil || t.beats(p.attempt) {
		p.attempt = t
	}
	if t.result == Completed && (p.success == nil || t.at.After(p.success.at)) {
		p.success = t
	}
	if (t.result == Completed || t.result == Failed) && (p.ended == nil || t.beats(p.ended)) {
		p.ended = t
	}
	return p
}

func (t *try) beats(other *try) bool {
	return t.at.After(other.at) || t.at.Equal(other.at) && t.result == Failed
}

// ofClaim returns the past of a claim.
func (h *history) ofClaim(c *Claim) past { return h.byKey[claimKey(c.UID)] }

// ofPod returns the past of a volume without a claim: of this very pod, or else of
// the pods before it.
func (h *history) ofPod(p *Pod, volume int) past {
	name := p.volumes[volume].source.Name
	if found, ok := h.byKey[podKey(p.UID, name)]; ok {
		return found
	}
	pod := p.readable()
	for _, owner := range p.owners {
		if found, ok := h.byKey[identityKey(p.Namespace, volumeidentity.Of(pod, name, owner))]; ok {
			return found
		}
	}
	return past{}
}

// success is for people.
func (t *try) asSuccess() *Success {
	if t == nil {
		return nil
	}
	return &Success{Backup: t.backup.Name, Schedule: scheduleOf(t.backup), At: t.at, Bytes: t.volume.Status.Progress.TotalBytes}
}

func (t *try) asAttempt() *Attempt {
	if t == nil {
		return nil
	}
	return &Attempt{Backup: t.backup.Name, Schedule: scheduleOf(t.backup), At: t.at, Result: t.result, Message: t.message}
}

func scheduleOf(b *velerov1.Backup) string { return b.Labels[velerov1.ScheduleNameLabel] }

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
