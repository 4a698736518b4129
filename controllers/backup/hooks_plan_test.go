package backup

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hookrun"
	"github.com/podkeep/podkeep/internal/hooks"
)

// onePod is a running block of one pod with a pre hook, a post hook and a held
// volume that is ready.
func onePod(mods ...func(*blockFacts)) blockFacts {
	f := blockFacts{now: t0, phase: velerov1.HooksRunning, deadline: t0.Add(time.Hour)}
	f.record.Add(hooks.Pod{Namespace: "app", Name: "db", UID: "1"}, []hooks.Hook{
		{Stage: hooks.Pre, Name: "freeze"}, {Stage: hooks.Post, Name: "thaw"},
	})
	f.volumes = []velerov1.PodVolumeBackup{heldVolume("v", "1")}
	for _, mod := range mods {
		mod(&f)
	}
	return f
}

func heldVolume(name string, pod types.UID) velerov1.PodVolumeBackup {
	return velerov1.PodVolumeBackup{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{velerov1.HoldAnnotation: velerov1.HoldData, velerov1.HookRecordAnnotation: "r"}},
		Spec:       velerov1.PodVolumeBackupSpec{Pod: corev1.ObjectReference{UID: pod}},
		Status: velerov1.PodVolumeBackupStatus{Conditions: []metav1.Condition{
			{Type: velerov1.ConditionCompleted, Status: metav1.ConditionUnknown, Reason: velerov1.ReasonWaitingForHooks},
		}},
	}
}

func blockState(run int, s hooks.State) func(*blockFacts) {
	return func(f *blockFacts) {
		f.record.Runs[run].State = s
		if s == hooks.Started || s == hooks.Succeeded || s == hooks.Failed {
			f.record.Runs[run].StartedAt = &metav1.Time{Time: t0}
		}
	}
}

func blockFailing(run int) func(*blockFacts) {
	return func(f *blockFacts) {
		blockState(run, hooks.Failed)(f)
		f.record.Runs[run].OnError, f.record.Runs[run].Message = velerov1.HookErrorModeFail, "exit 1"
	}
}

func blockReleased(f *blockFacts) { delete(f.volumes[0].Annotations, velerov1.HoldAnnotation) }

func blockFinished(phase velerov1.PodVolumeBackupPhase) func(*blockFacts) {
	return func(f *blockFacts) {
		blockReleased(f)
		f.volumes[0].Status.Phase = phase
	}
}

func blockStopped(f *blockFacts) { f.stop = "canceled by x" }

func blockInPhase(p string) func(*blockFacts) { return func(f *blockFacts) { f.phase = p } }

func blockOver(f *blockFacts) { f.over, f.stop = true, "the backup has ended" }

func blockUnprepared(f *blockFacts) {
	blockUnready(f)
	f.volumes[0].Annotations[velerov1.HoldAnnotation] = velerov1.HoldAll
}

func blockUnready(f *blockFacts) { f.volumes[0].Status.Conditions = nil }

func blockWithoutVolumes(f *blockFacts) { f.volumes = nil }

