package restore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hold"
	"github.com/podkeep/podkeep/internal/volumestop"
)

const (
	// cancelGrace is how long canceled volumes may take to stop.
	// Movers stop within seconds; a node that is gone for minutes will not tell.
	cancelGrace = 2 * time.Minute

	// podLookInterval is how often the pods of volumes that no node agent has
	// taken are looked at. Two looks fit into a minute, within which a user is told
	// why nothing moves.
	podLookInterval = 20 * time.Second
)

// observed is all plan may look at. observe fills it, nobody changes it after.
type observed struct {
	restore *velerov1.Restore
	now     time.Time

	// problems are what is wrong with the spec or with what it refers to. They are
	// looked for only before the start.
	problems []string

	// gateProblems are what is wrong with the settings of the gate, which is used
	// with its defaults then. They are looked for only before the start.
	gateProblems []string

	// backup is what is restored, or nil when it does not exist. Before the start of a
	// restore of a schedule it is the one that is chosen.
	backup *velerov1.Backup

	// volumes are the pod volume restores of this restore.
	volumes []velerov1.PodVolumeRestore

	// untaken says, by name of the pod volume restore, why no node agent has taken
	// it. It has entries only for volumes older than podLookInterval.
	untaken map[string]untaken

	// pods are those with the gate of this restore, also those that others have made,
	// and following is what follows from them. They are looked for when the items are
	// there.
	pods      []hold.Pod
	following following

	// hooksLeft is how many pods have commands left to run.
	hooksLeft int

	// volumeTimeout bounds the time from the start to the end of all volumes,
	// storageTimeout the time for which object storage may fail.
	volumeTimeout  time.Duration
	storageTimeout time.Duration
}

// untaken is why no node agent has taken a volume.
type untaken struct {
	// podGone: the pod does not exist any more, so nobody ever will.
	podGone bool

	// message says what the pod waits for, or "".
	message string
}

type action string

const (
	actNothing        action = "Nothing"
	actCleanUp        action = "CleanUp"
	actReject         action = "Reject"
	actStart          action = "Start"
	actFail           action = "Fail"
	actRestoreItems   action = "RestoreItems"
	actCancelVolumes  action = "CancelVolumes"
	actFollow         action = "Follow"
	actFinish         action = "Finish"
	actFinishCanceled action = "FinishCanceled"
)

// step is the one thing to do now, and why.
type step struct {
	action  action
	reason  string        // condition reason
	message string        // for people; says what the reason leaves out
	after   time.Duration // look again after; 0 means when a watched object changes

	// lastTry, with actRestoreItems, makes errors of what would be tried again.
	lastTry bool

	// problems, with actReject, are what is wrong with the restore; with actStart,
	// what is wrong with the settings of the gate.
	problems []string

	// volumes, with actCancelVolumes, are the ones to stop.
	volumes []*velerov1.PodVolumeRestore
}

// plan decides the next step. Each case is one row of the state table in
// docs/restore.md.
func plan(o observed) step {
	r := o.restore
	switch {
	case r.DeletionTimestamp != nil && !hasFinalizer(r):
		return step{action: actNothing}
	case r.DeletionTimestamp != nil:
		return stopStep(o, stopping{since: r.DeletionTimestamp.Time, message: "the restore is being deleted", then: step{action: actCleanUp}})
	case r.Status.Phase == velerov1.RestorePhaseFailed && len(uncanceled(o.volumes)) > 0:
		return step{action: actCancelVolumes, reason: velerov1.ReasonCanceled, volumes: uncanceled(o.volumes),
			message: cmp.Or(r.Status.FailureReason, "the restore has failed")}
	case r.IsFinished() || isOthers(r):
		return step{action: actNothing}
	case cancelRequestedBy(r) != "":
		return stopStep(o, stopping{since: cancelSeen(o), message: canceledMessage(r), then: step{
			action: actFinishCanceled, reason: velerov1.ReasonCanceled, message: canceledMessage(r)}})
	case !isStarted(r) && len(o.problems) > 0:
		return step{action: actReject, reason: velerov1.ReasonInvalidSpec, message: strings.Join(o.problems, "; "), problems: o.problems}
	case !isStarted(r):
		return step{action: actStart, reason: velerov1.ReasonRestoringItems, problems: o.gateProblems}
	case storageGaveUp(o):
		return step{action: actFail, reason: storageCondition(r).Reason, message: fmt.Sprintf(
			"object storage failed for %s: %s", o.storageTimeout, storageCondition(r).Message)}
	case !areItemsRestored(r) && o.backup == nil:
		return step{action: actFail, reason: velerov1.ReasonBackupNotFound, message: "the backup was deleted while it was restored"}
	case !areItemsRestored(r):
		return step{action: actRestoreItems, reason: velerov1.ReasonRestoringItems, lastTry: !o.now.Before(deadline(o))}
	default:
		return volumesStep(o)
	}
}

