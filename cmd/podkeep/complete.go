package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// completionTimeout is how long a shell may be kept waiting for names.
const completionTimeout = 3 * time.Second

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// completeNames completes names of objects of a kind, without those that are on
// the command line already. Where the cluster cannot be asked it completes
// nothing.
func (s *session) completeNames(k kind) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.complete(cmd, args, k.newList, func(namespace string) []client.ListOption {
			return []client.ListOption{client.InNamespace(namespace)}
		})
	}
}

// completeNamespaces completes names of namespaces of the cluster.
func (s *session) completeNamespaces() completer {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.complete(cmd, nil, func() client.ObjectList { return &corev1.NamespaceList{} },
			func(string) []client.ListOption { return nil })
	}
}

// completeFlag is for flags of the same command only, so it cannot fail.
func (s *session) completeFlag(cmd *cobra.Command, flag string, c completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, c); err != nil {
		panic(err)
	}
}

func (s *session) complete(cmd *cobra.Command, taken []string, newList func() client.ObjectList,
	options func(namespace string) []client.ListOption,
) ([]string, cobra.ShellCompDirective) {
	t, err := s.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	list := newList()
	if err := t.List(ctx, list, options(t.namespace)...); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	objects, err := meta.ExtractList(list)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, o := range objects {
		if obj, ok := o.(client.Object); ok && !slices.Contains(taken, obj.GetName()) {
			names = append(names, obj.GetName())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
