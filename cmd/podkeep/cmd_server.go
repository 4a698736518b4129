package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/controllers/backup"
	"github.com/podkeep/podkeep/controllers/gate"
	"github.com/podkeep/podkeep/controllers/location"
	repositorycontroller "github.com/podkeep/podkeep/controllers/repository"
	"github.com/podkeep/podkeep/controllers/restore"
	"github.com/podkeep/podkeep/controllers/restore/items"
	"github.com/podkeep/podkeep/controllers/watchdog"
	"github.com/podkeep/podkeep/internal/gatedpods"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/podexec"
	"github.com/podkeep/podkeep/mover/repository"
)

type serverFlags struct {
	roleFlags
	scratchDir          string
	credentialsFile     string
	defaultToFSB        bool
	defaultLocation     string
	defaultTTL          time.Duration
	fsBackupTimeout     time.Duration
	storageTimeout      time.Duration
	terminatingTimeout  time.Duration
	validationFrequency time.Duration
	concurrentBackups   int
	gcFrequency         time.Duration
	skipImmediately     bool
	maintainFrequency   time.Duration
	repositoryConfigMap string
	maintainConfigMap   string
	resourceTimeout     time.Duration
	operationTimeout    time.Duration
	restorePriorities   string
	bucketFlags
}

func newServerCommand(env func(string) string) *cobra.Command {
	var flags serverFlags
	cmd := &cobra.Command{
		Use:    "server",
		Hidden: true,
		Short:  "Run the controllers of the whole cluster",
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return runServer(cmd.Context(), flags) },
	}
	flags.bind(cmd, env)
	return cmd
}

func (f *serverFlags) bind(cmd *cobra.Command, env func(string) string) {
	f.roleFlags.bind(cmd, env)
	fs := cmd.Flags()
	fs.StringVar(&f.scratchDir, "scratch-dir", "/scratch", "folder for archives and logs while they are worked on")
	fs.StringVar(&f.credentialsFile, "credentials-file", "/credentials/cloud", "storage credentials of locations that name none")
	fs.BoolVar(&f.defaultToFSB, "default-volumes-to-fs-backup", false, "back up all volumes of pods that have no other policy")
	fs.StringVar(&f.defaultLocation, "default-backup-storage-location", "default", "location of backups that name none, when none is marked as the default")
	fs.DurationVar(&f.defaultTTL, "default-backup-ttl", 720*time.Hour, "how long backups are kept that do not say it")
	fs.DurationVar(&f.fsBackupTimeout, "fs-backup-timeout", 4*time.Hour, "time for the volumes of a backup or restore")
	fs.DurationVar(&f.storageTimeout, "storage-timeout", 5*time.Minute, "how long object storage may fail before a backup, restore or deletion does")
	fs.DurationVar(&f.terminatingTimeout, "terminating-resource-timeout", 10*time.Minute, "how long a restore waits for a namespace that is being deleted")
	fs.IntVar(&f.concurrentBackups, "concurrent-backups", 1, "how many backups run at the same time; those that share a namespace never do")
	fs.DurationVar(&f.resourceTimeout, "resource-timeout", 10*time.Minute, "how long a restore waits until kinds that it has defined are served")
	fs.DurationVar(&f.operationTimeout, "default-item-operation-timeout", 4*time.Hour, "item operation timeout of backups and restores that do not say it")
	fs.StringVar(&f.restorePriorities, "restore-resource-priorities", items.DefaultPriorities().String(),
		"order of resources in a restore: those that come first, then - and those that come last; all others between them by name")
	fs.DurationVar(&f.validationFrequency, "store-validation-frequency", time.Minute, "how often storage locations are checked that do not say it")
	fs.DurationVar(&f.gcFrequency, "garbage-collection-frequency", 0, "how often an expired backup that cannot be removed is tried again (default 1h)")
	fs.BoolVar(&f.skipImmediately, "schedule-skip-immediately", false, "new schedules that do not say it leave out a backup that is due at once")
	fs.DurationVar(&f.maintainFrequency, "default-repo-maintain-frequency", 0, "how often new repositories are maintained (default 1h)")
	fs.StringVar(&f.repositoryConfigMap, "backup-repository-configmap", "", "name of the ConfigMap with the configuration of new repositories")
	fs.StringVar(&f.maintainConfigMap, "repo-maintenance-job-configmap", "", "name of the ConfigMap with the settings of maintenance Jobs")
	f.bucketFlags.bind(cmd)
}

