package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

type snapshotLocationFlags struct {
	createFlags
	provider   string
	config     pairs
	labels     pairs
	credential pairs
}

func newSnapshotLocationCreateCommand(s *session, k kind) *cobra.Command {
	var flags snapshotLocationFlags
	cmd := &cobra.Command{
		Use:               "create NAME",
		Short:             "Add a place where volume snapshots are kept",
		Args:              nameArgument(k.name),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.createSnapshotLocation(cmd, flags, args[0])
		},
	}
	flags.createFlags.bind(cmd, k)
	fs := cmd.Flags()
	fs.StringVar(&flags.provider, "provider", "", "who takes the snapshots, for example aws (required)")
	flags.config.bind(fs, "config", "configuration, for example region=eu-west-1")
	flags.labels.bind(fs, "labels", "labels of the location")
	flags.credential.bind(fs, "credential", "Secret and key with the credentials, as secret=key")
	return cmd
}

func (s *session) createSnapshotLocation(cmd *cobra.Command, flags snapshotLocationFlags, name string) error {
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	if flags.provider == "" {
		return errors.New("--provider: Required value: say who takes the snapshots, for example aws")
	}
	credential, err := credentialOf(flags.credential)
	if err != nil {
		return err
	}
	l := &velerov1.VolumeSnapshotLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: flags.labels.values},
		Spec:       velerov1.VolumeSnapshotLocationSpec{Provider: flags.provider, Config: flags.config.values, Credential: credential},
	}
	return s.create(cmd, creation{
		kind: snapshotLocations, object: l, flags: flags.createFlags,
		// Velero's words are in another order here than in its "set".
		said: func(cluster) string {
			return fmt.Sprintf("Snapshot volume location %q configured successfully.\n", name)
		},
	})
}

func newSnapshotLocationSetCommand(s *session, k kind) *cobra.Command {
	var credential pairs
	cmd := &cobra.Command{
		Use:               "set NAME",
		Short:             "Change the credentials of a place where volume snapshots are kept",
		Args:              nameArgument(k.name),
		ValidArgsFunction: s.completeNames(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.setSnapshotLocation(cmd, credential, args[0])
		},
	}
	credential.bind(cmd.Flags(), "credential", "Secret and key with the credentials, as secret=key")
	return cmd
}

func (s *session) setSnapshotLocation(cmd *cobra.Command, flag pairs, name string) error {
	credential, err := credentialOf(flag)
	if err != nil {
		return err
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx, l := cmd.Context(), &velerov1.VolumeSnapshotLocation{}
	if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: name}, l); err != nil {
		return t.explain(ctx, err, snapshotLocations, name)
	}
	before := l.DeepCopy()
	if credential != nil {
		l.Spec.Credential = credential
	}
	if err := t.Patch(ctx, l, client.MergeFrom(before)); err != nil {
		return t.explain(ctx, err, snapshotLocations, name)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), fmt.Sprintf("Volume snapshot location %q configured successfully.\n", name))
	return err
}