// stopping is why and since when a restore is being stopped, and what follows.
type stopping struct {
	since   time.Time
	message string
	then    step
}

// stopStep stops the volumes of a restore that somebody moves, and waits for them.
// Those that nobody has taken move nothing, and are ended after the restore: there
// may be a thousand.
func stopStep(o observed, s stopping) step {
	end := s.since.Add(cancelGrace)
	moving := keep(o.volumes, func(v velerov1.PodVolumeRestore) bool { return !v.IsFinished() && v.IsTaken() })
	switch {
	case len(uncanceled(moving)) > 0:
		return step{action: actCancelVolumes, reason: velerov1.ReasonCanceling, message: s.message, volumes: uncanceled(moving)}
	case len(moving) > 0 && o.now.Before(end):
		return step{action: actNothing, reason: velerov1.ReasonCanceling, message: s.message, after: end.Sub(o.now)}
	default:
		return s.then
	}
}

// cancelSeen is when the server has seen that the restore is to stop.
func cancelSeen(o observed) time.Time {
	if c := meta.FindStatusCondition(o.restore.Status.Conditions, velerov1.ConditionCancelRequested); c != nil {
		return c.LastTransitionTime.Time
	}
	return o.now
}

func canceledMessage(r *velerov1.Restore) string {
	return "canceled by " + oneLine(cancelRequestedBy(r))
}

// volumesStep is the part of plan between the last item and the end.
func volumesStep(o observed) step {
	pending := pendingVolumes(o)
	follow, follows := followStep(o)
	switch {
	case len(uncanceled(goneVolumes(o))) > 0:
		return step{action: actCancelVolumes, reason: velerov1.ReasonPodGone, volumes: uncanceled(goneVolumes(o)),
			message: "The pods of some volumes do not exist any more"}
	case follows:
		return follow
	case len(pending) == 0 && o.backup == nil:
		return step{action: actFail, reason: velerov1.ReasonBackupNotFound,
			message: "the backup was deleted while it was restored: the results could not be uploaded"}
	case len(pending) == 0 && o.hooksLeft > 0 && o.now.Before(deadline(o)):
		return step{action: actNothing, reason: velerov1.ReasonWaitingForHooks, after: deadline(o).Sub(o.now),
			message: fmt.Sprintf("waiting for the hooks of %d pods", o.hooksLeft)}
	case len(pending) == 0:
		return step{action: actFinish, reason: velerov1.ReasonUploading}
	case o.now.Before(deadline(o)):
		return step{action: actNothing, reason: velerov1.ReasonWaitingForVolumes, message: waitingMessage(o),
			after: nextLook(o, deadline(o))}
	case !o.now.Before(deadline(o).Add(cancelGrace)):
		return step{action: actFinish, reason: velerov1.ReasonTimeout}
	case len(uncanceled(pending)) > 0:
		return step{action: actCancelVolumes, reason: velerov1.ReasonTimeout, volumes: uncanceled(pending), message: timeoutMessage(o)}
	default:
		return step{action: actNothing, reason: velerov1.ReasonTimeout, message: timeoutMessage(o),
			after: deadline(o).Add(cancelGrace).Sub(o.now)}
	}
}

func deadline(o observed) time.Time {
	return o.restore.Status.StartTimestamp.Add(o.volumeTimeout)
}

// nextLook is the time until the deadline, or less while there are pods to look
// at.
func nextLook(o observed, deadline time.Time) time.Duration {
	left := deadline.Sub(o.now)
	if slices.ContainsFunc(o.volumes, isUntaken) {
		return min(left, podLookInterval)
	}
	return left
}

