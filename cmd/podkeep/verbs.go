package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// verb is something that can be done with objects of several kinds. Each can be
// said noun first, "backup get", and verb first, "get backups".
type verb struct {
	name  string
	short string // help of the verb-first form; "" when there is none
	of    []action
}

// action is a verb for one kind.
type action struct {
	kind    kind
	command func(*session, kind) *cobra.Command
}

// verbs are all of them, in the order of the help.
func verbs() []verb {
	return []verb{
		{"create", "Make a backup, a restore, a schedule or a location", []action{
			{backups, newBackupCreateCommand}, {restores, newRestoreCreateCommand}, {schedules, newScheduleCreateCommand},
			{backupLocations, newBackupLocationCreateCommand}, {snapshotLocations, newSnapshotLocationCreateCommand},
		}},
		{"get", "List objects", each(newKindGetCommand, kinds()...)},
		{"describe", "Show everything about objects", each(newKindDescribeCommand, backups, restores, schedules)},
		{"logs", "Print the log of a backup or restore", each(newKindLogsCommand, backups, restores)},
		{"download", "Download the archive of a backup", each(newBackupDownloadCommand, backups)},
		{"cancel", "Stop backups or restores", each(newKindCancelCommand, backups, restores)},
		{"delete", "Delete objects", each(newKindDeleteCommand, backups, restores, schedules, backupLocations)},
		{"set", "", []action{{backupLocations, newBackupLocationSetCommand}, {snapshotLocations, newSnapshotLocationSetCommand}}},
		{"pause", "", each(newSchedulePauseCommand, schedules)},
		{"unpause", "", each(newScheduleUnpauseCommand, schedules)},
	}
}

// each is a verb that does the same for several kinds.
func each(command func(*session, kind) *cobra.Command, kinds ...kind) []action {
	actions := make([]action, 0, len(kinds))
	for _, k := range kinds {
		actions = append(actions, action{kind: k, command: command})
	}
	return actions
}

// nounCommands are the commands of all kinds, each with its verbs.
func nounCommands(s *session) []*cobra.Command {
	var commands []*cobra.Command
	for _, k := range kinds() {
		noun := group(&cobra.Command{Use: k.verb, Aliases: k.aliases, Short: k.about})
		for _, v := range verbs() {
			for _, a := range v.of {
				if a.kind.verb == k.verb {
					noun.AddCommand(a.command(s, a.kind))
				}
			}
		}
		commands = append(commands, noun)
	}
	return commands
}

// verbCommands are the commands of all verbs, each with its kinds.
func verbCommands(s *session) []*cobra.Command {
	var commands []*cobra.Command
	for _, v := range verbs() {
		if v.short == "" {
			continue
		}
		command := group(&cobra.Command{Use: v.name, Short: v.short})
		for _, a := range v.of {
			command.AddCommand(verbFirst(a.kind, a.command(s, a.kind)))
		}
		if v.name == "get" {
			command.AddCommand(newPluginsCommand(s))
		}
		commands = append(commands, command)
	}
	return commands
}

// verbFirst renames a command of a kind to the kind itself: "backup get" becomes
// "get backups".
func verbFirst(k kind, cmd *cobra.Command) *cobra.Command {
	_, arguments, _ := strings.Cut(cmd.Use, " ")
	cmd.Use = strings.TrimSpace(k.verb + " " + arguments)
	cmd.Aliases = k.aliases
	return cmd
}
