package mover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"k8s.io/utils/clock"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/mover/repository"
)

// Output is where a mover reports to. Messages and Clock must be set.
type Output struct {
	// Messages gets one wire.Message per line.
	Messages io.Writer

	// TerminationMessage keeps the result where the kubelet reads it; nil means
	// that there is no such place.
	TerminationMessage func([]byte) error

	Clock clock.WithTicker
}

// ErrCanceled is the cause of a result that was stopped on request.
var ErrCanceled = errors.New("canceled")

// RunArgument runs the task in a mover's only argument and returns the exit
// code. An argument that is no task is reported like every other failure.
func RunArgument(ctx context.Context, argument string, out Output) int {
	task, err := wire.ParseTask(argument)
	if err != nil {
		result, code := conclude(wire.Result{}, err)
		newReporter(out).result(result)
		return code
	}
	_, code := Run(ctx, task, out)
	return code
}

// Run runs one task. It writes the termination message, then prints the result,
// then returns it with the exit code. When ctx ends it stops within seconds,
// keeps what a later backup can use, and reports Canceled.
func Run(ctx context.Context, task wire.Task, out Output) (wire.Result, int) {
	return report(ctx, out, func(r *reporter) (wire.Result, error) {
		switch {
		case task.Kind == wire.KindBackup && task.Backup != nil:
			return backUpVolume(ctx, task, r)
		case task.Kind == wire.KindRestore && task.Restore != nil:
			return restore(ctx, task, r)
		case task.Kind == wire.KindMaintenance:
			cycle, err := repository.Maintain(ctx, task.Repository, out.Clock.Now())
			return wire.Result{Cycle: cycle}, err
		default:
			return wire.Result{}, fmt.Errorf("%w: kind %q has no settings", wire.ErrBadTask, task.Kind)
		}
	})
}

// RunFrom is Run for a backup whose bytes come from source and not from the
// task's volume path. It does not close the source.
func RunFrom(ctx context.Context, task wire.Task, source Source, out Output) (wire.Result, int) {
	return report(ctx, out, func(r *reporter) (wire.Result, error) {
		if task.Kind != wire.KindBackup || task.Backup == nil {
			return wire.Result{}, fmt.Errorf("%w: kind %q is no backup", wire.ErrBadTask, task.Kind)
		}
		return backUp(ctx, task, source, r)
	})
}

func report(ctx context.Context, out Output, work func(*reporter) (wire.Result, error)) (wire.Result, int) {
	r := newReporter(out)
	result, err := work(r)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ErrCanceled) {
		err = fmt.Errorf("%w: %w", ErrCanceled, err)
	}
	result, code := conclude(result, err)
	r.result(result)
	return result, code
}

func backUpVolume(ctx context.Context, task wire.Task, r *reporter) (wire.Result, error) {
	source, err := OpenDirectory(task.VolumePath)
	if err != nil {
		return wire.Result{}, err
	}
	result, err := backUp(ctx, task, source, r)
	return result, errors.Join(err, source.Close())
}

// conclude turns how a task ended into its result and exit code.
func conclude(result wire.Result, err error) (wire.Result, int) {
	switch {
	case errors.Is(err, ErrCanceled):
		result.Canceled = true
		result.Error = err.Error()
		result.Reason = velerov1.ReasonCanceled
		return result, wire.ExitCanceled
	case err != nil:
		result.Error = err.Error()
		result.Reason = reasonOf(err)
		if isTerminal(err) {
			return result, wire.ExitTerminal
		}
		return result, wire.ExitFailed
	case result.FailedFiles > 0:
		result.Reason = velerov1.ReasonPartiallyFailed
		return result, wire.ExitIncomplete
	default:
		return result, wire.ExitOK
	}
}

func isTerminal(err error) bool {
	return errors.Is(err, wire.ErrBadTask) || repository.IsTerminal(err)
}

func reasonOf(err error) string {
	if v, ok := errors.AsType[*volumeError](err); ok {
		return volumeReason(v)
	}
	if reason := repository.Reason(err); reason != "" {
		return reason
	}
	return velerov1.ReasonMoverFailed
}

func volumeReason(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return velerov1.ReasonTargetFull
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		return velerov1.ReasonVolumeNotFound
	default:
		return velerov1.ReasonMoverFailed
	}
}
