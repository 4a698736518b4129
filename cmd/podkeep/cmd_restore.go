package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// nameTime is the local time at the end of a restore's name that was not given.
const nameTime = "20060102150405"

type restoreFlags struct {
	createFlags
	fromBackup           string
	fromSchedule         string
	allowPartiallyFailed optionalBool

	includeNamespaces, excludeNamespaces           list
	includeResources, excludeResources             list
	statusIncludeResources, statusExcludeResources list
	includeClusterResources                        optionalBool
	selector                                       labelSelector
	orSelector                                     orLabelSelector
	namespaceMappings, labels, annotations         pairs
	existingResourcePolicy                         string
	itemOperationTimeout                           time.Duration
	restoreVolumes, preserveNodePorts, writeSparse optionalBool
	resourceModifier                               string
	parallelFiles                                  int
}

func newRestoreCreateCommand(s *session, k kind) *cobra.Command {
	flags := restoreFlags{namespaceMappings: pairs{separator: ":"}}
	cmd := &cobra.Command{
		Use:   "create [NAME]",
		Short: "Restore a backup",
		Long: `Restore a backup: its objects, and the files of the pod volumes in it. Pods start
when their files are back.

Without a name the restore is called after the backup, or the schedule, and the
time. With --from-schedule the newest completed backup of the schedule is restored.
With --wait the exit code is 0 when the restore is Completed, 2 when it is
PartiallyFailed, 1 when it has failed, and 130 when Ctrl-C stopped the waiting; the
restore itself goes on then.`,
		Example: `  # restore everything and watch
  podkeep restore create --from-backup shop-1 --wait

  # restore a namespace under another name
  podkeep restore create --from-backup shop-1 --include-namespaces shop --namespace-mappings shop:shop-test`,
		Args:              atMostOneName,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.createRestore(cmd, flags, strings.Join(args, ""))
		},
	}
	flags.createFlags.bind(cmd, k)
	flags.bind(s, cmd)
	return cmd
}

func (f *restoreFlags) bind(s *session, cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.fromBackup, "from-backup", "", "backup to restore")
	fs.StringVar(&f.fromSchedule, "from-schedule", "", "schedule whose newest backup to restore")
	f.allowPartiallyFailed.bind(fs, "allow-partially-failed", "with --from-schedule: take the newest backup also when it is PartiallyFailed")
	f.includeNamespaces.bind(fs, "include-namespaces", "namespaces to restore, by their names in the backup; * means all", "*")
	f.excludeNamespaces.bind(fs, "exclude-namespaces", "namespaces to leave out")
	f.namespaceMappings.bind(fs, "namespace-mappings", "new names of namespaces, for example shop:shop-test,db:db-test")
	f.labels.bind(fs, "labels", "labels of the restore")
	f.annotations.bind(fs, "annotations", "annotations of the restore")
	f.includeResources.bind(fs, "include-resources", "resources to restore, such as deployments.apps; * means all")
	f.excludeResources.bind(fs, "exclude-resources", "resources to leave out")
	f.includeClusterResources.bind(fs, "include-cluster-resources", "restore cluster-scoped resources, or none with =false (default: those that are needed)")
	fs.VarP(&f.selector, "selector", "l", "only items whose labels match, for example app=shop")
	fs.Var(&f.orSelector, "or-selector", "only items that match one of several selectors, for example 'app=shop or app=db'")
	fs.StringVar(&f.existingResourcePolicy, "existing-resource-policy", "", "what to do with objects that exist: none (leave them) or update")
	f.statusIncludeResources.bind(fs, "status-include-resources", "resources whose status to restore; * means all")
	f.statusExcludeResources.bind(fs, "status-exclude-resources", "resources whose status not to restore")
	fs.DurationVar(&f.itemOperationTimeout, "item-operation-timeout", 0, "how long to wait for asynchronous operations (default: what the server says)")
	f.restoreVolumes.bind(fs, "restore-volumes", "restore volumes from snapshots, or none with =false")
	f.preserveNodePorts.bind(fs, "preserve-nodeports", "keep the node ports of Services")
	fs.StringVar(&f.resourceModifier, "resource-modifier-configmap", "", "ConfigMap with changes to make to objects")
	f.writeSparse.bind(fs, "write-sparse-files", "write runs of zeros as holes")
	fs.IntVar(&f.parallelFiles, "parallel-files-download", 0, "how many files of a volume to write at the same time (default: the mover chooses)")

	s.completeFlag(cmd, "from-backup", s.completeNames(backups))
	s.completeFlag(cmd, "from-schedule", s.completeNames(schedules))
	s.completeFlag(cmd, "resource-modifier-configmap", s.completeConfigMaps())
	completeValues(cmd, "existing-resource-policy", string(velerov1.PolicyTypeNone), string(velerov1.PolicyTypeUpdate))
}

func (f *restoreFlags) check() error {
	return errors.Join(
		checkIncludes("namespaces", f.includeNamespaces.values, f.excludeNamespaces.values),
		checkIncludes("resources", f.includeResources.values, f.excludeResources.values),
		checkSelectors(f.selector, f.orSelector),
		f.checkStatus(),
		f.checkMappings(),
		f.checkPolicy(),
		checkNotNegative("item-operation-timeout", int64(f.itemOperationTimeout)),
		checkNotNegative("parallel-files-download", int64(f.parallelFiles)),
	)
}

