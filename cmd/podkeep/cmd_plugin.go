package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/podkeep/podkeep/internal/describe"
)

func newPluginCommand(s *session) *cobra.Command {
	get := newPluginsCommand(s)
	get.Use, get.Aliases = "get", nil
	const next = "podkeep has no plugins, and needs none: the providers aws and filesystem are built in. " +
		"Leave this step out, and look at what is built in with: podkeep plugin get"
	add := newRefusedCommand("add", next)
	add.Flags().String("image-pull-policy", "", "accepted for the sake of Velero's scripts")
	return group(&cobra.Command{Use: "plugin", Aliases: []string{"plugins"}, Short: "Look at what the server does with single items"},
		get, add, newRefusedCommand("remove", next))
}

// newBugCommand is a verb of Velero's client, which opens a browser.
func newBugCommand() *cobra.Command {
	return newRefusedCommand("bug", "podkeep opens no browser. Collect what a report needs with: podkeep debug")
}

// newRefusedCommand is a verb of Velero's client that podkeep does not have. It says
// what to do instead, and fails: a script must not take nothing for success.
func newRefusedCommand(name, next string) *cobra.Command {
	return &cobra.Command{
		Use:               name,
		Hidden:            true,
		Short:             "Not in podkeep",
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("%s: %s", strings.TrimPrefix(cmd.CommandPath(), cmd.Root().CommandPath()+" "), next)
		},
	}
}

// newPluginsCommand is the verb-first form: podkeep get plugins.
func newPluginsCommand(s *session) *cobra.Command {
	var output string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:               "plugins",
		Aliases:           []string{"plugin"},
		Short:             "List what the server does with single items",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.printPlugins(cmd, output, timeout)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", outputTable, "table, json or yaml")
	cmd.Flags().DurationVar(&timeout, "timeout", statusTimeout, "how long to wait for the server")
	completeValues(cmd, "output", outputTable, outputJSON, outputYAML)
	return cmd
}

// printPlugins is no failure when the server does not answer, as in Velero.
func (s *session) printPlugins(cmd *cobra.Command, output string, timeout time.Duration) error {
	if err := checkOutput(output, outputTable, outputJSON, outputYAML); err != nil {
		return err
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	status, err := s.serverStatus(cmd.Context(), t, timeout)
	if err != nil {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "<error getting plugin information: %s>\n", err)
		return err
	}
	if output != outputTable {
		return printObject(cmd.OutOrStdout(), t.Scheme(), status, output)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), describe.PluginTable(status.Status.Plugins))
	return err
}
