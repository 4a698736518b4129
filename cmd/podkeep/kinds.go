package main

import (
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

// kind is one kind of object that people name on the command line.
type kind struct {
	name    string   // of one object, in sentences
	plural  string   // of several, in sentences
	verb    string   // the command: podkeep <verb> get
	aliases []string // of the command
	verbs   []string // what can be done besides get

	newObject func() client.Object
	newList   func() client.ObjectList
	table     func(client.ObjectList, describe.TableOptions) string
}

// look is the command that shows one object.
func (k kind) look(name string) string {
	for _, v := range k.verbs {
		if v == verbDescribe {
			return k.verb + " describe " + name
		}
	}
	return k.verb + " get " + name
}

const verbDescribe = "describe"

var backups = kind{
	name: "backup", plural: "backups", verb: "backup", aliases: []string{"backups"}, verbs: []string{verbDescribe},
	newObject: func() client.Object { return &velerov1.Backup{} },
	newList:   func() client.ObjectList { return &velerov1.BackupList{} },
	table: tableOf(func(l *velerov1.BackupList, o describe.TableOptions) string {
		return describe.BackupTable(l.Items, o)
	}),
}

var restores = kind{
	name: "restore", plural: "restores", verb: "restore", aliases: []string{"restores"}, verbs: []string{verbDescribe},
	newObject: func() client.Object { return &velerov1.Restore{} },
	newList:   func() client.ObjectList { return &velerov1.RestoreList{} },
	table: tableOf(func(l *velerov1.RestoreList, o describe.TableOptions) string {
		return describe.RestoreTable(l.Items, o)
	}),
}

var backupLocations = kind{
	name: "backup storage location", plural: "backup storage locations",
	verb: "backup-location", aliases: []string{"backup-locations", "bsl"},
	newObject: func() client.Object { return &velerov1.BackupStorageLocation{} },
	newList:   func() client.ObjectList { return &velerov1.BackupStorageLocationList{} },
	table: tableOf(func(l *velerov1.BackupStorageLocationList, o describe.TableOptions) string {
		return describe.LocationTable(l.Items, o)
	}),
}

var repositories = kind{
	name: "repository", plural: "repositories", verb: "repo", aliases: []string{"repos", "repository", "repositories"},
	newObject: func() client.Object { return &velerov1.BackupRepository{} },
	newList:   func() client.ObjectList { return &velerov1.BackupRepositoryList{} },
	table: tableOf(func(l *velerov1.BackupRepositoryList, o describe.TableOptions) string {
		return describe.RepositoryTable(l.Items, o)
	}),
}

// tableOf fits a table of one kind into the field of all kinds. newList of the
// same kind made the list, so another type is a mistake in this file.
func tableOf[L client.ObjectList](table func(L, describe.TableOptions) string) func(client.ObjectList, describe.TableOptions) string {
	return func(list client.ObjectList, o describe.TableOptions) string {
		typed, ok := list.(L)
		if !ok {
			panic(fmt.Sprintf("table of %T asked for %T", typed, list))
		}
		return table(typed, o)
	}
}
