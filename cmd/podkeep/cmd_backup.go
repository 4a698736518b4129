package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	timetables "github.com/podkeep/podkeep/internal/schedules"
)

type backupFlags struct {
	createFlags
	templateFlags
	labels       pairs
	annotations  pairs
	fromSchedule string
}

func newBackupCreateCommand(s *session, k kind) *cobra.Command {
	var flags backupFlags
	cmd := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Back up namespaces",
		Long: `Back up namespaces: their objects, and the files of the pod volumes that are selected.

With --from-schedule the backup is the one that the schedule would make, and the
name may be left out. With --wait the exit code is 0 when the backup is Completed,
2 when it is PartiallyFailed, 1 when it has failed, and 130 when Ctrl-C stopped the
waiting; the backup itself goes on then.`,
		Example: `  # back up one namespace and watch
  podkeep backup create shop-1 --include-namespaces shop --wait

  # take all volumes of all pods, keep the backup for a week
  podkeep backup create shop-2 --include-namespaces shop --default-volumes-to-fs-backup --ttl 168h

  # make now what the schedule "nightly" makes at night
  podkeep backup create --from-schedule nightly`,
		Args:              atMostOneName,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.createBackup(cmd, flags, strings.Join(args, ""))
		},
	}
	flags.createFlags.bind(cmd, k)
	flags.templateFlags.bind(s, cmd)
	fs := cmd.Flags()
	flags.labels.bind(fs, "labels", "labels of the backup, for example team=shop,reason=upgrade")
	flags.annotations.bind(fs, "annotations", "annotations of the backup")
	fs.StringVar(&flags.fromSchedule, "from-schedule", "", "make the backup that a schedule would make; other filters are ignored")
	s.completeFlag(cmd, "from-schedule", s.completeNames(schedules))
	return cmd
}

func (s *session) createBackup(cmd *cobra.Command, flags backupFlags, name string) error {
	if cmd.Flags().Changed("from-schedule") {
		return s.createBackupFromSchedule(cmd, flags, name)
	}
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	if name == "" {
		return fmt.Errorf("0 names given, 1 wanted; name the backup: %s", cmd.UseLine())
	}
	spec, err := flags.spec()
	if err != nil {
		return err
	}
	b := &velerov1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: flags.labels.values, Annotations: flags.annotations.values},
		Spec:       spec,
	}
	return s.create(cmd, backupCreation(b, flags.createFlags))
}

func backupCreation(b *velerov1.Backup, flags createFlags) creation {
	c := creation{kind: backups, object: b, flags: flags}
	c.said = c.saidRequest
	c.check = func(ctx context.Context, t cluster) error { return t.checkTemplate(ctx, b.Spec) }
	return c
}

// checkTemplate looks for the locations that a backup names.
func (t cluster) checkTemplate(ctx context.Context, spec velerov1.BackupSpec) error {
	return errors.Join(
		t.mustExist(ctx, backupLocations, spec.StorageLocation),
		t.mustExist(ctx, snapshotLocations, spec.VolumeSnapshotLocations...),
	)
}

// createBackupFromSchedule ignores the flags of a template, as Velero does, and
// says which.
func (s *session) createBackupFromSchedule(cmd *cobra.Command, flags backupFlags, name string) error {
	schedule := &velerov1.Schedule{}
	from := strings.TrimSpace(flags.fromSchedule)
	if from == "" {
		return fmt.Errorf("--from-schedule: Required value: name the schedule; list schedules with: %s schedule get", s.program)
	}
	if err := flags.createFlags.check(); err != nil {
		return err
	}
	t, err := s.open()
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	if err := t.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: from}, schedule); err != nil {
		return t.explain(ctx, err, schedules, from)
	}
	c := backupCreation(flags.ofSchedule(schedule, name, s.clock.Now()), flags.createFlags)
	said := c.said
	c.said = func(t cluster) string {
		return "Creating backup from schedule, all other filters are ignored.\n" + said(t)
	}
	if ignored := flags.templateFlags.given(cmd.Flags()); len(ignored) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "ignored, because the schedule says what to back up: %s\n", strings.Join(ignored, ", "))
	}
	return s.create(cmd, c)
}

// ofSchedule is the backup that a schedule would make, with the labels and
// annotations of the flags in addition.
func (f *backupFlags) ofSchedule(schedule *velerov1.Schedule, name string, now time.Time) *velerov1.Backup {
	b := timetables.NewBackup(schedule, now)
	b.Name = cmp.Or(name, b.Name)
	b.Labels = merged(b.Labels, f.labels.values)
	b.Annotations = merged(b.Annotations, f.annotations.values)
	return b
}

// merged is the first map with what the second one says.
func merged(base, more map[string]string) map[string]string {
	if base == nil {
		return more
	}
	maps.Copy(base, more)
	return base
}

// given are the flags of a template that are on the command line.
func (f *templateFlags) given(all *pflag.FlagSet) []string {
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&templateFlags{}).bindTo(own)
	var names []string
	all.Visit(func(flag *pflag.Flag) {
		if own.Lookup(flag.Name) != nil {
			names = append(names, "--"+flag.Name)
		}
	})
	return names
}
