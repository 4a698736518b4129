package hookrun

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/hooks"
	"github.com/podkeep/podkeep/internal/podexec"
)

type commands func(context.Context, podexec.Command) (podexec.Output, error)

func (c commands) Run(ctx context.Context, cmd podexec.Command) (podexec.Output, error) {
	return c(ctx, cmd)
}

// newRunner has the pod app/db, and a record with one hook for it.
func newRunner(t *testing.T, run commands, funcs interceptor.Funcs) (*Runner, *Book) {
	t.Helper()
	g := NewWithT(t)
	var record hooks.Record
	record.Add(hooks.Pod{Namespace: "app", Name: "db", UID: "1"}, []hooks.Hook{
		{Stage: hooks.Pre, Container: "db", Command: []string{"freeze"}, Timeout: metav1.Duration{Duration: time.Minute}},
	})
	cm, err := New(metav1.ObjectMeta{Namespace: "velero", Name: "r", Labels: map[string]string{}}, record)
	g.Expect(err).NotTo(HaveOccurred())
	c := fake.NewClientBuilder().WithInterceptorFuncs(funcs).WithObjects(
		cm, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: "db", UID: "1"}}).Build()
	g.Expect(c.Get(t.Context(), client.ObjectKeyFromObject(cm), cm)).To(Succeed())
	clock := testingclock.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	return &Runner{Client: c, Reader: c, Commands: run, Clock: clock}, Open(cm)
}

// stored is the hook as the cluster has it.
func stored(t *testing.T, r *Runner) hooks.Run {
	t.Helper()
	cm := &corev1.ConfigMap{}
	NewWithT(t).Expect(r.Reader.Get(t.Context(), client.ObjectKey{Namespace: "velero", Name: "r"}, cm)).To(Succeed())
	return Open(cm).Record.Runs[0]
}

func TestRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err     error
		change  func(*testing.T, *Runner, *Book)
		state   hooks.State
		message string
		asked   bool
	}{
		"success":               {state: hooks.Succeeded, asked: true},
		"failure":               {err: &podexec.ExitError{Code: 2}, state: hooks.Failed, message: "command ended with exit code 2", asked: true},
		"what cannot be run":    {change: func(_ *testing.T, _ *Runner, b *Book) { b.Record.Runs[0].Problem = "no container" }, state: hooks.Failed, message: "no container"},
		"another pod by now":    {change: func(_ *testing.T, _ *Runner, b *Book) { b.Record.Pods[0].UID = "2" }, state: hooks.Failed, message: podGone},
		"a pod that is gone":    {change: func(_ *testing.T, _ *Runner, b *Book) { b.Record.Pods[0].Name = "x" }, state: hooks.Failed, message: podGone},
		"a pod that has ended":  {change: endPod, state: hooks.Succeeded, message: "not run, because the pod has ended (Succeeded)"},
		"a message in one line": {err: errors.New("a\nb"), state: hooks.Failed, message: "a b", asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			asked := false
			var r *Runner
			r, b := newRunner(t, func(_ context.Context, c podexec.Command) (podexec.Output, error) {
				asked = true
				g.Expect(c).To(Equal(podexec.Command{Namespace: "app", Pod: "db", Container: "db", Args: []string{"freeze"}, Timeout: time.Minute}))
				g.Expect(stored(t, r).State).To(Equal(hooks.Started), "that it begins is written before")
				return podexec.Output{Stdout: "out", Stderr: "err"}, tc.err
			}, interceptor.Funcs{})
			if tc.change != nil {
				tc.change(t, r, b)
			}

			g.Expect(r.Run(t.Context(), b, 0, nil)).To(Succeed())

			got := stored(t, r)
			g.Expect(got.State).To(Equal(tc.state))
			g.Expect(got.Message).To(Equal(tc.message))
			g.Expect(got.WasStarted()).To(BeTrue())
			g.Expect(got.EndedAt).NotTo(BeNil())
			g.Expect(asked).To(Equal(tc.asked))
			if asked {
				g.Expect([]string{got.Stdout, got.Stderr}).To(Equal([]string{"out", "err"}))
			}
		})
	}
}

func endPod(t *testing.T, r *Runner, _ *Book) {
	t.Helper()
	pod := &corev1.Pod{}
	g := NewWithT(t)
	g.Expect(r.Reader.Get(t.Context(), client.ObjectKey{Namespace: "app", Name: "db"}, pod)).To(Succeed())
	pod.Status.Phase = corev1.PodSucceeded
	g.Expect(r.Client.Status().Update(t.Context(), pod)).To(Succeed())
}

// A result that cannot be written at once is not lost: it would count as
// interrupted.
func TestResultIsWrittenInTheEnd(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	patches := 0
	r, b := newRunner(t, func(context.Context, podexec.Command) (podexec.Output, error) { return podexec.Output{}, nil }, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if patches++; patches == 2 || patches == 3 {
				return errors.New("API server is away")
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})

	g.Expect(r.Run(t.Context(), b, 0, nil)).To(Succeed())

	g.Expect(patches).To(Equal(4))
	g.Expect(stored(t, r).State).To(Equal(hooks.Succeeded))
}

// Nothing is run that the record would not know of.
func TestCommandIsNotRunWithoutARecord(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r, b := newRunner(t, func(context.Context, podexec.Command) (podexec.Output, error) {
		t.Error("the command was run")
		return podexec.Output{}, nil
	}, interceptor.Funcs{})
	b.Object.ResourceVersion = "1" // somebody has written it since

	g.Expect(r.Run(t.Context(), b, 0, nil)).NotTo(Succeed())

	g.Expect(b.Record.Runs[0].State).To(Equal(hooks.Waiting))
}

func TestUnwantedCommandIsLeft(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	r, b := newRunner(t, func(ctx context.Context, _ podexec.Command) (podexec.Output, error) {
		<-ctx.Done()
		return podexec.Output{}, context.Cause(ctx)
	}, interceptor.Funcs{})

	g.Expect(r.Run(t.Context(), b, 0, func(context.Context) string { return "canceled by x" })).To(Succeed())

	got := stored(t, r)
	g.Expect(got.State).To(Equal(hooks.Failed))
	g.Expect(got.Message).To(Equal("canceled by x"))
}

// A server that is told to stop lets a command end that does so soon.
func TestStoppingServerWaitsForTheCommand(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ctx, stop := context.WithCancel(t.Context())
	r, b := newRunner(t, func(ctx context.Context, _ podexec.Command) (podexec.Output, error) {
		stop()
		return podexec.Output{}, ctx.Err()
	}, interceptor.Funcs{})

	g.Expect(r.Run(ctx, b, 0, nil)).To(Succeed())

	g.Expect(stored(t, r).State).To(Equal(hooks.Succeeded))
}

func TestBrokenRecord(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	b := Open(&corev1.ConfigMap{Data: map[string]string{dataKey: "{"}})
	g.Expect(b.Broken).To(HaveOccurred())
	g.Expect(b.Record.IsEnded()).To(BeTrue())
	g.Expect(b.Phase()).To(BeEmpty())
	SetPhase(b.Object, velerov1.HooksEnded)
	g.Expect(b.Phase()).To(Equal(velerov1.HooksEnded))
}
