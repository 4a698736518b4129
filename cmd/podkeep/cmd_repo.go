package main

import "github.com/spf13/cobra"

func newRepoCommand(s *session) *cobra.Command {
	return group(&cobra.Command{Use: repositories.verb, Aliases: repositories.aliases, Short: "Look at the repositories that hold volume data"},
		newKindGetCommand(s, repositories))
}
