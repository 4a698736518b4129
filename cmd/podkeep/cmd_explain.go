package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/internal/explain"
	"github.com/podkeep/podkeep/internal/podfacts/live"
)

type explainFlags struct {
	files     []string
	output    string
	backup    string
	schedule  string
	policies  string
	fsBackup  optionalBool
	installed string
}

// newExplainCommand is "explain" with what it can explain.
func newExplainCommand(s *session) *cobra.Command {
	pod := &cobra.Command{
		Use: "pod NAMESPACE/NAME...", Aliases: []string{"pods", "po"},
		Short: "Say which volumes of pods are backed up, and why",
		Long: `Say which volumes of pods are backed up, and why.

A pod is named NAMESPACE/NAME, or NAME: then -n names the pod's namespace, not that
of the installation, and without -n it is the one of the kubeconfig's context.`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	namespace := &cobra.Command{
		Use: "namespace NAME...", Aliases: []string{"namespaces", "ns"},
		Short:             "Say which volumes of all pods of namespaces are backed up, and why",
		ValidArgsFunction: s.completeNamespaces(),
	}
	root := group(&cobra.Command{
		Use: "explain", Short: "Say which volumes are backed up, and why",
		Long: `Say which volumes are backed up, which rule decides, and how to change it.

With -f it is said of pods, and of what makes pods, that are not created yet: of all
documents of a file, or of standard input with -f -. Claims and namespaces in the same
documents count as created.

Without --backup, --from-schedule, --resource-policies-configmap and
--default-volumes-to-fs-backup it is said for a backup that says nothing of its own.`,
		Example: `  podkeep explain pod shop/db-0
  podkeep explain namespace shop --from-schedule nightly
  kubectl kustomize ./shop | podkeep explain -f - -n shop`,
	}, pod, namespace)

	help := root.RunE
	s.bindExplain(root, func(cmd *cobra.Command, flags explainFlags, args []string) error {
		if len(flags.files) == 0 {
			return help(cmd, args)
		}
		return s.explainFiles(cmd, flags)
	})
	s.bindExplain(pod, func(cmd *cobra.Command, flags explainFlags, args []string) error {
		if len(flags.files) > 0 {
			return explainsFilesOnly(args, func() error { return s.explainFiles(cmd, flags) })
		}
		return s.explainPods(cmd, flags, args)
	})
	s.bindExplain(namespace, func(cmd *cobra.Command, flags explainFlags, args []string) error {
		if len(flags.files) > 0 {
			return explainsFilesOnly(args, func() error { return s.explainFiles(cmd, flags) })
		}
		return s.explainNamespaces(cmd, flags, args)
	})
	return root
}

func explainsFilesOnly(args []string, run func() error) error {
	if len(args) > 0 {
		return errors.New("names and --filename exclude each other; leave one of them out")
	}
	return run()
}

func (s *session) bindExplain(cmd *cobra.Command, run func(*cobra.Command, explainFlags, []string) error) {
	flags := &explainFlags{}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := flags.check(); err != nil {
			return err
		}
		return run(cmd, *flags, args)
	}
	fs := cmd.Flags()
	fs.StringArrayVarP(&flags.files, "filename", "f", nil, "file with pods, or what makes pods, before it is applied; - is standard input")
	fs.StringVarP(&flags.output, "output", "o", outputTable, "table, json or yaml")
	fs.StringVar(&flags.backup, "backup", "", "for this backup")
	fs.StringVar(&flags.schedule, "from-schedule", "", "for the backups of this schedule")
	fs.StringVar(&flags.policies, "resource-policies-configmap", "", "for a backup with these policies")
	flags.fsBackup.bind(fs, "default-volumes-to-fs-backup", "for a backup with this flag, true or =false")
	fs.StringVar(&flags.installed, "install-namespace", "", "namespace podkeep is installed in, where -n names that of pods")
	completeValues(cmd, "output", outputTable, outputJSON, outputYAML)
	s.completeFlag(cmd, "backup", s.completeNames(backups))
	s.completeFlag(cmd, "from-schedule", s.completeNames(schedules))
	s.completeFlag(cmd, "resource-policies-configmap", s.completeConfigMaps())
	s.completeFlag(cmd, "install-namespace", s.completeNamespaces())
}

func (f explainFlags) check() error {
	if f.backup != "" && f.schedule != "" {
		return errors.New("--backup and --from-schedule exclude each other; leave one of them out")
	}
	return checkOutput(f.output, outputTable, outputJSON, outputYAML)
}

// explaining is where explanations are made from.
type explaining struct {
	cluster
	source *explainSource
	flags  explainFlags
}

func (s *session) openExplaining(flags explainFlags, installed func() (string, error)) (*explaining, error) {
	namespace := flags.installed
	if namespace == "" {
		var err error
		if namespace, err = installed(); err != nil {
			return nil, err
		}
	}
	c, err := s.connect()
	if err != nil {
		return nil, err
	}
	t := cluster{WithWatch: c, namespace: namespace, program: s.program}
	return &explaining{cluster: t, source: newExplainSource(c), flags: flags}, nil
}

// podNamespace is where pods are that are named without a namespace. -n is that one
// then, and says nothing of the installation.
func (s *session) podNamespace(cmd *cobra.Command) (string, error) {
	if flag := cmd.Flags().Lookup("namespace"); flag != nil && flag.Changed {
		return flag.Value.String(), nil
	}
	return s.current()
}

