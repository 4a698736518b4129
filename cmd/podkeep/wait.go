package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/describe"
	"github.com/podkeep/podkeep/internal/progressview"
)

// frameInterval is the time between two frames: five a second look alive and
// cost nothing.
const frameInterval = 200 * time.Millisecond

// waiting is a backup or restore that is waited for.
type waiting struct {
	kind   kind
	object client.Object // as it was read or created last
}

func (w waiting) run(obj any, volumes []any) describe.Run {
	return describe.RunOf(obj, describe.Volumes(volumes))
}

// waitFor shows progress until the object is finished, prints the result, and
// returns the exit code as an error.
func (s *session) waitFor(cmd *cobra.Command, t cluster, w waiting) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	v := s.newView(out)
	f := newFollower(t, w, s.clock)
	end, err := f.follow(ctx, v)
	switch {
	case ctx.Err() != nil:
		v.interrupt()
		_, _ = fmt.Fprintf(out, "Stopped waiting; the %s continues in the cluster. Look at it with: %s %s\n",
			w.kind.name, t.command(), w.kind.look(w.object.GetName()))
		return exitError{code: exitInterrupted}
	case err != nil:
		return t.explain(ctx, err, w.kind, w.object.GetName())
	}
	run := w.run(end.object, end.volumes)
	if _, err := io.WriteString(out, describe.Result(run, t.command())); err != nil {
		return err
	}
	if code := exitCode(run); code != exitOK {
		return exitError{code: code}
	}
	return nil
}

func exitCode(r describe.Run) int {
	switch {
	case r.IsCompleted():
		return exitOK
	case r.IsPartial():
		return exitPartiallyFailed
	default:
		return exitFailed
	}
}

// state is what to show.
func (w waiting) state(obj any, volumes []any, now time.Time) progressview.State {
	return progressview.Of(w.run(obj, volumes), now)
}