// checkStatus refuses what Velero's client ignores.
func (f *restoreFlags) checkStatus() error {
	if len(f.statusExcludeResources.values) > 0 && len(f.statusIncludeResources.values) == 0 {
		return errors.New("--status-exclude-resources needs --status-include-resources: without it no status is restored")
	}
	return nil
}

func (f *restoreFlags) checkMappings() error {
	for from, to := range f.namespaceMappings.values {
		if problems := validation.IsDNS1123Label(to); len(problems) > 0 {
			return fmt.Errorf("--namespace-mappings: Invalid value: %q: must be old:new with a name of a namespace: %s", from+":"+to, problems[0])
		}
	}
	return nil
}

func (f *restoreFlags) checkPolicy() error {
	switch velerov1.PolicyType(f.existingResourcePolicy) {
	case "", velerov1.PolicyTypeNone, velerov1.PolicyTypeUpdate:
		return nil
	default:
		return fmt.Errorf("--existing-resource-policy: Unsupported value: %q: supported values: none, update", f.existingResourcePolicy)
	}
}

// object turns flags into a Restore, or says which flag is wrong.
func (f *restoreFlags) object(namespace, name string) (*velerov1.Restore, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	r := &velerov1.Restore{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: f.labels.values, Annotations: f.annotations.values},
		Spec: velerov1.RestoreSpec{
			BackupName: f.fromBackup, ScheduleName: f.fromSchedule,
			IncludedNamespaces: f.includeNamespaces.values, ExcludedNamespaces: f.excludeNamespaces.values,
			IncludedResources: f.includeResources.values, ExcludedResources: f.excludeResources.values,
			IncludeClusterResources: f.includeClusterResources.value,
			LabelSelector:           f.selector.value, OrLabelSelectors: f.orSelector.values,
			NamespaceMapping:       f.namespaceMappings.values,
			ExistingResourcePolicy: velerov1.PolicyType(f.existingResourcePolicy),
			ItemOperationTimeout:   metav1.Duration{Duration: f.itemOperationTimeout},
			RestorePVs:             f.restoreVolumes.value, PreserveNodePorts: f.preserveNodePorts.value,
			// Always there, as in Velero.
			UploaderConfig: &velerov1.UploaderConfigForRestore{
				WriteSparseFiles: f.writeSparse.value, ParallelFilesDownload: f.parallelFiles,
			},
		},
	}
	if len(f.statusIncludeResources.values) > 0 {
		r.Spec.RestoreStatus = &velerov1.RestoreStatusSpec{
			IncludedResources: f.statusIncludeResources.values, ExcludedResources: f.statusExcludeResources.values,
		}
	}
	if f.resourceModifier != "" {
		core := corev1.GroupName
		r.Spec.ResourceModifier = &corev1.TypedLocalObjectReference{APIGroup: &core, Kind: policyKind, Name: f.resourceModifier}
	}
	return r, nil
}

func (s *session) createRestore(cmd *cobra.Command, flags restoreFlags, name string) error {
	namespace, err := s.namespace()
	if err != nil {
		return err
	}
	command := commandFor(s.program, namespace)
	switch {
	case flags.fromBackup == "" && flags.fromSchedule == "":
		return fmt.Errorf("--from-backup: Required value: name the backup, or a schedule with --from-schedule; list backups with: %s backup get", command)
	case flags.fromBackup != "" && flags.fromSchedule != "":
		return errors.New("--from-backup and --from-schedule exclude each other; leave one of them out")
	}
	if name == "" {
		name = flags.fromBackup + flags.fromSchedule + "-" + s.clock.Now().Format(nameTime)
	}
	r, err := flags.object(namespace, name)
	if err != nil {
		return err
	}
	c := creation{kind: restores, object: r, flags: flags.createFlags}
	c.said = c.saidRequest
	c.check = func(ctx context.Context, t cluster) error { return flags.checkSource(ctx, t, r) }
	return s.create(cmd, c)
}

// checkSource looks for the backup. With --allow-partially-failed it is chosen
// here, because the server takes completed ones only.
func (f *restoreFlags) checkSource(ctx context.Context, t cluster, r *velerov1.Restore) error {
	if f.fromSchedule == "" {
		return t.mustExist(ctx, backups, f.fromBackup)
	}
	list, err := t.backupsOf(ctx, f.fromSchedule)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("schedule %q has no backups; list backups with: %s backup get", f.fromSchedule, t.command())
	}
	if allow := f.allowPartiallyFailed.value; allow != nil && *allow {
		if newest := newestUsable(list); newest != "" {
			r.Spec.BackupName, r.Spec.ScheduleName = newest, ""
		}
	}
	return nil
}

// newestUsable is the backup that was started last of those that can be restored;
// "" when there is none.
func newestUsable(list []velerov1.Backup) string {
	usable := slices.DeleteFunc(slices.Clone(list), func(b velerov1.Backup) bool {
		return b.Status.StartTimestamp == nil ||
			b.Status.Phase != velerov1.BackupPhaseCompleted && b.Status.Phase != velerov1.BackupPhasePartiallyFailed
	})
	if len(usable) == 0 {
		return ""
	}
	return slices.MaxFunc(usable, func(a, b velerov1.Backup) int {
		return a.Status.StartTimestamp.Compare(b.Status.StartTimestamp.Time)
	}).Name
}
