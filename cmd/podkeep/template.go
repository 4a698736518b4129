package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// policyKind is the kind of a reference to policies, as Velero's client writes it.
const policyKind = "configmap"

// templateFlags say what a backup contains and where it goes, on the command lines
// of backups and of schedules.
type templateFlags struct {
	includeNamespaces, excludeNamespaces                         list
	includeResources, excludeResources                           list
	includeClusterScopedResources, excludeClusterScopedResources list
	includeNamespaceResources, excludeNamespaceResources         list
	includeClusterResources                                      optionalBool
	selector                                                     labelSelector
	orSelector                                                   orLabelSelector
	orderedResources                                             string

	storageLocation      string
	snapshotLocations    []string
	ttl                  time.Duration
	fsBackup             optionalBool
	snapshotVolumes      optionalBool
	snapshotMoveData     optionalBool
	dataMover            string
	csiSnapshotTimeout   time.Duration
	itemOperationTimeout time.Duration
	policies             string
	parallelFiles        int
}

func (f *templateFlags) bind(s *session, cmd *cobra.Command) {
	f.bindTo(cmd.Flags())
	for _, flag := range []string{"include-namespaces", "exclude-namespaces"} {
		s.completeFlag(cmd, flag, s.completeNamespaces())
	}
	s.completeFlag(cmd, "storage-location", s.completeNames(backupLocations))
	s.completeFlag(cmd, "volume-snapshot-locations", s.completeNames(snapshotLocations))
	s.completeFlag(cmd, "resource-policies-configmap", s.completeConfigMaps())
}

func (f *templateFlags) bindTo(fs *pflag.FlagSet) {
	f.bindFilters(fs)
	fs.StringVar(&f.storageLocation, "storage-location", "", "where to keep the backup (default: the default location)")
	fs.StringSliceVar(&f.snapshotLocations, "volume-snapshot-locations", nil, "where to keep volume snapshots, at most one location per provider")
	fs.DurationVar(&f.ttl, "ttl", 0, "how long to keep the backup, for example 168h (default: what the server says)")
	f.fsBackup.bind(fs, "default-volumes-to-fs-backup",
		"take all volumes of pods, or none with =false, unless a pod's annotations say otherwise (default: what namespaces and server say)")
	f.snapshotVolumes.bind(fs, "snapshot-volumes", "take snapshots of persistent volumes that file system backup does not take")
	f.snapshotMoveData.bind(fs, "snapshot-move-data", "copy the data of snapshots to the storage location")
	fs.StringVar(&f.dataMover, "data-mover", "", "what copies the data of snapshots (default: the built-in one)")
	fs.DurationVar(&f.csiSnapshotTimeout, "csi-snapshot-timeout", 0, "how long to wait for a CSI snapshot (default: 10m)")
	fs.DurationVar(&f.itemOperationTimeout, "item-operation-timeout", 0, "how long to wait for asynchronous operations (default: what the server says)")
	fs.StringVar(&f.policies, "resource-policies-configmap", "", "ConfigMap with policies for volumes and resources")
	fs.IntVar(&f.parallelFiles, "parallel-files-upload", 0, "how many files of a volume to read at the same time (default: the mover chooses)")
}

func (f *templateFlags) bindFilters(fs *pflag.FlagSet) {
	f.includeNamespaces.bind(fs, "include-namespaces", "namespaces to back up; * means all", "*")
	f.excludeNamespaces.bind(fs, "exclude-namespaces", "namespaces to leave out")
	f.includeResources.bind(fs, "include-resources", "resources to back up, such as deployments.apps; * means all")
	f.excludeResources.bind(fs, "exclude-resources", "resources to leave out")
	f.includeClusterResources.bind(fs, "include-cluster-resources", "back up cluster-scoped resources, or none with =false (default: those that are needed)")
	f.includeClusterScopedResources.bind(fs, "include-cluster-scoped-resources", "cluster-scoped resources to back up; * means all")
	f.excludeClusterScopedResources.bind(fs, "exclude-cluster-scoped-resources", "cluster-scoped resources to leave out; * means all")
	f.includeNamespaceResources.bind(fs, "include-namespace-scoped-resources", "namespaced resources to back up; * means all")
	f.excludeNamespaceResources.bind(fs, "exclude-namespace-scoped-resources", "namespaced resources to leave out; * means all")
	fs.VarP(&f.selector, "selector", "l", "only items whose labels match, for example app=shop")
	fs.Var(&f.orSelector, "or-selector", "only items that match one of several selectors, for example 'app=shop or app=db'")
	fs.StringVar(&f.orderedResources, "ordered-resources", "",
		"items to back up first, in this order, for example 'pods=shop/db-0,shop/db-1;persistentvolumes=pv-1'")
}

