package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/progressview"
)

// frameInterval is the time between two frames: five a second look alive and
// cost nothing.
const frameInterval = 200 * time.Millisecond

// waiting is a backup or restore that --wait watches, and how to read it.
type waiting struct {
	kind    kind
	object  client.Object // as it was created
	volumes source

	// state is what to show.
	state func(obj any, volumes []any, now time.Time) progressview.State

	// result is the text at the end, and the exit code.
	result func(obj any, volumes []any, command string) (string, int)
}

// source is a kind of object that carries the UID of another in a label.
type source struct {
	list    client.ObjectList
	example runtime.Object
	label   string
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
	text, code := w.result(end.object, end.volumes, t.command())
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	if code != exitOK {
		return exitError{code: code}
	}
	return nil
}

// castOne returns the object as what it is known to be.
func castOne[T any](obj any) *T {
	typed, ok := obj.(*T)
	if !ok {
		panic(fmt.Sprintf("want %T, have %T", typed, obj))
	}
	return typed
}

func castAll[T any](objects []any) []T {
	all := make([]T, 0, len(objects))
	for _, o := range objects {
		all = append(all, *castOne[T](o))
	}
	return all
}
