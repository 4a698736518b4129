package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// shells are the shells that cobra writes completions for.
var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletionCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the code with which a shell completes commands and names of objects",
		Long: `Print the code with which a shell completes commands, flags, and names of
objects: backups, restores, schedules, locations, repositories, namespaces. SHELL is bash, zsh, fish or powershell.

  bash:        source <(podkeep completion bash)
  zsh:         source <(podkeep completion zsh)
  fish:        podkeep completion fish | source
  powershell:  podkeep completion powershell | Out-String | Invoke-Expression`,
		ValidArgs:             shells,
		DisableFlagsInUseLine: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("name the shell: %s; SHELL is one of %s", c.UseLine(), strings.Join(shells, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeCompletion(cmd.OutOrStdout(), cmd.Root(), args[0])
		},
	}
	if s.program == pluginName {
		asPlugin(cmd)
	}
	return cmd
}

// asPlugin explains how a plugin of kubectl is completed: kubectl's own completion
// calls a program of a certain name, and this one knows what to do under it.
func asPlugin(cmd *cobra.Command) {
	how := fmt.Sprintf("kubectl completes its plugins itself (kubectl completion --help). Put a link to this program named %s\n"+
		"beside %s, for example:\n\n  ln -s %s \"$(dirname \"$(command -v %s)\")/%s\"", completionFile, pluginFile, pluginFile, pluginFile, completionFile)
	cmd.Use, cmd.ValidArgs, cmd.Args = "completion", nil, cobra.ArbitraryArgs
	cmd.Short, cmd.Long = "Say how kubectl completes commands and names of objects", how
	cmd.RunE = func(*cobra.Command, []string) error { return errors.New(how) }
}

func writeCompletion(w io.Writer, root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(w)
	default:
		return fmt.Errorf("shell %q is not supported; use one of %s", shell, strings.Join(shells, ", "))
	}
}
