package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// choice says which objects of a kind a command is for: some by their names, all,
// or those that match a selector.
type choice struct {
	kind     kind
	verb     string // what is done, for sentences
	names    []string
	all      bool
	selector labelSelector
}

func (c *choice) bind(cmd *cobra.Command, k kind, verb string) {
	cmd.Flags().BoolVar(&c.all, "all", false, verb+" all "+k.plural)
	cmd.Flags().VarP(&c.selector, "selector", "l", verb+" the "+k.plural+" whose labels match, for example app=shop")
}

// of adds what is known when the command is called.
func (c *choice) of(k kind, verb string, names []string) choice {
	return choice{kind: k, verb: verb, names: names, all: c.all, selector: c.selector}
}

// isBroad reports whether objects are chosen that nobody has named.
func (c choice) isBroad() bool { return len(c.names) == 0 }

func (c choice) check(command string) error {
	ways := 0
	for _, given := range []bool{len(c.names) > 0, c.all, c.selector.value != nil} {
		if given {
			ways++
		}
	}
	if ways == 1 {
		return nil
	}
	return fmt.Errorf("name the %s to %s, or pass either --all or --selector; list them with: %s %s get", c.kind.plural, c.verb, command, c.kind.verb)
}

// choose reads the chosen objects. With names that do not exist it returns the
// others, too, and an error for each.
func (t cluster) choose(cmd *cobra.Command, c choice) ([]client.Object, error) {
	if err := c.check(t.command()); err != nil {
		return nil, err
	}
	if !c.isBroad() {
		return t.named(cmd, c)
	}
	options := []client.ListOption{client.InNamespace(t.namespace)}
	if c.selector.value != nil {
		s, err := metav1.LabelSelectorAsSelector(c.selector.value)
		if err != nil {
			return nil, fmt.Errorf("--selector: %w", err)
		}
		options = append(options, client.MatchingLabelsSelector{Selector: s})
	}
	list := c.kind.newList()
	if err := t.List(cmd.Context(), list, options...); err != nil {
		return nil, t.explain(cmd.Context(), err, c.kind, "")
	}
	objects, err := objectsOf(list)
	if err == nil && len(objects) == 0 {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "No %ss found\n", c.kind.verb)
	}
	return objects, err
}

func (t cluster) named(cmd *cobra.Command, c choice) ([]client.Object, error) {
	var objects []client.Object
	var problems error
	for _, name := range c.names {
		obj := c.kind.newObject()
		if err := t.Get(cmd.Context(), client.ObjectKey{Namespace: t.namespace, Name: name}, obj); err != nil {
			problems = errors.Join(problems, t.explain(cmd.Context(), err, c.kind, name))
			continue
		}
		objects = append(objects, obj)
	}
	return objects, problems
}

// objectsOf are the objects of a list.
func objectsOf(list client.ObjectList) ([]client.Object, error) {
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("reading a list: %w", err)
	}
	objects := make([]client.Object, 0, len(items))
	for _, item := range items {
		obj, ok := item.(client.Object)
		if !ok {
			return nil, fmt.Errorf("reading a list: unexpected %T", item)
		}
		objects = append(objects, obj)
	}
	return objects, nil
}

// maxAsked is how many names a question lists.
const maxAsked = 10

// confirm asks whether to do it. The last line of the question is Velero's.
func confirm(cmd *cobra.Command, c choice, objects []client.Object) error {
	var names []string
	for i, obj := range objects {
		if i == maxAsked {
			names = append(names, "…")
			break
		}
		names = append(names, obj.GetName())
	}
	in := bufio.NewReader(cmd.InOrStdin())
	for {
		fmt.Fprintf(cmd.OutOrStdout(), "This will %s %d %s: %s\nAre you sure you want to continue (Y/N)? ",
			c.verb, len(objects), c.kind.plural, strings.Join(names, ", "))
		answer, err := in.ReadString('\n')
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y":
			return nil
		case "n":
			return exitError{code: exitOK}
		}
		if errors.Is(err, io.EOF) {
			return errors.New("nobody has answered; pass --confirm to go on without a question")
		}
		if err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
	}
}