func (s *session) explainPods(cmd *cobra.Command, flags explainFlags, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("0 names given, at least 1 wanted; name the pods, or a file with -f: %s", cmd.UseLine())
	}
	installed := s.namespace
	keys := make([]client.ObjectKey, 0, len(names))
	for _, name := range names {
		namespace, pod, ok := strings.Cut(name, "/")
		if !ok {
			var err error
			if namespace, err = s.podNamespace(cmd); err != nil {
				return err
			}
			pod, installed = name, s.home
		}
		keys = append(keys, client.ObjectKey{Namespace: namespace, Name: pod})
	}
	e, err := s.openExplaining(flags, installed)
	if err != nil {
		return err
	}
	return e.print(cmd, func(ctx context.Context) ([]explain.Subject, error) { return e.pods(ctx, keys) })
}

func (s *session) explainNamespaces(cmd *cobra.Command, flags explainFlags, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("0 names given, at least 1 wanted; name the namespaces: %s", cmd.UseLine())
	}
	e, err := s.openExplaining(flags, s.namespace)
	if err != nil {
		return err
	}
	return e.print(cmd, func(ctx context.Context) ([]explain.Subject, error) { return e.namespaces(ctx, names) })
}

func (s *session) explainFiles(cmd *cobra.Command, flags explainFlags) error {
	namespace, err := s.podNamespace(cmd)
	if err != nil {
		return err
	}
	objects, err := readManifests(cmd.InOrStdin(), flags.files)
	if err != nil {
		return err
	}
	e, err := s.openExplaining(flags, s.home)
	if err != nil {
		return err
	}
	return e.print(cmd, func(ctx context.Context) ([]explain.Subject, error) { return e.manifests(ctx, objects, namespace) })
}

// print explains what is gathered.
func (e *explaining) print(cmd *cobra.Command, gather func(context.Context) ([]explain.Subject, error)) error {
	ctx := cmd.Context()
	subjects, err := gather(ctx)
	if err != nil {
		return err
	}
	settings, err := e.settings(ctx)
	if err != nil {
		return err
	}
	report := explain.NewReport(subjects, settings)
	if e.flags.output != outputTable {
		return printValue(cmd.OutOrStdout(), report, e.flags.output)
	}
	_, err = io.WriteString(cmd.OutOrStdout(), report.Page())
	return err
}

// settings are those of the server and of the backup that the flags name.
func (e *explaining) settings(ctx context.Context) (explain.Settings, error) {
	var s explain.Settings
	s.ServerDefault, s.ServerDefaultFrom = e.serverDefault(ctx)
	if err := e.readBackup(ctx, &s); err != nil {
		return s, err
	}
	if e.flags.fsBackup.value != nil {
		s.Spec.DefaultVolumesToFsBackup = e.flags.fsBackup.value
	}
	if e.flags.policies != "" {
		s.Spec.ResourcePolicy = &corev1.TypedLocalObjectReference{Kind: policyKind, Name: e.flags.policies}
	}
	ref := s.Spec.ResourcePolicy
	policies, problems, err := live.Policies(ctx, e, e.namespace, ref)
	switch {
	case err != nil:
		return s, err
	case len(problems) > 0:
		return s, fmt.Errorf("%s; a backup would be refused: correct it with: kubectl edit configmap -n %s %s",
			strings.Join(problems, "; "), e.namespace, ref.Name)
	case ref != nil:
		s.Policies, s.PoliciesFrom = policies, fmt.Sprintf("ConfigMap %s/%s", e.namespace, ref.Name)
	}
	return s, nil
}

// readBackup reads what the backup says, or the schedule of its kind.
func (e *explaining) readBackup(ctx context.Context, s *explain.Settings) error {
	s.Spec = &velerov1.BackupSpec{}
	switch {
	case e.flags.backup != "":
		b := &velerov1.Backup{}
		if err := e.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: e.flags.backup}, b); err != nil {
			return e.explain(ctx, err, backups, e.flags.backup)
		}
		s.Backup, s.Spec = "Backup "+b.Name, &b.Spec
	case e.flags.schedule != "":
		schedule := &velerov1.Schedule{}
		if err := e.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: e.flags.schedule}, schedule); err != nil {
			return e.explain(ctx, err, schedules, e.flags.schedule)
		}
		s.Backup, s.Spec = "Schedule "+schedule.Name, &schedule.Spec.Template
	}
	return nil
}

// serverDefault is in the arguments of the server's Deployment. value is nil when it
// cannot be known; from says where it is or why not.
func (e *explaining) serverDefault(ctx context.Context) (value *bool, from string) {
	d := &appsv1.Deployment{}
	err := e.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: install.ServerName}, d)
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Sprintf("you may not read Deployment %s/%s", e.namespace, install.ServerName)
	case apierrors.IsNotFound(err):
		return nil, fmt.Sprintf("podkeep is not installed in namespace %s; %s", e.namespace,
			e.elsewhereOr(ctx, "name its namespace with --install-namespace"))
	case err != nil:
		return nil, "reading Deployment " + e.namespace + "/" + install.ServerName + ": " + err.Error()
	}
	on := false
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, arg := range c.Args {
			on = boolArgument(arg, "default-volumes-to-fs-backup", on)
		}
	}
	return &on, fmt.Sprintf("--default-volumes-to-fs-backup of Deployment %s/%s", e.namespace, install.ServerName)
}

// boolArgument reads one argument as pflag does; other arguments, and values that
// the server would have refused, change nothing.
func boolArgument(arg, name string, before bool) bool {
	flag, text, hasValue := strings.Cut(arg, "=")
	switch value, err := strconv.ParseBool(text); {
	case flag != "--"+name:
		return before
	case !hasValue:
		return true
	case err != nil:
		return before
	default:
		return value
	}
}
