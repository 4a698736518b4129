package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// newDescribeCommand is the verb-first form: podkeep describe backup.
func newDescribeCommand(s *session) *cobra.Command {
	return group(&cobra.Command{Use: verbDescribe, Short: "Describe backups or restores"},
		verbFirst(backups, newBackupDescribeCommand(s)),
		verbFirst(restores, newRestoreDescribeCommand(s)),
	)
}

// describer puts one object of a kind, and what belongs to it, into words.
type describer struct {
	kind   kind
	page   func(ctx context.Context, t cluster, obj client.Object, details bool) (string, error)
	values func(ctx context.Context, t cluster, obj client.Object, details bool) (map[string]any, error)
}

// outputPlaintext is the name that Velero has for the format of pages.
const outputPlaintext = "plaintext"

type describeFlags struct {
	output   string
	selector string
	details  bool
}

func newKindDescribeCommand(s *session, d describer) *cobra.Command {
	var flags describeFlags
	cmd := &cobra.Command{
		Use:               verbDescribe + " [NAME...]",
		Short:             "Describe " + d.kind.plural,
		ValidArgsFunction: s.completeNames(d.kind),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.describe(cmd, d, flags, args)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&flags.details, "details", false, "list each volume")
	fs.StringVarP(&flags.output, "output", "o", outputPlaintext, "plaintext, json or yaml")
	fs.StringVarP(&flags.selector, "selector", "l", "", "only objects whose labels match, for example app=shop")
	return cmd
}

func (s *session) describe(cmd *cobra.Command, d describer, flags describeFlags, names []string) error {
	if err := checkOutput(flags.output, outputPlaintext, outputJSON, outputYAML); err != nil {
		return err
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	list, err := t.fetch(cmd.Context(), d.kind, names, flags.selector)
	if err != nil {
		return err
	}
	objects, err := meta.ExtractList(list)
	if err != nil {
		return fmt.Errorf("reading a list: %w", err)
	}
	if len(objects) == 0 {
		return t.sayNone(cmd, d.kind, flags.selector)
	}
	for i, o := range objects {
		obj, ok := o.(client.Object)
		if !ok {
			return fmt.Errorf("reading a list: unexpected %T", o)
		}
		if err := t.describeOne(cmd, d, flags, obj); err != nil {
			return t.explain(cmd.Context(), err, d.kind, obj.GetName())
		}
		if i < len(objects)-1 {
			if _, err := fmt.Fprint(cmd.OutOrStdout(), separator(flags.output)); err != nil {
				return err
			}
		}
	}
	return nil
}

// separator is what stands between two descriptions.
func separator(output string) string {
	switch output {
	case outputYAML:
		return "---\n"
	case outputJSON:
		return ""
	default:
		return "\n\n"
	}
}

func (t cluster) describeOne(cmd *cobra.Command, d describer, flags describeFlags, obj client.Object) error {
	if flags.output != outputPlaintext {
		values, err := d.values(cmd.Context(), t, obj, flags.details)
		if err != nil {
			return err
		}
		return printValue(cmd.OutOrStdout(), values, flags.output)
	}
	page, err := d.page(cmd.Context(), t, obj, flags.details)
	if err != nil {
		return err
	}
	_, err = io.WriteString(cmd.OutOrStdout(), page)
	return err
}