func TestPlanBlock(t *testing.T) {
	t.Parallel()
	const pre, post = 0, 1
	mark := func(f blockFacts, states ...hooks.State) map[int]hooks.State {
		m := map[int]hooks.State{}
		for i, s := range states {
			if s != hooks.Waiting {
				m[i] = s
			}
		}
		return m
	}
	for name, tc := range map[string]struct {
		facts  blockFacts
		action blockAction
		run    int
		marks  map[int]hooks.State
		failed map[string]string
		after  time.Duration
	}{
		"a block waits for its turn":                           {facts: onePod(blockInPhase(velerov1.HooksWaiting)), action: blockNothing},
		"movers are made when it is its turn":                  {facts: onePod(blockUnprepared), action: blockPrepare},
		"a pod is not frozen before its volumes are ready":     {facts: onePod(blockUnready), action: blockNothing, after: time.Hour},
		"then its pre hook is run":                             {facts: onePod(), action: blockRun, run: pre},
		"a pod without volumes waits for none":                 {facts: onePod(blockWithoutVolumes), action: blockRun, run: pre},
		"then its volumes may move":                            {facts: onePod(blockState(pre, hooks.Succeeded)), action: blockRelease},
		"a failed hook that may fail does not keep them":       {facts: onePod(blockState(pre, hooks.Failed)), action: blockRelease},
		"a failed hook that must not, does":                    {facts: onePod(blockFailing(pre)), action: blockRelease, failed: map[string]string{"v": `the pre hook "freeze" failed: exit 1`}},
		"volumes are waited for":                               {facts: onePod(blockState(pre, hooks.Succeeded), blockReleased), action: blockNothing, after: time.Hour},
		"then the post hook is run":                            {facts: onePod(blockState(pre, hooks.Succeeded), blockFinished("Completed")), action: blockRun, run: post},
		"also when the volume failed":                          {facts: onePod(blockState(pre, hooks.Succeeded), blockFinished("Failed")), action: blockRun, run: post},
		"also when the pre hook failed":                        {facts: onePod(blockFailing(pre), blockFinished("Failed")), action: blockRun, run: post},
		"also when the volume was deleted":                     {facts: onePod(blockState(pre, hooks.Succeeded), blockWithoutVolumes), action: blockRun, run: post},
		"a canceled backup thaws at once":                      {facts: onePod(blockState(pre, hooks.Succeeded), blockReleased, blockStopped), action: blockRun, run: post},
		"and does not release its volumes":                     {facts: onePod(blockState(pre, hooks.Succeeded), blockStopped), action: blockRun, run: post},
		"a backup that is gone thaws":                          {facts: onePod(blockState(pre, hooks.Succeeded), blockReleased, blockOver), action: blockRun, run: post},
		"after a restart a pre hook is not run again":          {facts: onePod(blockState(pre, hooks.Started)), action: blockMark, marks: mark(blockFacts{}, hooks.Failed)},
		"after a restart a post hook is":                       {facts: onePod(blockState(pre, hooks.Succeeded), blockState(post, hooks.Started), blockFinished("Completed")), action: blockRun, run: post},
		"a canceled backup freezes nothing":                    {facts: onePod(blockStopped), action: blockMark, marks: mark(blockFacts{}, hooks.Dropped)},
		"also before its turn":                                 {facts: onePod(blockStopped, blockInPhase(velerov1.HooksWaiting)), action: blockMark, marks: mark(blockFacts{}, hooks.Dropped)},
		"what was not frozen is not thawed":                    {facts: onePod(blockStopped, blockState(pre, hooks.Dropped)), action: blockMark, marks: mark(blockFacts{}, hooks.Waiting, hooks.Dropped)},
		"all hooks have ended":                                 {facts: onePod(blockState(pre, hooks.Succeeded), blockState(post, hooks.Failed), blockFinished("Completed")), action: blockEnd},
		"held volumes of a canceled backup are not waited for": {facts: onePod(blockState(pre, hooks.Dropped), blockState(post, hooks.Dropped), blockStopped), action: blockEnd},
		"the record stays until the backup has read it":        {facts: onePod(blockInPhase(velerov1.HooksEnded)), action: blockNothing},
		"then it goes":                                         {facts: onePod(blockInPhase(velerov1.HooksEnded), blockOver), action: blockForget},
		"a record that cannot be read fails its volumes": {
			facts:  onePod(func(f *blockFacts) { f.record, f.broken = hooks.Record{}, errors.New("bad") }),
			action: blockRelease, failed: map[string]string{"v": "the record of the hooks cannot be read: bad"},
		},
		"and ends": {facts: onePod(blockWithoutVolumes, func(f *blockFacts) { f.record, f.broken = hooks.Record{}, errors.New("bad") }), action: blockEnd},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := planBlock(tc.facts)

			g.Expect(got.action).To(Equal(tc.action))
			g.Expect(got.after).To(Equal(tc.after))
			if tc.action == blockRun {
				g.Expect(got.run).To(Equal(tc.run))
			}
			if tc.action == blockRelease {
				g.Expect(got.failed).To(HaveLen(len(tc.failed)))
				for k, v := range tc.failed {
					g.Expect(got.failed).To(HaveKeyWithValue(k, v))
				}
			}
			g.Expect(got.marks).To(HaveLen(len(tc.marks)))
			for i, s := range tc.marks {
				g.Expect(got.marks[i].State).To(Equal(s))
				g.Expect(got.marks[i].Message).NotTo(BeEmpty())
			}
		})
	}
}

func TestInterruptedHookSaysSo(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	g.Expect(planBlock(onePod(blockState(0, hooks.Started))).marks[0].Message).To(Equal(hookrun.Interrupted))
}

// A failed hook of one pod keeps its own volumes from moving, and no others.
func TestPlanOfTwoPods(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	f := onePod()
	f.record.Add(hooks.Pod{Namespace: "app", Name: "web", UID: "2"}, []hooks.Hook{{Stage: hooks.Pre, Name: "sync"}, {Stage: hooks.Post, Name: "go"}})
	f.volumes = append(f.volumes, heldVolume("w", "2"))

	blockFailing(0)(&f)
	s := planBlock(f)
	g.Expect(s.action).To(Equal(blockRun))
	g.Expect(f.record.Runs[s.run].Name).To(Equal("sync"), "the other pod goes on")

	blockState(1, hooks.Succeeded)(&f)
	s = planBlock(f)
	g.Expect(s.action).To(Equal(blockRelease))
	g.Expect(s.failed).To(HaveLen(1))
	g.Expect(s.failed).To(HaveKey("v"))
}

