package mover

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/podkeep/podkeep/internal/wire"
)

// progressInterval is how often progress is printed while data moves.
const progressInterval = time.Second

// reporter prints messages. It is safe for concurrent use.
type reporter struct {
	out Output
	mu  sync.Mutex // one line at a time
}

func newReporter(out Output) *reporter { return &reporter{out: out} }

// message prints one line. There is nobody to tell when that fails: the
// termination message is the result that counts.
func (r *reporter) message(m wire.Message) {
	line, err := json.Marshal(m)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.out.Messages.Write(append(line, '\n'))
}

// result reports the end. The termination message comes first: who sees the
// line may delete the pod.
func (r *reporter) result(result wire.Result) {
	if r.out.TerminationMessage != nil {
		_ = r.out.TerminationMessage(result.TerminationMessage())
	}
	r.message(wire.Message{Type: wire.MessageResult, Result: &result})
}

// follow prints progress until stop is called, and once more then.
func (r *reporter) follow(ctx context.Context, progress func() wire.Progress) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ticker := r.out.Clock.NewTicker(progressInterval)
	var done sync.WaitGroup
	done.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
				r.progress(progress())
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		r.progress(progress())
	}
}

func (r *reporter) progress(p wire.Progress) {
	r.message(wire.Message{Type: wire.MessageProgress, Progress: &p})
}
