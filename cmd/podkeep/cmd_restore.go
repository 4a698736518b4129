package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
	"github.com/podkeep/podkeep/internal/progressview"
)

// nameTime is the time at the end of a name that was not given.
const nameTime = "20060102150405"

func newRestoreCommand(s *session) *cobra.Command {
	return group(&cobra.Command{Use: restores.verb, Aliases: restores.aliases, Short: "Make and look at restores"},
		newRestoreCreateCommand(s), newKindGetCommand(s, restores), newRestoreDescribeCommand(s))
}

type restoreFlags struct {
	fromBackup        string
	includeNamespaces []string
	excludeNamespaces []string
	namespaceMappings []string
	labels            map[string]string
	annotations       map[string]string
	writeSparseFiles  optionalBool
	parallelFiles     int
	wait              bool
	output            string
}

func newRestoreCreateCommand(s *session) *cobra.Command {
	var flags restoreFlags
	cmd := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Restore a backup",
		Long: `Restore a backup: its objects, and the files of the pod volumes in it. Pods start
when their files are back.

Without a name the restore is called after the backup and the time. With --wait
the exit code is 0 when the restore is Completed, 2 when it is PartiallyFailed,
1 when it has failed, and 130 when Ctrl-C stopped the waiting; the restore itself
goes on then.`,
		Example: `  # restore everything and watch
  podkeep restore create --from-backup shop-1 --wait

  # restore a namespace under another name
  podkeep restore create --from-backup shop-1 --include-namespaces shop --namespace-mappings shop:shop-test`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("%d names given, at most 1 wanted: %s", len(args), c.UseLine())
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.createRestore(cmd, flags, args)
		},
	}
	flags.bind(cmd)
	s.completeFlag(cmd, "from-backup", s.completeNames(backups))
	return cmd
}

func (f *restoreFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.fromBackup, "from-backup", "", "backup to restore (required)")
	fs.StringSliceVar(&f.includeNamespaces, "include-namespaces", []string{"*"}, "namespaces to restore, by their names in the backup; * means all")
	fs.StringSliceVar(&f.excludeNamespaces, "exclude-namespaces", nil, "namespaces to leave out")
	fs.StringSliceVar(&f.namespaceMappings, "namespace-mappings", nil, "new names of namespaces, for example shop:shop-test,db:db-test")
	fs.StringToStringVar(&f.labels, "labels", nil, "labels of the restore")
	fs.StringToStringVar(&f.annotations, "annotations", nil, "annotations of the restore")
	f.writeSparseFiles.bind(fs, "write-sparse-files", "write runs of zeros as holes")
	fs.IntVar(&f.parallelFiles, "parallel-files-download", 0, "how many files of a volume to write at the same time (default: the mover chooses)")
	fs.BoolVarP(&f.wait, "wait", "w", false, "show progress and wait until the restore has ended")
	fs.StringVarP(&f.output, "output", "o", "", "print the restore as table, json or yaml and do not create it")
}

// object turns flags into a Restore, or says which flag is wrong.
func (f *restoreFlags) object(namespace, name string) (*velerov1.Restore, error) {
	mappings, err := parseMappings("namespace-mappings", f.namespaceMappings)
	err = errors.Join(err,
		checkNotNegative("parallel-files-download", int64(f.parallelFiles)),
		checkCreateOutput(f.output, f.wait),
	)
	if err != nil {
		return nil, err
	}
	return &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: f.labels, Annotations: f.annotations},
		Spec: velerov1.RestoreSpec{
			BackupName:         f.fromBackup,
			IncludedNamespaces: f.includeNamespaces, ExcludedNamespaces: f.excludeNamespaces,
			NamespaceMapping: mappings,
			// Always there, as in Velero.
			UploaderConfig: &velerov1.UploaderConfigForRestore{
				WriteSparseFiles: f.writeSparseFiles.value, ParallelFilesDownload: f.parallelFiles,
			},
		},
	}, nil
}

// restoreName is the name given, or one made of the backup's and the local time.
func restoreName(args []string, backup string, now time.Time) string {
	if len(args) == 1 {
		return args[0]
	}
	return backup + "-" + now.Format(nameTime)
}

func (s *session) createRestore(cmd *cobra.Command, flags restoreFlags, args []string) error {
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	if flags.fromBackup == "" {
		return fmt.Errorf("--from-backup: Required value: name the backup; list backups with: %s backup get", commandFor(namespace))
	}
	r, err := flags.object(namespace, restoreName(args, flags.fromBackup, s.clock.Now()))
	if err != nil {
		return err
	}
	if flags.output != "" {
		return s.printNew(cmd, restores, r, flags.output)
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	// The server would say the same, but only in the status.
	if err := t.Get(ctx, client.ObjectKey{Namespace: namespace, Name: flags.fromBackup}, &velerov1.Backup{}); err != nil {
		return t.explain(ctx, err, backups, flags.fromBackup)
	}
	if err := t.Create(ctx, r); err != nil {
		return t.explain(ctx, err, restores, r.Name)
	}
	sayCreated(cmd, t, restores, r.Name)
	if !flags.wait {
		return nil
	}
	return s.waitFor(cmd, t, waitingForRestore(r))
}

func waitingForRestore(r *velerov1.Restore) waiting {
	return waiting{
		kind: restores, object: r,
		volumes: source{list: &velerov1.PodVolumeRestoreList{}, example: &velerov1.PodVolumeRestore{}, label: velerov1.RestoreUIDLabel},
		state: func(obj any, volumes []any, now time.Time) progressview.State {
			return progressview.OfRestore(castOne[velerov1.Restore](obj), castAll[velerov1.PodVolumeRestore](volumes), now)
		},
		result: func(obj any, volumes []any, command string) (string, int) {
			in := describe.RestoreInput{Restore: castOne[velerov1.Restore](obj), Volumes: castAll[velerov1.PodVolumeRestore](volumes)}
			return describe.RestoreResult(in, command), restoreExitCode(in.Restore.Status.Phase)
		},
	}
}

func restoreExitCode(phase velerov1.RestorePhase) int {
	switch phase {
	case velerov1.RestorePhaseCompleted:
		return exitOK
	case velerov1.RestorePhasePartiallyFailed:
		return exitPartiallyFailed
	default:
		return exitFailed
	}
}

func newRestoreDescribeCommand(s *session) *cobra.Command {
	return newKindDescribeCommand(s, describer{
		kind: restores,
		page: func(ctx context.Context, t cluster, obj client.Object, details bool) (string, error) {
			in, err := t.restoreInput(ctx, obj, details)
			return describe.Restore(in), err
		},
		values: func(ctx context.Context, t cluster, obj client.Object, details bool) (map[string]any, error) {
			in, err := t.restoreInput(ctx, obj, details)
			return describe.RestoreValues(in), err
		},
	})
}

// restoreInput reads what belongs to a restore.
func (t cluster) restoreInput(ctx context.Context, obj client.Object, details bool) (describe.RestoreInput, error) {
	in := describe.RestoreInput{Restore: castOne[velerov1.Restore](obj), Details: details}
	list := &velerov1.PodVolumeRestoreList{}
	err := t.List(ctx, list, client.InNamespace(t.namespace),
		client.MatchingLabels{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(obj.GetName())})
	if err != nil {
		return in, fmt.Errorf("listing the volumes of restore %s: %w", obj.GetName(), err)
	}
	in.Volumes = list.Items
	return in, nil
}
