package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// watched runs onWatch once both watches of a waiting command are there.
func watched(onWatch func(ctx context.Context, c client.WithWatch)) interceptor.Funcs {
	var watches atomic.Int32
	return interceptor.Funcs{
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
			w, err := c.Watch(ctx, list, opts...)
			if watches.Add(1) == 2 {
				go onWatch(context.WithoutCancel(ctx), c)
			}
			return w, err
		},
	}
}

// end makes a backup, with one volume, end in a phase.
func end(g *WithT, phase velerov1.BackupPhase) func(context.Context, client.WithWatch) {
	return func(ctx context.Context, c client.WithWatch) {
		volume := &velerov1.PodVolumeBackup{
			ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "x-1", Labels: map[string]string{velerov1.BackupUIDLabel: "uid-of-x"}},
			Spec:       velerov1.PodVolumeBackupSpec{Volume: "data", Pod: corev1.ObjectReference{Namespace: "shop", Name: "web-0"}},
			Status: velerov1.PodVolumeBackupStatus{
				Phase: velerov1.PodVolumeBackupPhaseCompleted, Progress: velerov1.DataMoveOperationProgress{TotalBytes: 2048, BytesDone: 2048},
			},
		}
		g.Expect(c.Create(ctx, volume)).To(Succeed())
		b := &velerov1.Backup{}
		g.Expect(c.Get(ctx, client.ObjectKey{Namespace: "velero", Name: "x"}, b)).To(Succeed())
		b.Status.Phase = phase
		g.Expect(c.Update(ctx, b)).To(Succeed())
	}
}

func TestWaitEndsWithThePhase(t *testing.T) {
	t.Parallel()
	tests := map[velerov1.BackupPhase]int{
		velerov1.BackupPhaseCompleted:        exitOK,
		velerov1.BackupPhasePartiallyFailed:  exitPartiallyFailed,
		velerov1.BackupPhaseFailed:           exitFailed,
		velerov1.BackupPhaseFailedValidation: exitFailed,
	}
	for phase, want := range tests {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := podkeep(t.Context(), apiWith(t, watched(end(g, phase))), "backup", "create", "x", "--wait")

			g.Expect(got.code).To(Equal(want))
			g.Expect(got.err).To(BeEmpty())
			g.Expect(got.out).To(HavePrefix("Backup request \"x\" submitted successfully.\n"))
			g.Expect(got.out).To(ContainSubstring("shop/web-0 data: Completed  2.0 KiB\n"))
			g.Expect(got.out).To(ContainSubstring("\nBackup completed with status: " + string(phase) + ".\n"))
			g.Expect(got.out).To(ContainSubstring("1 completed\n"))
		})
	}
}

func TestWaitForARestore(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	finish := watched(func(ctx context.Context, c client.WithWatch) {
		r := &velerov1.Restore{}
		g.Expect(c.Get(ctx, client.ObjectKey{Namespace: "velero", Name: "r"}, r)).To(Succeed())
		r.Status.Phase = velerov1.RestorePhaseCompleted
		g.Expect(c.Update(ctx, r)).To(Succeed())
	})
	backup := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "old"}}

	got := podkeep(t.Context(), apiWith(t, finish, backup), "restore", "create", "r", "--from-backup", "old", "-w")

	g.Expect(got.err).To(BeEmpty())
	g.Expect(got.code).To(Equal(exitOK))
	g.Expect(got.out).To(ContainSubstring("Restore completed with status: Completed.\n"))
}

func TestWaitStopsWhenInterrupted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ctx, interrupt := context.WithCancel(t.Context())
	c := apiWith(t, watched(func(context.Context, client.WithWatch) { interrupt() }))

	got := podkeep(ctx, c, "backup", "create", "x", "--wait")

	g.Expect(got.code).To(Equal(exitInterrupted))
	g.Expect(got.err).To(BeEmpty())
	g.Expect(got.out).To(HaveSuffix("Stopped waiting; the backup continues in the cluster. Look at it with: podkeep backup describe x\n"))
}

func TestWaitEndsWhenTheObjectIsDeleted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := apiWith(t, watched(func(ctx context.Context, c client.WithWatch) {
		b := &velerov1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: "velero", Name: "x"}}
		g.Expect(c.Delete(ctx, b)).To(Succeed())
	}))

	got := podkeep(t.Context(), c, "backup", "create", "x", "--wait")

	g.Expect(got.code).To(Equal(exitFailed))
	g.Expect(got.err).To(Equal("podkeep: backup \"x\" was deleted while it was waited for\n"))
}

func TestWaitSurvivesAClusterThatGoesAway(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	funcs := watched(end(g, velerov1.BackupPhaseCompleted))
	var lists atomic.Int32
	funcs.List = func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if lists.Add(1) <= 2 {
			return syscall.ECONNREFUSED
		}
		return c.List(ctx, list, opts...)
	}

	got := podkeep(t.Context(), apiWith(t, funcs), "backup", "create", "x", "--wait")

	g.Expect(got.code).To(Equal(exitOK))
	g.Expect(strings.Count(got.out, "the cluster does not answer, trying again: connection refused\n")).To(Equal(1))
}

func TestWaitEndsWhenTheClusterRefuses(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	funcs := interceptor.Funcs{
		Watch: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
			return nil, apierrors.NewForbidden(velerov1.Resource("podvolumebackups"), "", errors.New("no watching"))
		},
	}

	got := podkeep(t.Context(), apiWith(t, funcs), "backup", "create", "x", "--wait")

	g.Expect(got.code).To(Equal(exitFailed))
	g.Expect(got.err).To(ContainSubstring("no watching"))
	g.Expect(got.err).To(HaveSuffix("see what you may do with: kubectl auth can-i --list -n velero\n"))
}

func TestWaitDrawsOnATerminal(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	c := apiWith(t, watched(end(g, velerov1.BackupPhaseCompleted)))
	s := newSession(c)
	s.terminal = func(io.Writer) *terminal { return &terminal{size: func() (int, int) { return 79, 23 }} }
	s.wantColor = func() bool { return true }

	got := s.run(t.Context(), "backup", "create", "x", "--wait")

	g.Expect(got.code).To(Equal(exitOK))
	g.Expect(got.out).To(ContainSubstring("shop/web-0 data  \x1b[32mCompleted  2.0 KiB\x1b[0m\x1b[K\n\x1b[J" + "Backup completed with status: Completed.\n"))
}

func TestTerminals(t *testing.T) {
	t.Parallel()
	env := func(name, value string) func(string) string {
		return func(n string) string {
			if n == name {
				return value
			}
			return ""
		}
	}
	g := NewWithT(t)

	g.Expect(openTerminal(&strings.Builder{}, env("TERM", "xterm"))).To(BeNil(), "a pipe is no terminal")
	g.Expect(speaksUTF8(env("LANG", "de_DE.UTF-8"))).To(BeTrue())
	g.Expect(speaksUTF8(env("LC_ALL", "C.utf8"))).To(BeTrue())
	g.Expect(speaksUTF8(env("LANG", "C"))).To(BeFalse())
	g.Expect(speaksUTF8(env("", ""))).To(BeFalse())
}
