package hookrun

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/hooks"
	"github.com/podkeep/podkeep/internal/podexec"
)

// Commands runs a command in a container (internal/podexec).
type Commands interface {
	Run(ctx context.Context, c podexec.Command) (podexec.Output, error)
}

// Runner runs hooks. Fields are set before use and not changed after.
type Runner struct {
	Client   client.Client
	Reader   client.Reader // reads pods from the API server
	Commands Commands
	Clock    clock.PassiveClock
}

// Messages of hooks that were not run to their end.
const (
	// Interrupted is the message of a hook of which nobody knows how it ended.
	Interrupted = "the server stopped while the command ran; whether it did its work is not known"

	podGone = "the pod does not exist any more"
)

// errServerStops ends a command because the server is told to stop.
var errServerStops = errors.New("the server stops")

// Intervals of Run.
const (
	// stopInterval is how often is asked whether a command is still wanted.
	stopInterval = time.Second

	// shutdownGrace is how long a command may go on when the server is told to
	// stop: most end in it, and the kubelet kills the server 30 s after.
	shutdownGrace = 15 * time.Second
)

// saveBackoff is how a result is written: over some 8 s, because without it a
// command that succeeded counts as interrupted.
var saveBackoff = wait.Backoff{Duration: 250 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 6}

// Run runs the hook number i and records how it ended. unwanted is asked from time
// to time, and ends the command when it says why nobody wants it any more; nil
// means that it is always wanted. The command of a server that is told to stop is
// given some time; when it does not end in it, the hook stays Started.
func (r *Runner) Run(ctx context.Context, b *Book, i int, unwanted func(context.Context) string) error {
	err := Save(ctx, r.Client, b, func(b *Book) {
		run := &b.Record.Runs[i]
		run.State = hooks.Started
		run.StartedAt = &metav1.Time{Time: r.Clock.Now()}
	})
	if err != nil {
		return err
	}
	run := &b.Record.Runs[i]
	ctrl.LoggerFrom(ctx).Info("Running hook", "hook", run.String(), "pod", b.Record.Pods[run.Pod].String(), "command", strings.Join(run.Command, " "))

	result, err := r.execute(ctx, b, i, unwanted)
	if err != nil {
		return err
	}
	result.EndedAt = &metav1.Time{Time: r.Clock.Now()}
	return r.saveResult(ctx, b, i, result)
}

// execute returns the hook with its result. An error says that there is none.
func (r *Runner) execute(ctx context.Context, b *Book, i int, unwanted func(context.Context) string) (hooks.Run, error) {
	run := b.Record.Runs[i]
	ref := b.Record.Pods[run.Pod]
	if run.Problem != "" {
		return failed(run, run.Problem), nil
	}
	pod := &corev1.Pod{}
	err := r.Reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, pod)
	switch {
	case apierrors.IsNotFound(err), err == nil && pod.UID != ref.UID:
		return failed(run, podGone), nil
	case err != nil:
		return run, fmt.Errorf("getting pod %s: %w", ref, err)
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		// There is nobody to freeze or to thaw (velero-facts §3.4).
		run.State, run.Message = hooks.Succeeded, fmt.Sprintf("not run, because the pod has ended (%s)", pod.Status.Phase)
		return run, nil
	}
	cmdCtx, release := r.commandContext(ctx, unwanted)
	defer release()
	out, err := r.Commands.Run(cmdCtx, podexec.Command{
		Namespace: ref.Namespace, Pod: ref.Name, Container: run.Container, Args: run.Command, Timeout: run.Timeout.Duration,
	})
	if errors.Is(err, errServerStops) {
		return run, err
	}
	run.Stdout, run.Stderr = out.Stdout, out.Stderr
	if err != nil {
		return failed(run, err.Error()), nil
	}
	run.State, run.Message = hooks.Succeeded, ""
	return run, nil
}

func failed(run hooks.Run, message string) hooks.Run {
	run.State, run.Message = hooks.Failed, strings.Join(strings.Fields(message), " ")
	return run
}

// commandContext ends when nobody wants the command any more, and some time after
// the server was told to stop. release must be called.
func (r *Runner) commandContext(ctx context.Context, unwanted func(context.Context) string) (_ context.Context, release func()) {
	cmdCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() { // ends when release cancels cmdCtx
		defer close(ended)
		ticker := time.NewTicker(stopInterval)
		defer ticker.Stop()
		for {
			select {
			case <-cmdCtx.Done():
				return
			case <-ctx.Done():
				waitAtMost(cmdCtx, shutdownGrace)
				cancel(errServerStops)
				return
			case <-ticker.C:
				if unwanted == nil {
					continue
				}
				if why := unwanted(ctx); why != "" {
					cancel(errors.New(why))
					return
				}
			}
		}
	}()
	return cmdCtx, func() {
		cancel(nil)
		<-ended
	}
}

func waitAtMost(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// saveResult writes also when the server is told to stop. Nobody else writes a
// record that is running, but for labels of it.
func (r *Runner) saveResult(ctx context.Context, b *Book, i int, result hooks.Run) error {
	ctx = context.WithoutCancel(ctx)
	return wait.ExponentialBackoffWithContext(ctx, saveBackoff, func(ctx context.Context) (bool, error) {
		err := Save(ctx, r.Client, b, func(b *Book) { b.Record.Runs[i] = result })
		if err == nil || apierrors.IsNotFound(err) {
			return true, nil
		}
		ctrl.LoggerFrom(ctx).V(1).Info("Writing the result of a hook is tried again", "reason", err.Error())
		fresh := b.Object.DeepCopy()
		if getErr := r.Reader.Get(ctx, client.ObjectKeyFromObject(fresh), fresh); getErr == nil {
			*b = *Open(fresh)
		}
		return false, nil
	})
}
