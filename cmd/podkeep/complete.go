package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/describe"
)

// completionTimeout is how long a shell may be kept waiting for names.
const completionTimeout = 3 * time.Second

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// completeNames completes names of objects of a kind, without those that are on
// the command line already. Where the cluster cannot be asked it completes
// nothing.
func (s *session) completeNames(k kind) completer { return s.completer(k.newList, inInstallation) }

// completeOneName completes the only argument of a command.
func (s *session) completeOneName(k kind) completer {
	names := s.completeNames(k)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, args, toComplete)
	}
}

// completeUnfinished completes names of what runs.
func (s *session) completeUnfinished(k kind) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.complete(cmd, args, wanted{k.newList, inInstallation, func(obj client.Object) bool { return !describe.RunOf(obj, nil).Finished }})
	}
}

// completeNamespaces completes names of namespaces of the cluster.
func (s *session) completeNamespaces() completer {
	return s.completer(func() client.ObjectList { return &corev1.NamespaceList{} }, inCluster)
}

func (s *session) completer(newList func() client.ObjectList, where scope) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return s.complete(cmd, args, wanted{newList, where, nil})
	}
}

// completeFlag is for flags of the same command only, so it cannot fail.
func (s *session) completeFlag(cmd *cobra.Command, flag string, c completer) {
	// A flag may repeat what an argument names.
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		return c(cmd, nil, toComplete)
	})
	if err != nil {
		panic(err)
	}
}

// completeValues completes a flag that has a few values only.
func completeValues(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// scope says where objects are looked for.
type scope func(namespace string) []client.ListOption

func inInstallation(namespace string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace)}
}

func inCluster(string) []client.ListOption { return nil }

// wanted says which objects' names complete something.
type wanted struct {
	newList func() client.ObjectList
	where   scope
	fits    func(client.Object) bool // nil: all
}

func (s *session) complete(cmd *cobra.Command, taken []string, w wanted) ([]string, cobra.ShellCompDirective) {
	t, err := s.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	list := w.newList()
	if err := t.List(ctx, list, w.where(t.namespace)...); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	objects, err := objectsOf(list)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, obj := range objects {
		if !slices.Contains(taken, obj.GetName()) && (w.fits == nil || w.fits(obj)) {
			names = append(names, obj.GetName())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
