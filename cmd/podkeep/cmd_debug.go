package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/podkeep/podkeep/internal/describe"
)

// bundleTime is the time in the name of a bundle, as in Velero.
const bundleTime = "2006-01-02-15-04-05"

type debugFlags struct {
	output  string
	backup  string
	restore string
	verbose bool
}

func newDebugCommand(s *session) *cobra.Command {
	var flags debugFlags
	cmd := &cobra.Command{
		Use:   "debug",
		Short: "Collect what helps to find out what is wrong",
		Long: `Collect what helps to find out what is wrong, in a compressed tar file: podkeep's
objects, the objects and logs of its pods, events, versions and, with --backup and
--restore, descriptions and logs of these.

Secrets are not read. Values of environment variables and addresses of downloads
are left out. Hooks and annotations are in it as they are: look through the file
before you give it away.`,
		Example: `  # collect what is known of a backup that has failed
  podkeep debug --backup shop-1`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.debug(cmd, flags)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&flags.output, "output", "", "file to write (default: bundle-YYYY-MM-DD-hh-mm-ss.tar.gz in this folder)")
	fs.StringVar(&flags.backup, "backup", "", "a backup to describe, with its log")
	fs.StringVar(&flags.restore, "restore", "", "a restore to describe, with its log")
	fs.BoolVar(&flags.verbose, "verbose", false, "say what is collected")
	s.completeFlag(cmd, "backup", s.completeNames(backups))
	s.completeFlag(cmd, "restore", s.completeNames(restores))
	return cmd
}

// debug writes the bundle in any case; what could not be collected is named in it.
func (s *session) debug(cmd *cobra.Command, flags debugFlags) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := errors.Join(t.mustExist(ctx, backups, flags.backup), t.mustExist(ctx, restores, flags.restore)); err != nil {
		return err
	}
	file, err := filepath.Abs(flags.output)
	if flags.output == "" {
		file, err = filepath.Abs("bundle-" + s.clock.Now().Format(bundleTime) + ".tar.gz")
	}
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	say := io.Discard
	if flags.verbose {
		say = cmd.ErrOrStderr()
	}
	content, bundle := io.Pipe()
	go func() {
		b := newBundle(bundle, s.clock.Now(), say)
		s.collect(cmd, t, flags, b)
		_ = bundle.CloseWithError(b.close())
	}()
	if err := writeFile(file, content); err != nil {
		_ = content.CloseWithError(err)
		return fmt.Errorf("writing %s: %w", file, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "Generated debug information bundle: %s\n", file)
	return err
}

// collect fills the bundle.
func (s *session) collect(cmd *cobra.Command, t cluster, flags debugFlags, b *bundle) {
	b.add("version.txt", func(w io.Writer) error { return s.writeVersions(cmd, w) })
	for _, k := range kinds() {
		b.add("tables/"+k.verb+".txt", func(w io.Writer) error { return s.writeTable(cmd.Context(), t, k, w) })
	}
	s.collectObjects(cmd.Context(), t, b)
	s.collectPodLogs(cmd.Context(), t, b)
	for _, run := range []struct {
		kind kind
		name string
	}{{backups, flags.backup}, {restores, flags.restore}} {
		if run.name == "" {
			continue
		}
		of := func(w io.Writer) logRequest {
			return logRequest{kind: run.kind, name: run.name, flags: downloadFlags{timeout: describeTimeout}, out: w}
		}
		b.add(run.kind.verb+"_describe_"+run.name+".txt", func(w io.Writer) error { return s.writePage(cmd, t, of(w)) })
		b.add(run.kind.verb+"_"+run.name+".log", func(w io.Writer) error { return s.printLog(cmd, t, of(w)) })
	}
}

func (s *session) writeVersions(cmd *cobra.Command, w io.Writer) error {
	if err := printClientVersion(w); err != nil {
		return err
	}
	server, err := s.serverVersion(cmd.Context(), statusTimeout)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Server:\n\tVersion: %s\n", server)
	return err
}

// writePage writes the page of what the log is of.
func (s *session) writePage(cmd *cobra.Command, t cluster, r logRequest) error {
	list, err := t.fetch(cmd.Context(), r.kind, []string{r.name}, "")
	if err != nil {
		return err
	}
	objects, err := objectsOf(list)
	if err != nil {
		return err
	}
	d := &describing{
		cluster: t, files: s.newDownloads(t, r.flags, r.out),
		look: describe.Look{Details: true, Command: t.command()},
	}
	page, err := r.kind.describe(cmd.Context(), d, objects[0])
	if err != nil {
		return err
	}
	_, err = io.WriteString(r.out, page.Page())
	return err
}
