// Command podkeep is podkeep's client and every role of its server side: one
// binary, one image.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
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

// Names that the program is called by.
const (
	programName    = "podkeep"
	pluginName     = "kubectl " + programName
	pluginFile     = "kubectl-" + programName          // as kubectl looks for the plugin
	completionFile = "kubectl_complete-" + programName // as kubectl looks for its completion
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	program, args := calledAs(os.Args)
	code := run(ctx, newRootCommand(os.Getenv, program), args)
	stop()
	os.Exit(code)
}

// calledAs returns the name that the program answers to, and its arguments. One
// file serves as client, as plugin of kubectl and as the plugin's completion: what
// it does is a question of its name.
func calledAs(argv []string) (program string, args []string) {
	name := strings.TrimSuffix(filepath.Base(argv[0]), ".exe")
	switch name {
	case pluginFile:
		return pluginName, argv[1:]
	case completionFile:
		return pluginName, append([]string{cobra.ShellCompRequestCmd}, argv[1:]...)
	default:
		return programName, argv[1:]
	}
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

// newRootCommand builds the command tree. env is os.Getenv, or a test's; program is
// how the client is called.
func newRootCommand(env func(string) string, program string) *cobra.Command {
	root := &cobra.Command{
		Use:           programName,
		Short:         "Back up and restore the file systems of Kubernetes pod volumes",
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: program},
	}
	f := newFactory(env)
	f.bind(root)

	root.AddGroup(&cobra.Group{ID: groupClient, Title: "Commands:"}, &cobra.Group{ID: groupInstall, Title: "Installation:"})
	s := newClient(f, program)
	s.completeFlag(root, "namespace", s.completeNamespaces())
	root.AddCommand(s.commands()...)
	root.AddCommand(newInstallCommand(f), newUninstallCommand(f))
	root.AddCommand(newServerCommand(env), newWebhookCommand(env), newNodeAgentCommand(env), newMoverCommand())
	return root
}

// Groups of commands in the help. The roles are hidden: people do not call them.
const (
	groupClient  = "client"
	groupInstall = "install"
)
