package main

import (
	"os"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/mover"
)

// terminationLog is where the kubelet reads a container's last words
// (k8s.io/api/core/v1, Container.TerminationMessagePath).
const terminationLog = "/dev/termination-log"

func newMoverCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "mover TASK",
		Hidden: true,
		Short:  "Move the bytes of one volume, or maintain a repository; node agent and server start it",
		Long: `Move the bytes of one volume, or maintain a repository; node agent and server start it.

TASK is a JSON document. Standard output has one JSON message a line, the
termination message has the result. Exit codes: 0 complete; 1 failed, may be
tried again; 3 a snapshot exists but files are missing; 4 failed for good;
5 canceled.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := mover.Output{Messages: os.Stdout, TerminationMessage: writeTerminationMessage, Clock: clock.RealClock{}}
			return exitError{code: mover.RunArgument(cmd.Context(), args[0], out)}
		},
	}
}

func writeTerminationMessage(b []byte) error { return os.WriteFile(terminationLog, b, 0o600) }
