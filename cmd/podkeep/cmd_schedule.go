package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
	timetables "github.com/podkeep/podkeep/internal/schedules"
)

type scheduleFlags struct {
	createFlags
	templateFlags
	labels          pairs
	annotations     pairs
	cron            string
	ownerReferences bool
	paused          bool
	skipImmediately optionalBool
}

func newScheduleCreateCommand(s *session, k kind) *cobra.Command {
	var flags scheduleFlags
	cmd := &cobra.Command{
		Use:   "create NAME --schedule CRON",
		Short: "Make backups at given times",
		Long: `Make backups at given times.

CRON has five fields: minute, hour, day of the month, month, day of the week. In
their place stand @hourly, @daily, @weekly, @monthly, @yearly or @every 6h. A time
zone may stand before it: CRON_TZ=Europe/Berlin 0 2 * * *.

Backups have the labels and annotations of the schedule.`,
		Example: `  # every night at two, kept for a week
  podkeep schedule create nightly --schedule "0 2 * * *" --include-namespaces shop --ttl 168h`,
		Args:              nameArgument(k.name),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.createSchedule(cmd, flags, args[0])
		},
	}
	flags.createFlags.bind(cmd, k)
	flags.templateFlags.bind(s, cmd)
	fs := cmd.Flags()
	flags.labels.bind(fs, "labels", "labels of the schedule and of its backups")
	flags.annotations.bind(fs, "annotations", "annotations of the schedule and of its backups")
	fs.StringVar(&flags.cron, "schedule", "", "when to make backups (required)")
	fs.BoolVar(&flags.ownerReferences, "use-owner-references-in-backup", false, "let the schedule own its backups: they are deleted with it")
	fs.BoolVar(&flags.paused, "paused", false, "make no backups until the schedule is unpaused")
	bindSkip(cmd, &flags.skipImmediately)
	return cmd
}

// bindSkip binds a flag whose value must be given, as in Velero: true or false.
func bindSkip(cmd *cobra.Command, o *optionalBool) {
	cmd.Flags().Var(o, "skip-immediately", "leave out a backup that is due right away: true or false (default: what the server says)")
	completeValues(cmd, "skip-immediately", "true", "false")
}

func (s *session) createSchedule(cmd *cobra.Command, flags scheduleFlags, name string) error {
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	if flags.cron == "" {
		return errors.New(`--schedule: Required value: say when, for example "0 2 * * *" or @daily`)
	}
	if _, err := timetables.Parse(flags.cron); err != nil {
		return fmt.Errorf("--schedule: Invalid value: %q: %w; see %s --help", flags.cron, err, cmd.CommandPath())
	}
	template, err := flags.spec()
	if err != nil {
		return err
	}
	schedule := &velerov1.Schedule{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: flags.labels.values, Annotations: flags.annotations.values},
		Spec: velerov1.ScheduleSpec{
			Template:                   template,
			Schedule:                   flags.cron,
			UseOwnerReferencesInBackup: &flags.ownerReferences,
			Paused:                     flags.paused,
			SkipImmediately:            flags.skipImmediately.value,
		},
	}
	return s.create(cmd, creation{
		kind: schedules, object: schedule, flags: flags.createFlags,
		check: func(ctx context.Context, t cluster) error { return t.checkTemplate(ctx, template) },
		said: func(t cluster) string {
			return fmt.Sprintf("Schedule %q created successfully.\nLook at it with: %s %s\n", name, t.command(), schedules.look(name))
		},
	})
}

func describeSchedule(_ context.Context, d *describing, obj client.Object) (description, error) {
	return describe.ScheduleInput{Look: d.look, Schedule: mustBe[*velerov1.Schedule](obj)}, nil
}

func removeSchedule(ctx context.Context, t cluster, obj client.Object) (string, error) {
	return "Schedule deleted: " + obj.GetName() + "\n", t.Delete(ctx, obj)
}

func newSchedulePauseCommand(s *session, k kind) *cobra.Command {
	return pauseCommand(s, k, pausing{paused: true, verb: "pause", done: "paused"}, "Make no more backups for a while")
}

func newScheduleUnpauseCommand(s *session, k kind) *cobra.Command {
	return pauseCommand(s, k, pausing{paused: false, verb: "unpause", done: "unpaused"}, "Make backups again")
}

// pausing is what pause and unpause do.
type pausing struct {
	paused          bool
	verb, done      string
	skipImmediately optionalBool
}

func pauseCommand(s *session, k kind, p pausing, short string) *cobra.Command {
	var chosen choice
	cmd := &cobra.Command{
		Use:               p.verb + " [NAME...]",
		Short:             short,
		ValidArgsFunction: s.completeNames(k),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.pause(cmd, chosen.of(k, p.verb, args), p)
		},
	}
	chosen.bind(cmd, k, p.verb)
	bindSkip(cmd, &p.skipImmediately)
	return cmd
}

func (s *session) pause(cmd *cobra.Command, c choice, p pausing) error {
	t, err := s.open()
	if err != nil {
		return err
	}
	objects, problems := t.choose(cmd, c)
	for _, obj := range objects {
		text, err := t.pauseOne(cmd.Context(), mustBe[*velerov1.Schedule](obj), p)
		problems = errors.Join(problems, t.explain(cmd.Context(), err, c.kind, obj.GetName()))
		fmt.Fprint(cmd.OutOrStdout(), text)
	}
	return problems
}

// pauseOne sets skipImmediately also to nothing, as Velero does: the server's
// setting decides about the next backup then.
func (t cluster) pauseOne(ctx context.Context, schedule *velerov1.Schedule, p pausing) (string, error) {
	if schedule.Spec.Paused == p.paused {
		return fmt.Sprintf("Schedule %s is already %s, skip\n", schedule.Name, p.done), nil
	}
	before := schedule.DeepCopy()
	schedule.Spec.Paused, schedule.Spec.SkipImmediately = p.paused, p.skipImmediately.value
	if err := t.Patch(ctx, schedule, client.MergeFrom(before)); err != nil {
		return "", err
	}
	return fmt.Sprintf("Schedule %s %s successfully\n", schedule.Name, p.done), nil
}
