package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const verbDelete = "delete"

func newKindDeleteCommand(s *session, k kind) *cobra.Command {
	var chosen choice
	var confirmed bool
	cmd := &cobra.Command{
		Use:               verbDelete + " [NAME...]",
		Short:             "Delete " + k.plural,
		ValidArgsFunction: s.completeNames(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.act(cmd, chosen.of(k, verbDelete, args), confirmed, k.remove)
		},
	}
	chosen.bind(cmd, k, verbDelete)
	cmd.Flags().BoolVar(&confirmed, "confirm", false, "do not ask")
	return cmd
}

// act does something with each of the chosen objects, after a question unless it is
// confirmed, and prints what the doing says.
func (s *session) act(cmd *cobra.Command, c choice, confirmed bool, do func(context.Context, cluster, client.Object) (string, error)) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	objects, problems := t.choose(cmd, c)
	if len(objects) == 0 {
		return problems
	}
	if !confirmed {
		if err := confirm(cmd, c, objects); err != nil {
			return errors.Join(problems, err)
		}
	}
	for _, obj := range objects {
		text, err := do(cmd.Context(), t, obj)
		problems = errors.Join(problems, t.explain(cmd.Context(), err, c.kind, obj.GetName()))
		if err == nil || text != "" {
			fmt.Fprint(cmd.OutOrStdout(), text)
		}
	}
	return problems
}

// removeBackup asks the server to remove a backup with all its data. A backup that
// runs is canceled first, by the server.
func removeBackup(ctx context.Context, t cluster, obj client.Object) (string, error) {
	request := &velerov1.DeleteBackupRequest{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: obj.GetNamespace(), GenerateName: obj.GetName() + "-",
			Labels: map[string]string{
				velerov1.BackupNameLabel: velerov1.ValidLabelValue(obj.GetName()),
				velerov1.BackupUIDLabel:  string(obj.GetUID()),
			},
		},
		Spec: velerov1.DeleteBackupRequestSpec{BackupName: obj.GetName()},
	}
	return fmt.Sprintf("Request to delete backup %q submitted successfully.\n"+
		"The backup will be fully deleted after all associated data (disk snapshots, backup files, restores) are removed.\n", obj.GetName()), t.Create(ctx, request)
}

// removeRestore leaves the files of the restore to the server.
func removeRestore(ctx context.Context, t cluster, obj client.Object) (string, error) {
	return fmt.Sprintf("Request to delete restore %q submitted successfully.\n"+
		"The restore will be fully deleted after all associated data (restore files in object storage) are removed.\n", obj.GetName()), t.Delete(ctx, obj)
}