func TestFurtherHooksOfAFailedPodAreSkipped(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	f := blockFacts{now: t0, phase: velerov1.HooksRunning}
	f.record.Add(hooks.Pod{Name: "db"}, []hooks.Hook{{Stage: hooks.Pre, Name: "a"}, {Stage: hooks.Pre, Name: "b"}, {Stage: hooks.Post}, {Stage: hooks.Post}})
	blockFailing(0)(&f)

	s := planBlock(f)
	g.Expect(s.marks).To(HaveLen(1))
	g.Expect(s.marks[1].State).To(Equal(hooks.Skipped))

	f.record.Runs[1].State = hooks.Skipped
	blockFailing(2)(&f)
	s = planBlock(f)
	g.Expect(s.action).To(Equal(blockRun), "a post hook that fails does not keep the next from thawing")
	g.Expect(s.run).To(Equal(3))
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	pod := func(name string, claims ...string) candidate {
		return candidate{pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}, claims: claims}
	}
	for name, tc := range map[string]struct {
		pods []candidate
		want [][]string
	}{
		"none":                     {nil, nil},
		"pods without claims":      {[]candidate{pod("a"), pod("b")}, [][]string{{"a"}, {"b"}}},
		"a shared claim":           {[]candidate{pod("a", "x"), pod("b", "y"), pod("c", "x")}, [][]string{{"a", "c"}, {"b"}}},
		"a chain of shared claims": {[]candidate{pod("a", "x"), pod("b", "y"), pod("c", "y", "x")}, [][]string{{"a", "b", "c"}}},
		"two chains joined at the end": {
			[]candidate{pod("a", "1"), pod("b", "2"), pod("c", "1", "3"), pod("d", "2", "4"), pod("e", "4", "3"), pod("f", "5")},
			[][]string{{"a", "b", "c", "d", "e"}, {"f"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			var got [][]string
			for _, b := range blocksOf(tc.pods) {
				var names []string
				for _, c := range b {
					names = append(names, c.pod.Name)
				}
				got = append(got, names)
			}

			g.Expect(got).To(Equal(tc.want))
		})
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	at := func(name string, seconds int, phase string, nodes ...string) hookBlock {
		return hookBlock{name: name, backup: "me", phase: phase, created: t0.Add(time.Duration(seconds) * time.Second), nodes: nodes}
	}
	of := func(b hookBlock, other types.UID) hookBlock {
		b.backup = other
		return b
	}
	waiting, running := velerov1.HooksWaiting, velerov1.HooksRunning
	var crowd []hookBlock
	for range maxRunningBlocks {
		crowd = append(crowd, at("r", 0, running))
	}
	for name, tc := range map[string]struct {
		blocks []hookBlock
		busy   map[string]bool
		want   []string
	}{
		"one for each node, oldest first": {
			blocks: []hookBlock{at("c", 2, waiting, "n1"), at("b", 1, waiting, "n1"), at("a", 1, waiting, "n2")}, want: []string{"a", "b"},
		},
		"one runs on the node":           {blocks: []hookBlock{at("a", 0, running, "n1"), at("b", 1, waiting, "n1")}},
		"one of another backup is older": {blocks: []hookBlock{of(at("a", 0, waiting, "n1"), "other"), at("b", 1, waiting, "n1")}},
		"volumes move on the node":       {blocks: []hookBlock{at("a", 0, waiting, "n1")}, busy: map[string]bool{"n1": true}},
		"a block of two nodes waits for both, and others for it": {
			blocks: []hookBlock{at("a", 0, waiting, "n1", "n2"), at("b", 1, waiting, "n2")}, busy: map[string]bool{"n1": true},
		},
		"pods without volumes wait for no node": {blocks: []hookBlock{at("a", 0, waiting), at("b", 0, waiting)}, busy: map[string]bool{"n1": true}, want: []string{"a", "b"}},
		"not too many at once":                  {blocks: append(crowd, at("a", 1, waiting))},
		"ended ones do not count":               {blocks: []hookBlock{at("a", 0, velerov1.HooksEnded, "n1"), at("b", 1, waiting, "n1")}, want: []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			o := observed{backup: &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{UID: "me"}}, hooks: hookFacts{blocks: tc.blocks, busy: tc.busy}}

			g.Expect(hookTurns(o)).To(Equal(tc.want))
		})
	}
}

func TestBusyNodes(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	volume := func(node string, mods ...func(*velerov1.PodVolumeBackup)) velerov1.PodVolumeBackup {
		v := velerov1.PodVolumeBackup{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(t0)}, Spec: velerov1.PodVolumeBackupSpec{Node: node}}
		for _, mod := range mods {
			mod(&v)
		}
		return v
	}
	g.Expect(busyNodes([]velerov1.PodVolumeBackup{
		volume("n1"),
		volume("n2", func(v *velerov1.PodVolumeBackup) { v.Status.Phase = velerov1.PodVolumeBackupPhaseCompleted }),
		volume("n3", func(v *velerov1.PodVolumeBackup) {
			v.Annotations = map[string]string{velerov1.HookRecordAnnotation: "r"}
		}),
		volume("n4", func(v *velerov1.PodVolumeBackup) { v.CreationTimestamp = metav1.NewTime(t0.Add(time.Minute)) }),
	}, t0)).To(Equal(map[string]bool{"n1": true}))
}

func TestNameOfHooksFits(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	long := make([]byte, 253)
	for i := range long {
		long[i] = 'a'
	}
	g.Expect(len(nameOfHooks(&velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Name: string(long)}}, "uid"))).To(BeNumerically("<=", 253))
	g.Expect(nameOfHooks(&velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}}, "uid")).To(MatchRegexp("^nightly-hooks-[0-9a-f]{10}$"))
}