// isUntaken reports whether no node agent has taken the volume.
func isUntaken(v velerov1.PodVolumeRestore) bool {
	return !v.IsFinished() && !v.IsTaken()
}

// goneVolumes are the unfinished volumes whose pod does not exist any more.
func goneVolumes(o observed) []velerov1.PodVolumeRestore {
	return keep(o.volumes, func(v velerov1.PodVolumeRestore) bool {
		return !v.IsFinished() && o.untaken[v.Name].podGone
	})
}

// pendingVolumes are the volumes that may still end.
func pendingVolumes(o observed) []velerov1.PodVolumeRestore {
	return keep(o.volumes, func(v velerov1.PodVolumeRestore) bool {
		return !v.IsFinished() && !o.untaken[v.Name].podGone
	})
}

// uncanceled are the volumes that have not been told to stop, or to which nobody will
// answer.
func uncanceled(volumes []velerov1.PodVolumeRestore) []*velerov1.PodVolumeRestore {
	var some []*velerov1.PodVolumeRestore
	for i := range volumes {
		if volumestop.MustStop(&volumes[i]) {
			some = append(some, &volumes[i])
		}
	}
	return some
}

func keep[T any](all []T, wanted func(T) bool) []T {
	var some []T
	for _, t := range all {
		if wanted(t) {
			some = append(some, t)
		}
	}
	return some
}

// maxNamedVolumes bounds how many volumes a message names.
const maxNamedVolumes = 5

// bounded cuts a list for a message, and says how many it leaves out.
func bounded(names []string) []string {
	if more := len(names) - maxNamedVolumes; more > 0 {
		return append(names[:maxNamedVolumes:maxNamedVolumes], fmt.Sprintf("and %d more", more))
	}
	return names
}

// waitingMessage names the volumes that are not finished, in a stable order, and
// what their pods wait for.
func waitingMessage(o observed) string {
	var names, reasons []string
	for _, v := range pendingVolumes(o) {
		names = append(names, volumeName(&v))
		if m := o.untaken[v.Name].message; m != "" {
			reasons = append(reasons, m)
		}
	}
	slices.Sort(names)
	slices.Sort(reasons)
	reasons = slices.Compact(reasons)
	names = bounded(names)
	reasons = bounded(reasons)
	message := "waiting for volumes: " + strings.Join(names, ", ")
	if len(reasons) > 0 {
		message += "; " + strings.Join(reasons, "; ")
	}
	return message
}

func timeoutMessage(o observed) string {
	return fmt.Sprintf("timed out after %s waiting for all volumes", o.volumeTimeout)
}

// volumeName names a volume for people: "shop/db-0 data".
func volumeName(v *velerov1.PodVolumeRestore) string {
	return v.Spec.Pod.Namespace + "/" + v.Spec.Pod.Name + " " + v.Spec.Volume
}

func hasFinalizer(r *velerov1.Restore) bool {
	return slices.Contains(r.Finalizers, velerov1.RestoreExternalResourcesFinalizer)
}

// isOthers reports whether a real Velero has left the restore in the middle.
func isOthers(r *velerov1.Restore) bool {
	switch r.Status.Phase {
	case velerov1.RestorePhaseWaitingForPluginOperations,
		velerov1.RestorePhaseWaitingForPluginOperationsPartiallyFailed,
		velerov1.RestorePhaseFinalizing,
		velerov1.RestorePhaseFinalizingPartiallyFailed:
		return true
	default:
		return false
	}
}

func isStarted(r *velerov1.Restore) bool { return r.Status.StartTimestamp != nil }

func areItemsRestored(r *velerov1.Restore) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, velerov1.ConditionItemsRestored)
}

// storageCondition is the condition that says since when object storage fails,
// or nil when it does not. It is Uploaded, which is True only at the end.
func storageCondition(r *velerov1.Restore) *metav1.Condition {
	c := meta.FindStatusCondition(r.Status.Conditions, velerov1.ConditionUploaded)
	if c == nil || c.Status != metav1.ConditionFalse {
		return nil
	}
	return c
}

func storageGaveUp(o observed) bool {
	c := storageCondition(o.restore)
	return c != nil && !o.now.Before(c.LastTransitionTime.Add(o.storageTimeout))
}
