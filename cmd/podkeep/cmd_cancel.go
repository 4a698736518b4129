package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

const verbCancel = "cancel"

type cancelFlags struct {
	choice
	confirmed bool
	wait      bool
}

func newKindCancelCommand(s *session, k kind) *cobra.Command {
	var flags cancelFlags
	cmd := &cobra.Command{
		Use:   verbCancel + " [NAME...]",
		Short: "Stop " + k.plural,
		Long: fmt.Sprintf(`Stop %[2]s that have not ended. Their movers stop within seconds, and the
%[1]s ends as Failed; its failure reason names you.`, k.name, k.plural),
		ValidArgsFunction: s.completeUnfinished(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.cancel(cmd, k, flags, args)
		},
	}
	flags.bind(cmd, k, verbCancel)
	cmd.Flags().BoolVar(&flags.confirmed, "confirm", false, "with --all or --selector: do not ask")
	cmd.Flags().BoolVarP(&flags.wait, "wait", "w", false, "wait until they have ended")
	return cmd
}

// cancel asks only about objects that nobody has named.
func (s *session) cancel(cmd *cobra.Command, k kind, flags cancelFlags, names []string) error {
	c := flags.of(k, verbCancel, names)
	var waitFor []client.Object
	var who string
	err := s.act(cmd, c, flags.confirmed || !c.isBroad(), func(ctx context.Context, t cluster, obj client.Object) (string, error) {
		if describe.RunOf(obj, nil).Finished && c.isBroad() {
			return "", nil
		}
		who = cmp.Or(who, t.me(ctx, k))
		said, err := t.cancelOne(ctx, k, obj, who)
		if err == nil {
			waitFor = append(waitFor, obj)
		}
		return said, err
	})
	if !flags.wait {
		return err
	}
	for _, obj := range waitFor {
		err = errors.Join(err, s.waitForEnd(cmd, k, obj))
	}
	return err
}

// cancelOne asks the server to stop a backup or restore. Who was first is kept.
func (t cluster) cancelOne(ctx context.Context, k kind, obj client.Object, who string) (string, error) {
	name, run := obj.GetName(), describe.RunOf(obj, nil)
	if run.Finished {
		return "", fmt.Errorf("%s %q is %s already; there is nothing to cancel", k.name, name, run.Phase)
	}
	if earlier := obj.GetAnnotations()[velerov1.CancelRequestedByAnnotation]; earlier != "" {
		return fmt.Sprintf("%s %q is being canceled already, by %s.\n", k.title, name, describe.OneLine(earlier)), nil
	}
	before := mustBe[client.Object](obj.DeepCopyObject())
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[velerov1.CancelRequestedByAnnotation] = who
	obj.SetAnnotations(annotations)
	if err := t.Patch(ctx, obj, client.MergeFrom(before)); err != nil {
		return "", err
	}
	return fmt.Sprintf("Request to cancel %s %q submitted successfully.\nLook at it with: %s %s\n", k.name, name, t.command(), k.look(name)), nil
}

// me is who the cluster takes the caller for. Clusters that do not tell get the
// name of the command.
func (t cluster) me(ctx context.Context, k kind) string {
	review := &authenticationv1.SelfSubjectReview{}
	if err := t.Create(ctx, review); err != nil || review.Status.UserInfo.Username == "" {
		return t.program + " " + k.verb + " " + verbCancel
	}
	return review.Status.UserInfo.Username
}

// waitForEnd waits like create --wait. That the end is Failed is what was asked for.
func (s *session) waitForEnd(cmd *cobra.Command, k kind, obj client.Object) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	err = s.waitFor(cmd, t, waiting{kind: k, object: obj})
	if exit, ok := errors.AsType[exitError](err); ok && exit.code != exitInterrupted {
		return nil
	}
	return err
}
