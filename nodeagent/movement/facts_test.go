package movement

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/moverlog"
)

func TestMoverOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pod      *corev1.Pod
		log      moverlog.State
		wasReady bool
		want     func(*Mover)
	}{
		"just made": {pod: pod()},
		"of another object": {
			pod:  pod(func(p *corev1.Pod) { p.OwnerReferences[0].UID = "other" }),
			want: func(m *Mover) { m.Foreign = true },
		},
		"granted": {
			pod:  pod(func(p *corev1.Pod) { p.Annotations = map[string]string{velerov1.SlotAnnotation: velerov1.SlotGranted} }),
			want: func(m *Mover) { m.Granted = true },
		},
		"told to go": {
			pod:  pod(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: t0.Add(5 * time.Second)} }),
			want: func(m *Mover) { m.Deleting = t0.Add(5 * time.Second) },
		},
		"cannot start": {
			pod: pod(container(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such host"}})),
			want: func(m *Mover) {
				m.Stuck = "ErrImagePull: no such host"
				m.Doing = m.Stuck
			},
		},
		"being started": {
			pod:  pod(container(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}})),
			want: func(m *Mover) { m.Doing = "ContainerCreating" },
		},
		"what its log says": {
			pod: pod(running()),
			log: moverlog.State{Opened: true, Prepared: true, Started: true, Progress: wire.Progress{DoneBytes: 7}},
			want: func(m *Mover) {
				m.Running, m.Ran, m.Prepared, m.Started = t0, true, true, true
				m.Progress.DoneBytes = 7
			},
		},
		"adopted before its log is read": {
			pod: pod(running()), wasReady: true,
			want: func(m *Mover) { m.Running, m.Ran, m.Prepared = t0, true, true },
		},
		"result in the log comes before the kubelet knows": {
			pod: pod(running()),
			log: moverlog.State{Prepared: true, Result: &wire.Result{SnapshotID: "k1"}},
			want: func(m *Mover) {
				m.Running, m.Ran, m.Prepared = t0, true, true
				m.Result = &wire.Result{SnapshotID: "k1"}
			},
		},
		"result in the termination message only": {
			pod: pod(phase(corev1.PodSucceeded), terminated("Completed", 0, `{"snapshotID":"k1","totalBytes":0}`)),
			want: func(m *Mover) {
				m.Ended, m.Ran = true, true
				m.Ending = "Completed, exit code 0"
				m.Result = &wire.Result{SnapshotID: "k1"}
			},
		},
		"killed": {
			pod: pod(phase(corev1.PodFailed), terminated("OOMKilled", 137, "")),
			log: moverlog.State{LastWords: "fatal error: out of memory"},
			want: func(m *Mover) {
				m.Ended, m.Ran = true, true
				m.Ending = "OOMKilled, exit code 137, last output: fatal error: out of memory"
			},
		},
		"evicted without ever running": {
			pod: pod(phase(corev1.PodFailed), func(p *corev1.Pod) {
				p.Status.Reason, p.Status.Message = "OutOfpods", "node has no room"
			}),
			want: func(m *Mover) { m.Ended, m.Ending = true, "OutOfpods, node has no room" },
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			want := mover()
			if tc.want != nil {
				tc.want(want)
			}

			got := MoverOf(tc.pod, "uid-1", tc.log, tc.wasReady)

			g.Expect(got).To(Equal(want))
		})
	}
}

func TestMoverWhoseLogCannotBeReadIsBelievedToBePreparedAfterAWhile(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	silent := moverlog.State{}

	m := mover(runs, granted)
	m.believeSilence(silent, t0.Add(14*time.Second), 15*time.Second)
	g.Expect(m.Prepared).To(BeFalse())
	m.believeSilence(moverlog.State{Opened: true}, t0.Add(time.Hour), 15*time.Second)
	g.Expect(m.Prepared).To(BeFalse(), "a log that can be read would say so")
	m.believeSilence(silent, t0.Add(15*time.Second), 15*time.Second)
	g.Expect(m.Prepared).To(BeTrue())
	g.Expect(m.Started).To(BeTrue())
}

func TestAdoptable(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	grantedPod := pod(running(), func(p *corev1.Pod) {
		p.Annotations = map[string]string{velerov1.SlotAnnotation: velerov1.SlotGranted}
	})
	waitingPod := pod(func(p *corev1.Pod) {
		p.OwnerReferences[0].Kind, p.OwnerReferences[0].Name = "PodVolumeRestore", "again-1"
	})
	endedPod := pod(phase(corev1.PodSucceeded))
	strangerPod := pod(func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "Job" })

	got := Adoptable([]corev1.Pod{*grantedPod, *waitingPod, *endedPod, *strangerPod})

	g.Expect(got).To(Equal([]Adoption{
		{Key: Key{Kind: wire.KindBackup, Name: "nightly-1"}, Granted: true},
		{Key: Key{Kind: wire.KindRestore, Name: "again-1"}},
	}))
}

func TestMoversAnnotation(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(ParseMovers("")).To(BeEmpty())
	g.Expect(ParseMovers("a, b")).To(Equal([]types.UID{"a", "b"}))
	g.Expect(MoversAfter(facts(), "")).To(BeEmpty())
	g.Expect(MoversAfter(facts(), "a")).To(Equal("a"))
	g.Expect(MoversAfter(facts(made("a")), "b")).To(Equal("a,b"))
	g.Expect(MoversAfter(facts(made("pod-1"), with(mover())), "")).To(Equal("pod-1"), "counted once")
	g.Expect(MoversAfter(facts(made("a"), with(mover())), "")).To(Equal("a,pod-1"), "a crash after making it")
	g.Expect(MoversAfter(facts(with(mover(foreign))), "")).To(BeEmpty())
}

func pod(mods ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "velero", Name: "nightly-1", UID: "pod-1", CreationTimestamp: metav1.NewTime(t0),
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "velero.io/v1", Kind: "PodVolumeBackup", Name: "nightly-1", UID: "uid-1",
		}},
	}}
	for _, mod := range mods {
		mod(p)
	}
	return p
}

func phase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func container(state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: state}} }
}

func running() func(*corev1.Pod) {
	return container(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(t0)}})
}

func terminated(reason string, code int32, message string) func(*corev1.Pod) {
	return container(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: reason, ExitCode: code, Message: message, StartedAt: metav1.NewTime(t0), FinishedAt: metav1.NewTime(t0),
	}})
}
