package serverstatus

import (
	"cmp"
	"slices"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

// Kinds of plugins, as Velero calls them.
const (
	kindBackupItemAction  = "BackupItemAction"
	kindItemBlockAction   = "ItemBlockAction"
	kindObjectStore       = "ObjectStore"
	kindRestoreItemAction = "RestoreItemAction"
)

// builtIn is what podkeep does to items and where it stores, under the names that
// Velero's actions with the same effect have (velero-facts §11.6). It has no
// plugins that could be added or removed; the list tells people, and scripts that
// look for an action before they rely on it. Actions for snapshots and data
// movement are not in it, because podkeep does neither.
var builtIn = map[string][]string{
	kindBackupItemAction: {"velero.io/crd-remap-version", "velero.io/pod", "velero.io/pv", "velero.io/service-account"},
	kindItemBlockAction:  {"velero.io/pod", "velero.io/pvc", "velero.io/service-account"},
	kindObjectStore:      {location.ProviderAWS, location.ProviderFilesystem},
	kindRestoreItemAction: {
		"velero.io/add-pvc-from-pod", "velero.io/admission-webhook-configuration", "velero.io/apiservice", "velero.io/change-image-name",
		"velero.io/change-storage-class", "velero.io/cluster-role-bindings", "velero.io/crd-preserve-fields", "velero.io/init-restore-hook",
		"velero.io/job", "velero.io/pod", "velero.io/pod-volume-restore", "velero.io/pvc", "velero.io/role-bindings", "velero.io/secret",
		"velero.io/service", "velero.io/service-account",
	},
}

// plugins is the list in the order of kinds and names.
func plugins() []velerov1.PluginInfo {
	var list []velerov1.PluginInfo
	for kind, names := range builtIn {
		for _, name := range names {
			list = append(list, velerov1.PluginInfo{Name: name, Kind: kind})
		}
	}
	slices.SortFunc(list, func(a, b velerov1.PluginInfo) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return list
}
