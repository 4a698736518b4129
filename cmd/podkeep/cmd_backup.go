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

func newBackupCommand(s *session) *cobra.Command {
	return group(&cobra.Command{Use: backups.verb, Aliases: backups.aliases, Short: "Make and look at backups"},
		newBackupCreateCommand(s), newKindGetCommand(s, backups), newBackupDescribeCommand(s))
}

type backupFlags struct {
	includeNamespaces []string
	excludeNamespaces []string
	storageLocation   string
	fsBackup          optionalBool
	ttl               time.Duration
	labels            map[string]string
	annotations       map[string]string
	parallelFiles     int
	wait              bool
	output            string
}

func newBackupCreateCommand(s *session) *cobra.Command {
	var flags backupFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Back up namespaces",
		Long: `Back up namespaces: their objects, and the files of the pod volumes that are selected.

With --wait the exit code is 0 when the backup is Completed, 2 when it is
PartiallyFailed, 1 when it has failed, and 130 when Ctrl-C stopped the waiting;
the backup itself goes on then.`,
		Example: `  # back up one namespace and watch
  podkeep backup create shop-1 --include-namespaces shop --wait

  # take all volumes of all pods, keep the backup for a week
  podkeep backup create shop-2 --include-namespaces shop --default-volumes-to-fs-backup --ttl 168h`,
		Args:              nameArgument(backups.name),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.createBackup(cmd, flags, args[0])
		},
	}
	flags.bind(cmd)
	s.completeFlag(cmd, "include-namespaces", s.completeNamespaces())
	s.completeFlag(cmd, "exclude-namespaces", s.completeNamespaces())
	s.completeFlag(cmd, "storage-location", s.completeNames(backupLocations))
	return cmd
}

func (f *backupFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringSliceVar(&f.includeNamespaces, "include-namespaces", []string{"*"}, "namespaces to back up; * means all")
	fs.StringSliceVar(&f.excludeNamespaces, "exclude-namespaces", nil, "namespaces to leave out")
	fs.StringVar(&f.storageLocation, "storage-location", "", "where to keep the backup (default: the default location)")
	f.fsBackup.bind(fs, "default-volumes-to-fs-backup",
		"take all volumes of pods, or none with =false, unless a pod's annotations say otherwise (default: what namespaces and server say)")
	fs.DurationVar(&f.ttl, "ttl", 0, "how long to keep the backup, for example 168h (default: what the server says)")
	fs.StringToStringVar(&f.labels, "labels", nil, "labels of the backup, for example team=shop,reason=upgrade")
	fs.StringToStringVar(&f.annotations, "annotations", nil, "annotations of the backup")
	fs.IntVar(&f.parallelFiles, "parallel-files-upload", 0, "how many files of a volume to read at the same time (default: the mover chooses)")
	fs.BoolVarP(&f.wait, "wait", "w", false, "show progress and wait until the backup has ended")
	fs.StringVarP(&f.output, "output", "o", "", "print the backup as table, json or yaml and do not create it")
}

// object turns flags into a Backup, or says which flag is wrong.
func (f *backupFlags) object(namespace, name string) (*velerov1.Backup, error) {
	err := errors.Join(
		checkNotNegative("ttl", int64(f.ttl)),
		checkNotNegative("parallel-files-upload", int64(f.parallelFiles)),
		checkCreateOutput(f.output, f.wait),
	)
	if err != nil {
		return nil, err
	}
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: f.labels, Annotations: f.annotations},
		Spec: velerov1.BackupSpec{
			IncludedNamespaces: f.includeNamespaces, ExcludedNamespaces: f.excludeNamespaces,
			StorageLocation:          f.storageLocation,
			DefaultVolumesToFsBackup: f.fsBackup.value,
			TTL:                      metav1.Duration{Duration: f.ttl},
		},
	}
	if f.parallelFiles > 0 {
		b.Spec.UploaderConfig = &velerov1.UploaderConfigForBackup{ParallelFilesUpload: f.parallelFiles}
	}
	return b, nil
}

func (s *session) createBackup(cmd *cobra.Command, flags backupFlags, name string) error {
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	b, err := flags.object(namespace, name)
	if err != nil {
		return err
	}
	if flags.output != "" {
		return s.printNew(cmd, backups, b, flags.output)
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	if err := t.Create(cmd.Context(), b); err != nil {
		return t.explain(cmd.Context(), err, backups, name)
	}
	sayCreated(cmd, t, backups, name)
	if !flags.wait {
		return nil
	}
	return s.waitFor(cmd, t, waitingForBackup(b))
}

func waitingForBackup(b *velerov1.Backup) waiting {
	return waiting{
		kind: backups, object: b,
		volumes: source{list: &velerov1.PodVolumeBackupList{}, example: &velerov1.PodVolumeBackup{}, label: velerov1.BackupUIDLabel},
		state: func(obj any, volumes []any, now time.Time) progressview.State {
			return progressview.OfBackup(castOne[velerov1.Backup](obj), castAll[velerov1.PodVolumeBackup](volumes), now)
		},
		result: func(obj any, volumes []any, command string) (string, int) {
			in := describe.BackupInput{Backup: castOne[velerov1.Backup](obj), Volumes: castAll[velerov1.PodVolumeBackup](volumes)}
			return describe.BackupResult(in, command), backupExitCode(in.Backup.Status.Phase)
		},
	}
}

func backupExitCode(phase velerov1.BackupPhase) int {
	switch phase {
	case velerov1.BackupPhaseCompleted:
		return exitOK
	case velerov1.BackupPhasePartiallyFailed:
		return exitPartiallyFailed
	default:
		return exitFailed
	}
}

func newBackupDescribeCommand(s *session) *cobra.Command {
	return newKindDescribeCommand(s, describer{
		kind: backups,
		page: func(ctx context.Context, t cluster, obj client.Object, details bool) (string, error) {
			in, err := t.backupInput(ctx, obj, details)
			return describe.Backup(in), err
		},
		values: func(ctx context.Context, t cluster, obj client.Object, details bool) (map[string]any, error) {
			in, err := t.backupInput(ctx, obj, details)
			return describe.BackupValues(in), err
		},
	})
}

// backupInput reads what belongs to a backup, by its name as Velero does: a
// backup of another cluster has another UID there.
func (t cluster) backupInput(ctx context.Context, obj client.Object, details bool) (describe.BackupInput, error) {
	in := describe.BackupInput{Backup: castOne[velerov1.Backup](obj), Details: details}
	list := &velerov1.PodVolumeBackupList{}
	err := t.List(ctx, list, client.InNamespace(t.namespace),
		client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(obj.GetName())})
	if err != nil {
		return in, fmt.Errorf("listing the volumes of backup %s: %w", obj.GetName(), err)
	}
	in.Volumes = list.Items
	return in, nil
}
