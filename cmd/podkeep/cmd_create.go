package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/describe"
)

// newCreateCommand is the verb-first form: podkeep create backup.
func newCreateCommand(s *session) *cobra.Command {
	return group(&cobra.Command{Use: "create", Short: "Make a backup, a restore or a location"},
		verbFirst(backups, newBackupCreateCommand(s)),
		verbFirst(restores, newRestoreCreateCommand(s)),
		verbFirst(backupLocations, newBackupLocationCreateCommand(s)),
	)
}

// checkCreateOutput checks --output of a create command, which prints the object
// in place of creating it.
func checkCreateOutput(output string, wait bool) error {
	switch {
	case output == "":
		return nil
	case wait:
		return fmt.Errorf("--output and --wait exclude each other: with --output nothing is created")
	default:
		return checkOutput(output, outputTable, outputJSON, outputYAML)
	}
}

// printNew prints an object that is not created.
func (s *session) printNew(cmd *cobra.Command, k kind, obj client.Object, output string) error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	if output != outputTable {
		return printObject(cmd.OutOrStdout(), scheme, obj, output)
	}
	list := k.newList()
	if err := meta.SetList(list, []runtime.Object{obj}); err != nil {
		return fmt.Errorf("listing %s: %w", k.plural, err)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), k.table(list, describe.TableOptions{Now: s.clock.Now()}))
	return err
}

// sayCreated begins with Velero's line, which scripts look for.
func sayCreated(cmd *cobra.Command, t cluster, k kind, name string) {
	title := map[string]string{backups.name: "Backup", restores.name: "Restore"}[k.name]
	_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s request %q submitted successfully.\nLook at it with: %s %s\n", title, name, t.command(), k.look(name))
}
