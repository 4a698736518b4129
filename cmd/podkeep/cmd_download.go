package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

type archiveFlags struct {
	downloadFlags
	output string
	force  bool
}

func newBackupDownloadCommand(s *session, k kind) *cobra.Command {
	var flags archiveFlags
	cmd := &cobra.Command{
		Use:   "download NAME",
		Short: "Download the archive of a backup",
		Long: `Download the archive of a backup: its objects as JSON, in a compressed tar file.
The files of volumes are not in it; they are in the repositories.`,
		Args:              nameArgument(k.name),
		ValidArgsFunction: s.completeOneName(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.download(cmd, flags, args[0])
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&flags.output, "output", "o", "", "file to write (default: NAME-data.tar.gz in this folder)")
	fs.BoolVar(&flags.force, "force", false, "replace the file if there is one")
	flags.bind(fs)
	return cmd
}

func (s *session) download(cmd *cobra.Command, flags archiveFlags, name string) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx, b := cmd.Context(), &velerov1.Backup{}
	if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: name}, b); err != nil {
		return t.explain(ctx, err, backups, name)
	}
	file, err := archiveFile(flags.output, name)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(file); !flags.force && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already; choose another file with --output, or replace it with --force", file)
	}
	body, err := s.newDownloads(t, flags.downloadFlags, cmd.ErrOrStderr()).
		open(ctx, velerov1.DownloadTarget{Kind: velerov1.DownloadTargetKindBackupContents, Name: name}, b.Spec.StorageLocation)
	if errors.Is(err, describe.ErrNoFile) {
		return fmt.Errorf("backup %q has no archive in the storage location; look at it with: %s %s", name, t.command(), backups.look(name))
	}
	if err != nil {
		return t.explain(ctx, err, backups, name)
	}
	defer body.Close() //nolint:errcheck // only read
	if err := writeFile(file, body); err != nil {
		return fmt.Errorf("downloading backup %s: %w", name, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Backup %s has been successfully downloaded to %s\n", name, file)
	return err
}

func archiveFile(output, name string) (string, error) {
	if output != "" {
		return output, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding this folder: %w", err)
	}
	return filepath.Join(dir, name+"-data.tar.gz"), nil
}

// writeFile writes a file that nobody else may read. It appears when it is complete.
func writeFile(file string, content io.Reader) error {
	part, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) //nolint:errcheck // it is gone when all went well
	_, err = io.Copy(part, content)
	if err := errors.Join(err, part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), file)
}
