package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

func newKindLogsCommand(s *session, k kind) *cobra.Command {
	var flags downloadFlags
	cmd := &cobra.Command{
		Use:               "logs NAME",
		Short:             "Print the log of a " + k.name,
		Args:              nameArgument(k.name),
		ValidArgsFunction: s.completeOneName(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := s.open()
			if err != nil {
				return err
			}
			return s.printLog(cmd, t, logRequest{kind: k, name: args[0], flags: flags, out: s.safe(cmd.OutOrStdout())})
		},
	}
	flags.bind(cmd.Flags())
	return cmd
}

// logRequest is a log that somebody wants.
type logRequest struct {
	kind  kind
	name  string
	flags downloadFlags
	out   io.Writer
}

func (s *session) printLog(cmd *cobra.Command, t cluster, r logRequest) error {
	ctx, obj := cmd.Context(), r.kind.newObject()
	if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: r.name}, obj); err != nil {
		return t.explain(ctx, err, r.kind, r.name)
	}
	if run := describe.RunOf(obj, nil); !run.HasLog() {
		return t.noLogYet(r.kind, run)
	}
	body, err := s.newDownloads(t, r.flags, cmd.ErrOrStderr()).
		open(ctx, velerov1.DownloadTarget{Kind: r.kind.runs.log, Name: r.name}, t.locationOfRun(ctx, obj))
	if errors.Is(err, describe.ErrNoFile) {
		return fmt.Errorf("%s %q has no log in the storage location; look at it with: %s %s", r.kind.name, r.name, t.command(), r.kind.look(r.name))
	}
	if err != nil {
		return t.explain(ctx, err, r.kind, r.name)
	}
	defer body.Close() //nolint:errcheck // only read
	zr, err := gzip.NewReader(body)
	if err != nil {
		return fmt.Errorf("unpacking the log of %s %s: %w", r.kind.name, r.name, err)
	}
	if _, err := io.Copy(r.out, zr); err != nil {
		return fmt.Errorf("reading the log of %s %s: %w", r.kind.name, r.name, err)
	}
	return nil
}

// noLogYet begins with Velero's sentence.
func (t cluster) noLogYet(k kind, run describe.Run) error {
	if run.Finished {
		return fmt.Errorf("%s %q has no log: it was never started; see why with: %s %s", k.name, run.Name, t.command(), k.look(run.Name))
	}
	return fmt.Errorf("logs for %s %q are not available until it's finished processing, please wait until the %s has a phase of Completed or Failed "+
		"and try again; look at it with: %s %s", k.name, run.Name, k.name, t.command(), k.look(run.Name))
}

// safe is where text of a stranger can be written to: on a terminal it has no
// control characters but line ends and tabs.
func (s *session) safe(w io.Writer) io.Writer {
	if s.terminal(w) == nil {
		return w
	}
	return plainWriter{w}
}

type plainWriter struct{ io.Writer }

// Write writes spaces in place of control characters.
func (w plainWriter) Write(p []byte) (int, error) {
	clean := strings.Map(func(r rune) rune {
		if (r < ' ' && r != '\n' && r != '\t') || r == 0x7f {
			return ' '
		}
		return r
	}, string(p))
	if _, err := io.WriteString(w.Writer, clean); err != nil {
		return 0, err
	}
	return len(p), nil
}
