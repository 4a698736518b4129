package backup

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

// blockFacts is all that planBlock may look at.
type blockFacts struct {
	now    time.Time
	phase  string // value of velerov1.HooksLabel
	record hooks.Record
	broken error // why the record cannot be read

	// over says that nobody needs the record any more: its backup is finished or gone.
	over bool

	// stop says why the backup does not go on; "" when it does.
	stop string

	// volumes are the pod volume backups of the block that exist.
	volumes []velerov1.PodVolumeBackup

	// deadline is when stop will say that the backup has timed out; zero when it is
	// not known.
	deadline time.Time
}

type blockAction string

const (
	blockNothing blockAction = "Nothing"
	blockForget  blockAction = "Forget"  // delete the record
	blockEnd     blockAction = "End"     // say that no hook is left to run
	blockMark    blockAction = "Mark"    // write states that need no command
	blockRun     blockAction = "Run"     // run one hook
	blockPrepare blockAction = "Prepare" // have movers made for the volumes
	blockRelease blockAction = "Release" // let the volumes move, or fail those that must not
)

// blockStep is the one thing to do for a block.
type blockStep struct {
	action blockAction
	run    int               // with blockRun
	marks  map[int]hooks.Run // with blockMark: hooks and what has come of them
	failed map[string]string // with blockRelease: volumes that fail, and why
	after  time.Duration
}

// planBlock decides the next step of one block. Each case is one row of the state
// table in docs/hooks.md.
func planBlock(f blockFacts) blockStep {
	switch {
	case f.phase == velerov1.HooksEnded && f.over:
		return blockStep{action: blockForget}
	case f.phase == velerov1.HooksEnded:
		return blockStep{action: blockNothing}
	case f.broken != nil && len(heldVolumes(f)) > 0:
		return blockStep{action: blockRelease, failed: failAll(f, "the record of the hooks cannot be read: "+f.broken.Error())}
	case f.record.IsEnded() && (f.stop != "" || len(heldVolumes(f)) == 0):
		return blockStep{action: blockEnd}
	case f.phase == velerov1.HooksWaiting && f.stop == "":
		return blockStep{action: blockNothing} // the backup gives the turn
	default:
		return runningBlock(f)
	}
}

// runningBlock is the part of planBlock between the first hook and the last.
func runningBlock(f blockFacts) blockStep {
	if marks := settled(f); len(marks) > 0 {
		return blockStep{action: blockMark, marks: marks}
	}
	pre, post := f.record.Next(hooks.Pre), f.record.Next(hooks.Post)
	switch {
	case f.stop == "" && pre >= 0 && len(unpreparedVolumes(f)) > 0:
		return blockStep{action: blockPrepare}
	case f.stop == "" && pre >= 0 && !areVolumesReady(f):
		return blockStep{action: blockNothing, after: untilDeadline(f)}
	case pre >= 0:
		return blockStep{action: blockRun, run: pre}
	case f.stop == "" && len(heldVolumes(f)) > 0:
		return blockStep{action: blockRelease, failed: refusedVolumes(f)}
	case f.stop == "" && len(unfinished(f.volumes)) > 0:
		return blockStep{action: blockNothing, after: untilDeadline(f)}
	case post >= 0:
		return blockStep{action: blockRun, run: post}
	default:
		return blockStep{action: blockNothing} // a backup that stops cancels its held volumes
	}
}

// settled are the hooks of which is known without a command what comes of them.
func settled(f blockFacts) map[int]hooks.Run {
	return f.record.Settled(func(run hooks.Run) (hooks.State, string) { return settle(f, run) })
}

func settle(f blockFacts, run hooks.Run) (hooks.State, string) {
	failed := f.record.FailedFor(run.Pod, run.Stage)
	switch {
	case run.Stage == hooks.Pre && run.State == hooks.Started:
		// Run again, it might freeze what is frozen.
		return hooks.Failed, hookrun.Interrupted
	case run.Stage == hooks.Pre && f.stop != "":
		return hooks.Dropped, f.stop
	case run.Stage == hooks.Pre && failed != nil:
		return hooks.Skipped, fmt.Sprintf("not run, because the %s failed", failed.Hook)
	case run.Stage == hooks.Post && run.State == hooks.Waiting && f.record.Next(hooks.Pre) < 0 && !mustThaw(f, run.Pod):
		return hooks.Dropped, cmp.Or(f.stop, "not run, because no pre hook of the pod was")
	default:
		return hooks.Waiting, ""
	}
}

// mustThaw reports whether the post hooks of a pod are run: when a pre hook may
// have frozen it, whatever came after, and when it has no pre hooks and the backup
// goes on.
func mustThaw(f blockFacts, pod int) bool {
	hasPre := false
	for _, run := range f.record.Runs {
		if run.Pod != pod || run.Stage != hooks.Pre {
			continue
		}
		if run.WasStarted() {
			return true
		}
		hasPre = true
	}
	return !hasPre && f.stop == ""
}

// areVolumesReady reports whether the volumes of the block wait for nothing but its hooks,
// as their node agents say: a pod must not be frozen while a repository is made or
// a node is down.
func areVolumesReady(f blockFacts) bool {
	return !slices.ContainsFunc(heldVolumes(f), func(v velerov1.PodVolumeBackup) bool { return !waitsForHooks(v) })
}

func waitsForHooks(v velerov1.PodVolumeBackup) bool {
	c := meta.FindStatusCondition(v.Status.Conditions, velerov1.ConditionCompleted)
	return c != nil && c.Reason == velerov1.ReasonWaitingForHooks
}

// unpreparedVolumes are the held volumes that no mover may be made for yet.
func unpreparedVolumes(f blockFacts) []velerov1.PodVolumeBackup {
	var some []velerov1.PodVolumeBackup
	for _, v := range heldVolumes(f) {
		if v.Annotations[velerov1.HoldAnnotation] != velerov1.HoldData {
			some = append(some, v)
		}
	}
	return some
}

// heldVolumes are the volumes that node agents must not start on yet.
func heldVolumes(f blockFacts) []velerov1.PodVolumeBackup {
	var held []velerov1.PodVolumeBackup
	for _, v := range unfinished(f.volumes) {
		if v.Annotations[velerov1.HoldAnnotation] != "" {
			held = append(held, v)
		}
	}
	return held
}

// refusedVolumes are the held volumes of pods with a pre hook that failed and asked
// that the pod is not backed up then.
func refusedVolumes(f blockFacts) map[string]string {
	refused := map[string]string{}
	for i, pod := range f.record.Pods {
		failed := f.record.FailedFor(i, hooks.Pre)
		if failed == nil {
			continue
		}
		for _, v := range heldVolumes(f) {
			if v.Spec.Pod.UID == pod.UID {
				refused[v.Name] = fmt.Sprintf("the %s failed: %s", failed.Hook, failed.Message)
			}
		}
	}
	return refused
}

func failAll(f blockFacts, why string) map[string]string {
	all := map[string]string{}
	for _, v := range heldVolumes(f) {
		all[v.Name] = why
	}
	return all
}

// untilDeadline is when to look again without an event; 0 means that there is no
// such time.
func untilDeadline(f blockFacts) time.Duration {
	if f.deadline.IsZero() {
		return 0
	}
	return max(f.deadline.Sub(f.now), time.Second)
}