func (f *templateFlags) check() error {
	return errors.Join(
		checkIncludes("namespaces", f.includeNamespaces.values, f.excludeNamespaces.values),
		checkIncludes("resources", f.includeResources.values, f.excludeResources.values),
		checkSelectors(f.selector, f.orSelector),
		f.checkStyle(),
		checkNotNegative("ttl", int64(f.ttl)),
		checkNotNegative("csi-snapshot-timeout", int64(f.csiSnapshotTimeout)),
		checkNotNegative("item-operation-timeout", int64(f.itemOperationTimeout)),
		checkNotNegative("parallel-files-upload", int64(f.parallelFiles)),
	)
}

// checkStyle refuses both styles of resource filters together.
func (f *templateFlags) checkStyle() error {
	old := len(f.includeResources.values)+len(f.excludeResources.values) > 0 || f.includeClusterResources.value != nil
	scoped := len(f.includeClusterScopedResources.values)+len(f.excludeClusterScopedResources.values)+
		len(f.includeNamespaceResources.values)+len(f.excludeNamespaceResources.values) > 0
	if old && scoped {
		return errors.New("--include-resources, --exclude-resources and --include-cluster-resources cannot be used together with " +
			"--(include|exclude)-(cluster|namespace)-scoped-resources; leave one group out")
	}
	return nil
}

// spec turns flags into a spec, or says which flag is wrong.
func (f *templateFlags) spec() (velerov1.BackupSpec, error) {
	ordered, err := parseOrdered(f.orderedResources)
	if err := errors.Join(err, f.check()); err != nil {
		return velerov1.BackupSpec{}, err
	}
	s := velerov1.BackupSpec{
		IncludedNamespaces: f.includeNamespaces.values, ExcludedNamespaces: f.excludeNamespaces.values,
		IncludedResources: f.includeResources.values, ExcludedResources: f.excludeResources.values,
		IncludedClusterScopedResources:   f.includeClusterScopedResources.values,
		ExcludedClusterScopedResources:   f.excludeClusterScopedResources.values,
		IncludedNamespaceScopedResources: f.includeNamespaceResources.values,
		ExcludedNamespaceScopedResources: f.excludeNamespaceResources.values,
		IncludeClusterResources:          f.includeClusterResources.value,
		LabelSelector:                    f.selector.value,
		OrLabelSelectors:                 f.orSelector.values,
		OrderedResources:                 ordered,
		StorageLocation:                  f.storageLocation,
		VolumeSnapshotLocations:          f.snapshotLocations,
		TTL:                              metav1.Duration{Duration: f.ttl},
		DefaultVolumesToFsBackup:         f.fsBackup.value,
		SnapshotVolumes:                  f.snapshotVolumes.value,
		SnapshotMoveData:                 f.snapshotMoveData.value,
		DataMover:                        f.dataMover,
		CSISnapshotTimeout:               metav1.Duration{Duration: f.csiSnapshotTimeout},
		ItemOperationTimeout:             metav1.Duration{Duration: f.itemOperationTimeout},
	}
	if f.policies != "" {
		s.ResourcePolicy = &corev1.TypedLocalObjectReference{Kind: policyKind, Name: f.policies}
	}
	if f.parallelFiles > 0 {
		s.UploaderConfig = &velerov1.UploaderConfigForBackup{ParallelFilesUpload: f.parallelFiles}
	}
	return s, nil
}

// parseOrdered reads "pods=ns/a,ns/b;persistentvolumes=x".
func parseOrdered(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	m := map[string]string{}
	for entry := range strings.SplitSeq(text, ";") {
		resource, items, ok := strings.Cut(entry, "=")
		resource, items = strings.TrimSpace(resource), strings.TrimSpace(items)
		if !ok || resource == "" || items == "" || strings.Contains(items, "=") {
			return nil, fmt.Errorf("--ordered-resources: Invalid value: %q: must be resource=item,item", entry)
		}
		m[resource] = items
	}
	return m, nil
}

// completeConfigMaps completes names of ConfigMaps of the installation.
func (s *session) completeConfigMaps() completer {
	return s.completer(func() client.ObjectList { return &corev1.ConfigMapList{} }, inInstallation)
}
