package restore

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

var hooksT0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// restoredPodFacts is a restored pod with the hooks a1 and a2 in its container app
// and s1 in its container side, both running and not ready.
func restoredPodFacts(mods ...func(*hookFacts)) hookFacts {
	f := hookFacts{now: hooksT0, created: hooksT0, phase: velerov1.HooksRunning}
	hook := func(container, name string) hooks.Hook {
		return hooks.Hook{Stage: hooks.Restored, Container: container, Name: name, Timeout: metav1.Duration{Duration: time.Second}}
	}
	f.record.Add(hooks.Pod{Namespace: "shop", Name: "db", UID: "1"}, []hooks.Hook{hook("app", "a1"), hook("side", "s1"), hook("app", "a2")})
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	f.pod = &corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: running}, {Name: "side", State: running}}}}
	for _, mod := range mods {
		mod(&f)
	}
	return f
}

func hookState(i int, s hooks.State) func(*hookFacts) {
	return func(f *hookFacts) {
		f.record.Runs[i].State, f.record.Runs[i].StartedAt = s, &metav1.Time{Time: hooksT0}
	}
}

func down(container int) func(*hookFacts) {
	return func(f *hookFacts) { f.pod.Status.ContainerStatuses[container].State = corev1.ContainerState{} }
}

func wantsReady(i int) func(*hookFacts) {
	return func(f *hookFacts) { f.record.Runs[i].WaitForReady = true }
}

func waits(i int, d time.Duration) func(*hookFacts) {
	return func(f *hookFacts) { f.record.Runs[i].WaitTimeout = metav1.Duration{Duration: d} }
}

func later(d time.Duration) func(*hookFacts) { return func(f *hookFacts) { f.now = f.now.Add(d) } }

func TestPlanHooks(t *testing.T) {
	t.Parallel()
	all := func(s hooks.State) map[int]hooks.State { return map[int]hooks.State{0: s, 1: s, 2: s} }
	failedHard := func(f *hookFacts) {
		hookState(0, hooks.Failed)(f)
		f.record.Runs[0].OnError = velerov1.HookErrorModeFail
	}
	for name, tc := range map[string]struct {
		facts  hookFacts
		action hookAction
		run    int
		marks  map[int]hooks.State
		after  time.Duration
	}{
		"the first hook": {facts: restoredPodFacts(), action: hooksRun, run: 0},
		"hooks of one container follow each other":   {facts: restoredPodFacts(hookState(0, hooks.Succeeded)), action: hooksRun, run: 2},
		"then those of the next":                     {facts: restoredPodFacts(hookState(0, hooks.Succeeded), hookState(2, hooks.Succeeded)), action: hooksRun, run: 1},
		"a container that is down holds up no other": {facts: restoredPodFacts(down(0)), action: hooksRun, run: 1},
		"all are down":                                   {facts: restoredPodFacts(down(0), down(1)), action: hooksNothing, after: minHookInterval},
		"ready is more than running":                     {facts: restoredPodFacts(wantsReady(0)), action: hooksRun, run: 1},
		"looks become rarer":                             {facts: restoredPodFacts(down(0), down(1), later(time.Minute)), action: hooksNothing, after: 3 * time.Second},
		"but the timeout is not missed":                  {facts: restoredPodFacts(down(0), down(1), waits(1, time.Minute), later(59*time.Second)), action: hooksNothing, after: time.Second},
		"a container that is not up in time":             {facts: restoredPodFacts(down(0), waits(0, time.Minute), later(time.Minute)), action: hooksMark, marks: map[int]hooks.State{0: hooks.Failed}},
		"a container that is up is never too late":       {facts: restoredPodFacts(waits(0, time.Minute), later(time.Hour)), action: hooksRun, run: 0},
		"a failed hook that may fail":                    {facts: restoredPodFacts(hookState(0, hooks.Failed)), action: hooksRun, run: 2},
		"a failed hook that must not ends the pod's":     {facts: restoredPodFacts(failedHard), action: hooksMark, marks: map[int]hooks.State{1: hooks.Skipped, 2: hooks.Skipped}},
		"after a restart a hook is not run twice":        {facts: restoredPodFacts(hookState(0, hooks.Started)), action: hooksMark, marks: map[int]hooks.State{0: hooks.Failed}},
		"a pod that is gone or never starts":             {facts: restoredPodFacts(func(f *hookFacts) { f.pod, f.lost = nil, "gone" }), action: hooksMark, marks: all(hooks.Dropped)},
		"a canceled restore":                             {facts: restoredPodFacts(func(f *hookFacts) { f.stop = "canceled" }), action: hooksMark, marks: all(hooks.Dropped)},
		"a hook that cannot be run":                      {facts: restoredPodFacts(func(f *hookFacts) { f.record.Runs[1].Problem = "no container" }), action: hooksMark, marks: map[int]hooks.State{1: hooks.Failed}},
		"all have ended":                                 {facts: restoredPodFacts(hookState(0, hooks.Succeeded), hookState(1, hooks.Skipped), hookState(2, hooks.Dropped)), action: hooksEnd},
		"a record that cannot be read":                   {facts: hookFacts{broken: errHooks}, action: hooksEnd},
		"the record stays until the restore has read it": {facts: restoredPodFacts(func(f *hookFacts) { f.phase = velerov1.HooksEnded }), action: hooksNothing},
		"then it goes":                                   {facts: restoredPodFacts(func(f *hookFacts) { f.phase, f.over = velerov1.HooksEnded, true }), action: hooksForget},
		"many pods are looked at less often":             {facts: restoredPodFacts(down(0), down(1), func(f *hookFacts) { f.record.Before = 500 }), action: hooksNothing, after: 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := planHooks(tc.facts)

			g.Expect(got.action).To(Equal(tc.action))
			g.Expect(got.after).To(Equal(tc.after))
			if tc.action == hooksRun {
				g.Expect(got.run).To(Equal(tc.run))
			}
			g.Expect(got.marks).To(HaveLen(len(tc.marks)))
			for i, s := range tc.marks {
				g.Expect(got.marks[i].State).To(Equal(s))
				g.Expect(got.marks[i].Message).NotTo(BeEmpty())
			}
		})
	}
}

var errHooks = errStopped

func TestInterruptedHookOfARestoreSaysSo(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	g.Expect(planHooks(restoredPodFacts(hookState(0, hooks.Started))).marks[0].Message).To(Equal(hookrun.Interrupted))
}

func TestInitContainersComeFirst(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	named := func(names ...string) []any {
		var all []any
		for _, n := range names {
			all = append(all, map[string]any{"name": n})
		}
		return all
	}
	pod := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"initContainers": named("own", hooks.InitNamePrefix+"12345678", "hook", "other"),
	}}}

	setInitContainers(pod, []map[string]any{{"name": "hook", "image": "new"}})

	got, _, err := unstructured.NestedSlice(pod.Object, "spec", "initContainers")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal(append([]any{map[string]any{"name": "hook", "image": "new"}}, named("own", "other")...)),
		"those of an earlier restore are replaced")
}
