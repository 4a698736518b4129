package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// veleroFlags are flags of Velero's server that arguments of an existing
// installation may have (velero-facts §8.4). Those that mean something here do it;
// the others are accepted, and the log says why they have no effect.
type veleroFlags struct {
	pageSize            int64
	disabled            list
	restoreOnly         bool
	uploaderType        string
	ignored             ignoredFlags
	disabledControllers map[string]bool // from disabled and restoreOnly, once checked
}

// Names of controllers, as --disable-controllers knows them. Those of podkeep alone
// cannot be switched off.
const (
	controllerBackup        = "backup"
	controllerDeletion      = "backup-deletion"
	controllerSync          = "backup-sync"
	controllerDownload      = "download-request"
	controllerGC            = "gc"
	controllerRepository    = "backup-repo"
	controllerRestore       = "restore"
	controllerSchedule      = "schedule"
	controllerServerStatus  = "server-status-request"
	uploaderKopia           = "kopia"
	defaultPageSize         = 500
	restoreOnlyReplacedWith = "--disable-controllers=backup,backup-deletion,gc,schedule"
)

// velerosOnly are controllers of Velero whose work another one does here.
var velerosOnly = map[string]string{
	"backup-queue":       "the queue belongs to the controller backup",
	"backup-operations":  "podkeep has no asynchronous operations",
	"backup-finalizer":   "the controller backup ends backups",
	"restore-operations": "podkeep has no asynchronous operations",
	"restore-finalizer":  "the controller restore ends restores",
}

// ofRestoreOnly are what --restore-only switches off.
func ofRestoreOnly() []string {
	return []string{controllerBackup, controllerDeletion, controllerGC, controllerSchedule}
}

func controllersOfServer() []string {
	return []string{
		controllerBackup, controllerDeletion, controllerSync, controllerDownload, controllerGC, controllerRepository,
		controllerRestore, controllerSchedule, controllerServerStatus,
	}
}

func (f *veleroFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Int64Var(&f.pageSize, "client-page-size", defaultPageSize, "how many items a backup asks the API server for at once, at most")
	f.disabled.bind(fs, "disable-controllers", "controllers that do not run: "+strings.Join(controllersOfServer(), ", "))
	fs.BoolVar(&f.restoreOnly, "restore-only", false, "the same as "+restoreOnlyReplacedWith)
	fs.StringVar(&f.uploaderType, "uploader-type", uploaderKopia, "what moves data; "+uploaderKopia+" is the only one")
	const noPlugins, noSnapshots, noOperations = "podkeep has no plugins", "podkeep takes no volume snapshots", "podkeep has no asynchronous operations"
	const inConfigMap = "it is set in the ConfigMap of --repo-maintenance-job-configmap"
	f.ignored.bind(cmd, map[string]string{
		"plugin-dir":                        noPlugins,
		"volume-group-snapshot-label-key":   noSnapshots,
		"default-volume-snapshot-locations": noSnapshots,
		"default-snapshot-move-data":        noSnapshots,
		"item-operation-sync-frequency":     noOperations,
		"max-concurrent-k8s-connections":    "--client-qps and --client-burst bound the requests",
		"disable-informer-cache":            "restores read what exists from the API server, without a cache",
		"item-block-worker-count":           "volumes are found page by page, and moved by all nodes at once",
		"keep-latest-maintenance-jobs":      inConfigMap,
		"maintenance-job-cpu-request":       inConfigMap,
		"maintenance-job-mem-request":       inConfigMap,
		"maintenance-job-cpu-limit":         inConfigMap,
		"maintenance-job-mem-limit":         inConfigMap,
	})
}

// check reads the flags, and returns what the log should say of them.
func (f *veleroFlags) check() ([]string, error) {
	if f.uploaderType != uploaderKopia {
		return nil, fmt.Errorf("--uploader-type: Unsupported value: %q: supported values: %s", f.uploaderType, uploaderKopia)
	}
	if f.pageSize < 0 {
		return nil, fmt.Errorf("--client-page-size: Invalid value: %d: must not be negative", f.pageSize)
	}
	var notes []string
	if f.pageSize == 0 {
		notes = append(notes, fmt.Sprintf("--client-page-size=0: lists always have pages, which bounds memory; they have %d items", defaultPageSize))
	}
	f.disabledControllers = map[string]bool{}
	names := slices.Clone(f.disabled.values)
	if f.restoreOnly {
		names = append(names, ofRestoreOnly()...)
		notes = append(notes, "--restore-only: use "+restoreOnlyReplacedWith)
	}
	for _, name := range names {
		why, isVeleros := velerosOnly[name]
		switch {
		case isVeleros:
			notes = append(notes, "--disable-controllers="+name+": "+why)
		case slices.Contains(controllersOfServer(), name):
			f.disabledControllers[name] = true
		default:
			return nil, fmt.Errorf("--disable-controllers: Unsupported value: %q: supported values: %s", name, strings.Join(controllersOfServer(), ", "))
		}
	}
	return append(notes, f.ignored.notes()...), nil
}

// setUp adds a controller, unless it is switched off.
func (f *veleroFlags) setUp(mgr ctrl.Manager, name string, setup func(manager.Manager) error) error {
	if f.disabledControllers[name] {
		ctrl.Log.Info("Leaving out controller", "controller", name, "reason", "--disable-controllers")
		return nil
	}
	return setup(mgr)
}

// ignoredFlags are accepted and have no effect.
type ignoredFlags struct {
	cmd     *cobra.Command
	reasons map[string]string
}

// bind adds the flags, hidden. They take any value, also none: some are switches.
func (f *ignoredFlags) bind(cmd *cobra.Command, reasons map[string]string) {
	f.cmd, f.reasons = cmd, reasons
	fs := cmd.Flags()
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		fs.String(name, "", "accepted for the sake of existing installations and ignored: "+reasons[name])
		fs.Lookup(name).Hidden = true
		if isSwitch[name] {
			fs.Lookup(name).NoOptDefVal = "true"
		}
	}
}

// isSwitch are the ignored flags that are given without a value.
var isSwitch = map[string]bool{"default-snapshot-move-data": true, "disable-informer-cache": true}

// notes say which of the flags were given, and why they have no effect.
func (f *ignoredFlags) notes() []string {
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(f.reasons)) {
		if f.cmd.Flags().Changed(name) {
			notes = append(notes, "--"+name+" is ignored: "+f.reasons[name])
		}
	}
	return notes
}
