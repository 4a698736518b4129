package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
	"github.com/podkeep/podkeep/internal/layout"
)

// description is one object, and what belongs to it, in words.
type description interface {
	Page() string
	Values() map[string]any
}

// describing is where descriptions are made from, and how.
type describing struct {
	cluster
	look  describe.Look
	files *downloads
}

// Formats of describe. Velero's name for pages is plaintext.
const outputPlaintext = "plaintext"

type describeFlags struct {
	downloadFlags
	output   string
	selector string
	details  bool
}

func newKindDescribeCommand(s *session, k kind) *cobra.Command {
	var flags describeFlags
	cmd := &cobra.Command{
		Use:               "describe [NAME...]",
		Short:             "Show everything about " + k.plural,
		ValidArgsFunction: s.completeNames(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.describe(cmd, k, flags, args)
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&flags.output, "output", "o", outputPlaintext, "plaintext, json or yaml")
	fs.StringVarP(&flags.selector, "selector", "l", "", "only objects whose labels match, for example app=shop")
	completeValues(cmd, "output", outputPlaintext, outputJSON, outputYAML)
	if k.runs != nil {
		fs.BoolVar(&flags.details, "details", false, "list each item and each volume")
		flags.bindTLS(fs)
	}
	return cmd
}

func (s *session) describe(cmd *cobra.Command, k kind, flags describeFlags, names []string) error {
	if err := checkOutput(flags.output, outputPlaintext, outputJSON, outputYAML); err != nil {
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
	if meta.LenList(list) == 0 {
		return t.sayNone(cmd, k, flags.selector)
	}
	objects, err := objectsOf(list)
	if err != nil {
		return err
	}
	flags.timeout = describeTimeout
	d := &describing{
		cluster: t, files: s.newDownloads(t, flags.downloadFlags, cmd.ErrOrStderr()),
		look: describe.Look{Details: flags.details, Color: s.colors(cmd.OutOrStdout()), Command: t.command()},
	}
	for i, obj := range objects {
		if i > 0 {
			fmt.Fprint(cmd.OutOrStdout(), separator(flags.output))
		}
		page, err := k.describe(cmd.Context(), d, obj)
		if err != nil {
			return t.explain(cmd.Context(), err, k, obj.GetName())
		}
		if err := printPage(cmd.OutOrStdout(), page, flags.output); err != nil {
			return err
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

func printPage(w io.Writer, d description, output string) error {
	if output != outputPlaintext {
		return printValue(w, d.Values(), output)
	}
	_, err := io.WriteString(w, d.Page())
	return err
}

// describeBackup reads what belongs to a backup, by its name as Velero does: a
// backup of another cluster has another UID there.
func describeBackup(ctx context.Context, d *describing, obj client.Object) (description, error) {
	b := mustBe[*velerov1.Backup](obj)
	name := client.MatchingLabels{velerov1.BackupNameLabel: velerov1.ValidLabelValue(b.Name)}
	volumes := &velerov1.PodVolumeBackupList{}
	if err := d.List(ctx, volumes, client.InNamespace(d.namespace), name); err != nil {
		return nil, fmt.Errorf("listing the volumes of backup %s: %w", b.Name, err)
	}
	deletions := &velerov1.DeleteBackupRequestList{}
	err := d.List(ctx, deletions, client.InNamespace(d.namespace), name, client.MatchingLabels{velerov1.BackupUIDLabel: string(b.UID)})
	if err != nil {
		return nil, fmt.Errorf("listing the deletions of backup %s: %w", b.Name, err)
	}
	return describe.BackupInput{
		Look: d.look, Backup: b, Volumes: volumes.Items, Deletions: deletions.Items, Files: d.backupFiles(ctx, b),
	}, nil
}

// backupFiles asks for the files that the page needs.
func (d *describing) backupFiles(ctx context.Context, b *velerov1.Backup) describe.BackupFiles {
	f := fileSource{downloads: d.files, name: b.Name, location: b.Spec.StorageLocation, exists: mayHaveFiles(string(b.Status.Phase))}
	s := &b.Status
	operations := d.look.Details && s.BackupItemOperationsAttempted > 0
	files := describe.BackupFiles{
		Volumes:    readFile[layout.VolumeInfoList](ctx, f, velerov1.DownloadTargetKindBackupVolumeInfos),
		Results:    readFile[layout.Results](ctx, f.when(s.Errors+s.Warnings > 0), velerov1.DownloadTargetKindBackupResults),
		Resources:  readFile[layout.ResourceList](ctx, f.when(d.look.Details), velerov1.DownloadTargetKindBackupResourceList),
		Operations: readFile[layout.BackupItemOperationList](ctx, f.when(operations), velerov1.DownloadTargetKindBackupItemOperations),
	}
	old := files.Volumes.Err != nil && s.VolumeSnapshotsAttempted > 0
	files.Snapshots = readFile[[]layout.NativeSnapshot](ctx, f.when(old), velerov1.DownloadTargetKindBackupVolumeSnapshots)
	return files
}

// describeRestore reads what belongs to a restore.
func describeRestore(ctx context.Context, d *describing, obj client.Object) (description, error) {
	r := mustBe[*velerov1.Restore](obj)
	volumes := &velerov1.PodVolumeRestoreList{}
	err := d.List(ctx, volumes, client.InNamespace(d.namespace),
		client.MatchingLabels{velerov1.RestoreNameLabel: velerov1.ValidLabelValue(r.Name)})
	if err != nil {
		return nil, fmt.Errorf("listing the volumes of restore %s: %w", r.Name, err)
	}
	return describe.RestoreInput{Look: d.look, Restore: r, Volumes: volumes.Items, Files: d.restoreFiles(ctx, r)}, nil
}

// restoreFiles asks for the files that the page needs. They are where the backup
// is.
func (d *describing) restoreFiles(ctx context.Context, r *velerov1.Restore) describe.RestoreFiles {
	s := &r.Status
	f := fileSource{downloads: d.files, name: r.Name, exists: mayHaveFiles(string(s.Phase))}
	if f.exists {
		f.location = d.locationOf(ctx, r.Spec.BackupName)
	}
	operations := d.look.Details && s.RestoreItemOperationsAttempted > 0
	return describe.RestoreFiles{
		Volumes:    readFile[layout.RestoreVolumeInfoList](ctx, f, velerov1.DownloadTargetKindRestoreVolumeInfo),
		Results:    readFile[layout.Results](ctx, f.when(s.Errors+s.Warnings > 0), velerov1.DownloadTargetKindRestoreResults),
		Resources:  readFile[layout.ResourceList](ctx, f.when(d.look.Details), velerov1.DownloadTargetKindRestoreResourceList),
		Operations: readFile[layout.RestoreItemOperationList](ctx, f.when(operations), velerov1.DownloadTargetKindRestoreItemOperations),
	}
}

// mayHaveFiles reports whether a backup or restore in this phase can have files in
// object storage: they are written when it ends. Asking for others only takes time.
func mayHaveFiles(phase string) bool {
	switch velerov1.BackupPhase(phase) {
	case "", velerov1.BackupPhaseNew, velerov1.BackupPhaseQueued, velerov1.BackupPhaseReadyToStart,
		velerov1.BackupPhaseInProgress, velerov1.BackupPhaseFailedValidation:
		return false
	default:
		return true
	}
}
