package restore

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

// hookFacts is all that planHooks may look at.
type hookFacts struct {
	now     time.Time
	created time.Time // of the record: when the pod was restored
	phase   string    // value of velerov1.HooksLabel
	record  hooks.Record
	broken  error // why the record cannot be read

	// over says that nobody needs the record any more: its restore is finished or
	// gone.
	over bool

	// stop says why the restore does not go on; "" when it does.
	stop string

	// pod is the restored pod, nil when it is gone.
	pod *corev1.Pod

	// lost says why the pod will never start; "" when it may.
	lost string
}

type hookAction string

const (
	hooksNothing hookAction = "Nothing"
	hooksForget  hookAction = "Forget" // delete the record
	hooksEnd     hookAction = "End"    // say that no hook is left to run
	hooksMark    hookAction = "Mark"   // write states that need no command
	hooksRun     hookAction = "Run"    // run one hook
)

// hookStep is the one thing to do for a pod's hooks.
type hookStep struct {
	action hookAction
	run    int               // with hooksRun
	marks  map[int]hooks.Run // with hooksMark: hooks and what has come of them
	after  time.Duration
}

// planHooks decides the next step for the hooks of one pod. Each case is one row
// of the state table in docs/hooks.md.
func planHooks(f hookFacts) hookStep {
	switch {
	case f.phase == velerov1.HooksEnded && f.over:
		return hookStep{action: hooksForget}
	case f.phase == velerov1.HooksEnded:
		return hookStep{action: hooksNothing}
	case f.broken != nil || f.record.IsEnded():
		return hookStep{action: hooksEnd}
	}
	if marks := settled(f); len(marks) > 0 {
		return hookStep{action: hooksMark, marks: marks}
	}
	if i := nextRun(f); i >= 0 {
		return hookStep{action: hooksRun, run: i}
	}
	return hookStep{action: hooksNothing, after: nextPodLook(f)}
}

// settled are the hooks of which is known without a command what comes of them.
func settled(f hookFacts) map[int]hooks.Run {
	return f.record.Settled(func(run hooks.Run) (hooks.State, string) { return settle(f, run) })
}

func settle(f hookFacts, run hooks.Run) (hooks.State, string) {
	failed := f.record.FailedFor(run.Pod, hooks.Restored)
	waited := run.WaitTimeout.Duration
	switch {
	case run.State == hooks.Started:
		return hooks.Failed, hookrun.Interrupted // run again, it might do its work twice
	case f.stop != "":
		return hooks.Dropped, f.stop
	case failed != nil:
		return hooks.Skipped, fmt.Sprintf("not run, because the %s failed", failed.Hook)
	case f.lost != "":
		return hooks.Dropped, f.lost
	case run.Problem != "":
		return hooks.Failed, run.Problem
	case waited > 0 && !isUp(f.pod, run.Hook) && !f.now.Before(f.created.Add(waited)):
		return hooks.Failed, fmt.Sprintf("the container was not %s within %s", wantedState(run.Hook), waited)
	default:
		return hooks.Waiting, ""
	}
}

func wantedState(h hooks.Hook) string {
	if h.WaitForReady {
		return "ready"
	}
	return "running"
}

// nextRun returns the hook to run now, or -1. Hooks of a container are run in their
// order and those of another container not before they have ended, but a container
// that is not up does not hold up others.
func nextRun(f hookFacts) int {
	first := map[string]int{} // container to its first hook that has not ended
	begun := map[string]bool{}
	var containers []string
	for i, run := range f.record.Runs {
		if run.WasStarted() {
			begun[run.Container] = true
		}
		if _, known := first[run.Container]; !known && !run.IsEnded() {
			first[run.Container] = i
			containers = append(containers, run.Container)
		}
	}
	slices.SortStableFunc(containers, func(a, b string) int { return cmp.Compare(rank(begun[a]), rank(begun[b])) })
	for _, c := range containers {
		if i := first[c]; isUp(f.pod, f.record.Runs[i].Hook) {
			return i
		}
	}
	return -1
}

func rank(begun bool) int {
	if begun {
		return 0
	}
	return 1
}

// isUp reports whether the container of a hook is as the hook wants it.
func isUp(pod *corev1.Pod, h hooks.Hook) bool {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for _, s := range statuses {
			if s.Name == h.Container {
				return s.State.Running != nil && (s.Ready || !h.WaitForReady)
			}
		}
	}
	return false
}

// Pods are looked at, and not watched, because a watch would keep all pods of the
// cluster that were ever restored in memory.
const (
	minHookInterval = time.Second
	maxHookInterval = 10 * time.Second

	// hookLooksPerSecond bounds the requests of all pods of a restore together, to a
	// quarter of what the server may send.
	hookLooksPerSecond = 50
)

// nextPodLook grows with the number of pods and with the time that this one takes.
func nextPodLook(f hookFacts) time.Duration {
	crowd := time.Duration(f.record.Before/hookLooksPerSecond) * time.Second
	after := max(minHookInterval, crowd, min(f.now.Sub(f.created)/20, maxHookInterval))
	for _, run := range f.record.Runs {
		if left := f.created.Add(run.WaitTimeout.Duration).Sub(f.now); run.WaitTimeout.Duration > 0 && !run.IsEnded() && left > 0 {
			after = min(after, left)
		}
	}
	return after
}
