// Command podkeep is podkeep's client and every role of its server side: one
// binary, one image.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	// The image has no certificates of its own; the system's win where they exist.
	_ "golang.org/x/crypto/x509roots/fallback"
)

// Exit codes of the client. Roles use 0 and 1, movers those of internal/wire.
const (
	exitOK     = 0
	exitFailed = 1
)

// exitError ends the process with a code of its own, without a message.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, newRootCommand(os.Getenv), os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if exit, ok := errors.AsType[exitError](err); ok {
		return exit.code
	}
	if err != nil {
		fmt.Fprintln(root.ErrOrStderr(), "podkeep:", err)
		return exitFailed
	}
	return exitOK
}

// newRootCommand builds the command tree. env is os.Getenv, or a test's.
func newRootCommand(env func(string) string) *cobra.Command {
	root := &cobra.Command{
		Use:           "podkeep",
		Short:         "Back up and restore the file systems of Kubernetes pod volumes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := newFactory(env)
	f.bind(root.PersistentFlags())

	root.AddGroup(&cobra.Group{ID: groupClient, Title: "Commands:"}, &cobra.Group{ID: groupInstall, Title: "Installation:"})
	root.AddCommand(clientCommands(f)...)
	root.AddCommand(newInstallCommand(f), newUninstallCommand(f))
	root.AddCommand(newServerCommand(env), newWebhookCommand(env), newNodeAgentCommand(env), newMoverCommand())
	return root
}

// Groups of commands in the help. The roles are hidden: people do not call them.
const (
	groupClient  = "client"
	groupInstall = "install"
)