func runServer(ctx context.Context, flags serverFlags) error {
	if err := flags.validate(); err != nil {
		return err
	}
	if flags.concurrentBackups < 1 {
		return fmt.Errorf("--concurrent-backups: Invalid value: %d: must be at least 1", flags.concurrentBackups)
	}
	priorities, err := items.ParsePriorities(flags.restorePriorities)
	if err != nil {
		return fmt.Errorf("--restore-resource-priorities: %w", err)
	}
	mgr, err := flags.newManager(managerOptions{
		cache: cache.Options{DefaultNamespaces: map[string]cache.Config{flags.namespace: {}}, DefaultTransform: cache.TransformStripManagedFields()},
		// The server reads all of the cluster while it backs up. It must not keep it.
		uncached: []client.Object{
			&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.Pod{}, &corev1.Namespace{},
			&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}, &corev1.Node{},
		},
		leaderName: "podkeep-server",
	})
	if err != nil {
		return err
	}
	if err := addControllers(mgr, flags, priorities); err != nil {
		return err
	}
	return start(ctx, mgr)
}

func addControllers(mgr ctrl.Manager, flags serverFlags, priorities items.Priorities) error {
	access := &locationaccess.Resolver{
		Client: mgr.GetAPIReader(), Namespace: flags.namespace,
		CredentialsDir: filepath.Join(flags.scratchDir, "credentials"), DefaultCredentialsFile: flags.credentialsFile,
	}
	dyn, err := dynamic.NewForConfig(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("making the dynamic client: %w", err)
	}
	disc, err := discovery.NewDiscoveryClientForConfig(mgr.GetConfig())
	if err != nil {
		return fmt.Errorf("making the discovery client: %w", err)
	}
	commands, err := podexec.New(mgr.GetConfig())
	if err != nil {
		return err
	}
	c, clk, ns := mgr.GetClient(), clock.RealClock{}, flags.namespace
	gated, err := gatedpods.New(mgr, ns)
	if err != nil {
		return err
	}
	return errors.Join(
		(&location.Reconciler{Client: c, Clock: clk, Namespace: ns, Access: access, DefaultValidationFrequency: &flags.validationFrequency}).SetupWithManager(mgr),
		(&repositorycontroller.Reconciler{
			Client: c, Clock: clk, Namespace: ns, Access: access, ScratchDir: flags.scratchDir,
			Ensure: repository.Ensure, EnsureReason: repository.Reason,
			Reader: mgr.GetAPIReader(), ConfigMap: flags.repositoryConfigMap, MaintenanceFrequency: flags.maintainFrequency,
		}).SetupWithManager(mgr),
		(&backup.Reconciler{
			Client: c, Reader: mgr.GetAPIReader(), Dynamic: dyn, Discovery: disc, Commands: commands, Locations: access, Clock: clk,
			Recorder: mgr.GetEventRecorder("podkeep"), Namespace: ns,
			Options: backup.Options{
				ScratchDir: flags.scratchDir, DefaultLocation: flags.defaultLocation, DefaultVolumesToFSBackup: flags.defaultToFSB,
				DefaultTTL: flags.defaultTTL, FSBackupTimeout: flags.fsBackupTimeout, StorageTimeout: flags.storageTimeout,
				ConcurrentBackups: flags.concurrentBackups,
			},
		}).SetupWithManager(mgr),
		(&restore.Reconciler{
			Client: c, Reader: mgr.GetAPIReader(), Discovery: disc, Commands: commands, Pods: gated, Locations: access, Clock: clk, Namespace: ns,
			Options: restore.Options{
				ScratchDir: flags.scratchDir, FSBackupTimeout: flags.fsBackupTimeout, StorageTimeout: flags.storageTimeout,
				TerminatingTimeout: flags.terminatingTimeout, ResourceTimeout: flags.resourceTimeout,
				ItemOperationTimeout: flags.operationTimeout, Priorities: &priorities,
			},
		}).SetupWithManager(mgr),
		(&gate.Reconciler{
			Client: c, Reader: mgr.GetAPIReader(), Pods: gated, Clock: clk, Recorder: mgr.GetEventRecorder("podkeep"), Namespace: ns,
		}).SetupWithManager(mgr),
		(&watchdog.Reconciler{
			Client: c, Reader: mgr.GetAPIReader(), Clock: clk, Recorder: mgr.GetEventRecorder("podkeep"), Namespace: ns, ServerDefault: flags.defaultToFSB,
		}).SetupWithManager(mgr),
		addLifecycleControllers(mgr, flags, access),
		addBucketControllers(mgr, flags, access),
	)
}
