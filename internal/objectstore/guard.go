package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// guard ends a request that makes no progress. Deadlines on the whole request
// would end large transfers that are merely slow.
type guard struct {
	ctx    context.Context // of the request; canceled when it stalls
	idle   time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

var errStalled = errors.New("no answer in time")

// newGuard starts the clock: progress must be called at least once per idle, and
// stop at the end.
func newGuard(ctx context.Context, idle time.Duration) *guard {
	ctx, cancel := context.WithCancelCause(ctx)
	return &guard{
		ctx:    ctx,
		idle:   idle,
		cancel: cancel,
		timer:  time.AfterFunc(idle, func() { cancel(fmt.Errorf("%w: waited %s", errStalled, idle)) }),
	}
}

func (g *guard) progress() { g.timer.Reset(g.idle) }

func (g *guard) stop() {
	g.timer.Stop()
	g.cancel(nil)
}

// explain replaces the error of a stalled request, which says only that it was
// canceled, by the one that says why.
func (g *guard) explain(err error) error {
	if cause := context.Cause(g.ctx); err != nil && errors.Is(cause, errStalled) {
		return fmt.Errorf("%w: %w", ErrUnavailable, cause)
	}
	return err
}

// guardedReader reports each read as progress.
type guardedReader struct {
	guard  *guard
	reader io.Reader
}

func (r guardedReader) Read(p []byte) (int, error) {
	r.guard.progress()
	return r.reader.Read(p)
}
