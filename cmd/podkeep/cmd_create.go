package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

// createFlags are the flags of every create command.
type createFlags struct {
	output       string
	labelColumns list
	showLabels   bool
	wait         bool // of what runs
}

func (f *createFlags) bind(cmd *cobra.Command, k kind) {
	fs := cmd.Flags()
	fs.StringVarP(&f.output, "output", "o", "", "print the "+k.name+" as table, json or yaml and do not create it")
	f.labelColumns.bindShort(fs, "label-columns", "L", "with -o table: labels to show as columns")
	fs.BoolVar(&f.showLabels, "show-labels", false, "with -o table: show all labels in the last column")
	completeValues(cmd, "output", outputTable, outputJSON, outputYAML)
	if k.runs != nil {
		fs.BoolVarP(&f.wait, "wait", "w", false, "show progress and wait until the "+k.name+" has ended")
	}
}

func (f *createFlags) check() error {
	switch {
	case f.output == "":
		return nil
	case f.wait:
		return fmt.Errorf("--output and --wait exclude each other: with --output nothing is created")
	default:
		return checkOutput(f.output, outputTable, outputJSON, outputYAML)
	}
}

// creation is an object that a create command makes.
type creation struct {
	kind   kind
	object client.Object
	flags  createFlags

	// check looks for what the object refers to. The server would say the same, but
	// only in the status. Nil when there is nothing to look for.
	check func(ctx context.Context, t cluster) error

	// said begins with Velero's line, which scripts look for.
	said func(t cluster) string
}

// create prints or creates an object, and waits for it if it is told to.
func (s *session) create(cmd *cobra.Command, c creation) error {
	if err := c.flags.check(); err != nil {
		return err
	}
	if c.flags.output != "" {
		return s.printNew(cmd, c)
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx, name := cmd.Context(), c.object.GetName()
	if c.check != nil {
		if err := c.check(ctx, t); err != nil {
			return err
		}
	}
	if err := t.Create(ctx, c.object); err != nil {
		return t.explain(ctx, err, c.kind, name)
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), c.said(t)); err != nil {
		return err
	}
	if !c.flags.wait {
		return nil
	}
	return s.waitFor(cmd, t, waiting{kind: c.kind, object: c.object})
}

// saidRequest is what to say of a backup or restore that was created.
func (c creation) saidRequest(t cluster) string {
	k, name := c.kind, c.object.GetName()
	text := fmt.Sprintf("%s request %q submitted successfully.\n", k.title, name)
	if c.flags.wait {
		return text + fmt.Sprintf("Ctrl-C stops the waiting; the %s goes on in the cluster.\n", k.name)
	}
	return text + fmt.Sprintf("Run `%s %s describe %s` or `%s %s logs %s` for more details.\n", t.command(), k.verb, name, t.command(), k.verb, name)
}

// printNew prints an object that is not created.
func (s *session) printNew(cmd *cobra.Command, c creation) error {
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	if c.flags.output != outputTable {
		return printObject(cmd.OutOrStdout(), scheme, c.object, c.flags.output)
	}
	list := c.kind.newList()
	if err := meta.SetList(list, []runtime.Object{c.object}); err != nil {
		return fmt.Errorf("listing %s: %w", c.kind.plural, err)
	}
	options := describe.TableOptions{Now: s.clock.Now(), LabelColumns: c.flags.labelColumns.values, ShowLabels: c.flags.showLabels}
	_, err = io.WriteString(cmd.OutOrStdout(), c.kind.table(list, options))
	return err
}

// mustExist looks for objects that another one names.
func (t cluster) mustExist(ctx context.Context, k kind, names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: name}, k.newObject()); err != nil {
			return t.explain(ctx, err, k, name)
		}
	}
	return nil
}

// backupsOf are the backups of a schedule.
func (t cluster) backupsOf(ctx context.Context, schedule string) ([]velerov1.Backup, error) {
	list := &velerov1.BackupList{}
	err := t.List(ctx, list, client.InNamespace(t.namespace),
		client.MatchingLabels{velerov1.ScheduleNameLabel: velerov1.ValidLabelValue(schedule)})
	return list.Items, t.explain(ctx, err, backups, "")
}
