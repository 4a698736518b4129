package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/describe"
)

type getFlags struct {
	output       string
	selector     string
	labelColumns list
	showLabels   bool
	onlyDefault  bool // of kinds that have one
}

func newKindGetCommand(s *session, k kind) *cobra.Command {
	var flags getFlags
	cmd := &cobra.Command{
		Use:               "get [NAME...]",
		Short:             "List " + k.plural,
		ValidArgsFunction: s.completeNames(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.get(cmd, k, flags, args)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&flags.output, "output", "o", outputTable, "table, json or yaml")
	fs.StringVarP(&flags.selector, "selector", "l", "", "only objects whose labels match, for example app=shop")
	flags.labelColumns.bindShort(fs, "label-columns", "L", "labels to show as columns")
	fs.BoolVar(&flags.showLabels, "show-labels", false, "show all labels in the last column")
	if k.isDefault != nil {
		fs.BoolVar(&flags.onlyDefault, "default", false, "only the default one")
	}
	completeValues(cmd, "output", outputTable, outputJSON, outputYAML)
	return cmd
}

func (s *session) get(cmd *cobra.Command, k kind, flags getFlags, names []string) error {
	if err := checkOutput(flags.output, outputTable, outputJSON, outputYAML); err != nil {
		return err
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	list, err := t.fetch(cmd.Context(), k, names, flags.selector)
	if err != nil {
		return err
	}
	if flags.onlyDefault {
		if err := keepDefault(list, k); err != nil {
			return err
		}
	}
	if flags.output != outputTable {
		return printObject(cmd.OutOrStdout(), t.Scheme(), list, flags.output)
	}
	if meta.LenList(list) == 0 {
		return t.sayNone(cmd, k, flags.selector)
	}
	options := describe.TableOptions{Now: s.clock.Now(), LabelColumns: flags.labelColumns.values, ShowLabels: flags.showLabels}
	_, err = io.WriteString(cmd.OutOrStdout(), k.table(list, options))
	return err
}

// keepDefault takes all but the default object out of a list.
func keepDefault(list client.ObjectList, k kind) error {
	objects, err := objectsOf(list)
	if err != nil {
		return err
	}
	kept := []runtime.Object{}
	for _, obj := range objects {
		if k.isDefault(obj) {
			kept = append(kept, obj)
		}
	}
	if err := meta.SetList(list, kept); err != nil {
		return fmt.Errorf("writing a list: %w", err)
	}
	return nil
}

// fetch reads the named objects of a kind, or all that match the selector.
func (t cluster) fetch(ctx context.Context, k kind, names []string, selector string) (client.ObjectList, error) {
	if len(names) > 0 && selector != "" {
		return nil, fmt.Errorf("names and --selector exclude each other; leave one of them out")
	}
	list := k.newList()
	if len(names) == 0 {
		parsed, err := labels.Parse(selector)
		if err != nil {
			return nil, fmt.Errorf("--selector: %w", err)
		}
		err = t.List(ctx, list, client.InNamespace(t.namespace), client.MatchingLabelsSelector{Selector: parsed})
		return list, t.explain(ctx, err, k, "")
	}
	var objects []runtime.Object
	for _, name := range names {
		obj := k.newObject()
		if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: name}, obj); err != nil {
			return nil, t.explain(ctx, err, k, name)
		}
		objects = append(objects, obj)
	}
	if err := meta.SetList(list, objects); err != nil {
		return nil, fmt.Errorf("listing %s: %w", k.plural, err)
	}
	return list, nil
}

// sayNone explains an empty list, apart from what scripts read.
func (t cluster) sayNone(cmd *cobra.Command, k kind, selector string) error {
	text := fmt.Sprintf("no %s in namespace %s", k.plural, t.namespace)
	if selector != "" {
		text += " match " + selector
	}
	if hint := t.elsewhereOr(cmd.Context(), ""); hint != "" {
		text += "; " + hint
	}
	_, err := fmt.Fprintln(cmd.ErrOrStderr(), text)
	return err
}
