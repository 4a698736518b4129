package main

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

// kind is one kind of object that people name on the command line. It is data:
// what can be done with it is in verbs.go.
type kind struct {
	name    string   // of one object, in sentences
	plural  string   // of several, in sentences
	title   string   // of one object, at the beginning of a sentence
	verb    string   // the command: podkeep <verb> get
	aliases []string // of the command
	about   string   // help of the command

	newObject func() client.Object
	newList   func() client.ObjectList
	table     func(client.ObjectList, describe.TableOptions) string

	// describe reads what belongs to an object. Nil when it has no page.
	describe func(ctx context.Context, d *describing, obj client.Object) (description, error)

	// remove asks for the removal of an object and returns what to say. Nil when
	// nobody but the server removes it.
	remove func(ctx context.Context, t cluster, obj client.Object) (string, error)

	// runs is what goes on for a while, moves volumes and leaves a log. Nil for
	// other kinds.
	runs *runs

	// isDefault reports whether an object is the default of its kind. Nil when there
	// is no default.
	isDefault func(obj client.Object) bool
}

// runs is what the client knows of the course of a backup or restore.
type runs struct {
	volumeList func() client.ObjectList
	volume     runtime.Object
	nameLabel  string // of a volume: the name of the backup or restore
	uidLabel   string
	log        velerov1.DownloadTargetKind
}

// look is the command that shows one object.
func (k kind) look(name string) string {
	if k.describe != nil {
		return k.verb + " describe " + name
	}
	return k.verb + " get " + name
}

var backups = kind{
	name: "backup", plural: "backups", title: "Backup", verb: "backup", aliases: []string{"backups"},
	about:     "Make, look at, cancel and delete backups",
	newObject: func() client.Object { return &velerov1.Backup{} },
	newList:   func() client.ObjectList { return &velerov1.BackupList{} },
	table: tableOf(func(l *velerov1.BackupList, o describe.TableOptions) string {
		return describe.BackupTable(l.Items, o)
	}),
	describe: describeBackup,
	remove:   removeBackup,
	runs: &runs{
		volumeList: func() client.ObjectList { return &velerov1.PodVolumeBackupList{} }, volume: &velerov1.PodVolumeBackup{},
		nameLabel: velerov1.BackupNameLabel, uidLabel: velerov1.BackupUIDLabel, log: velerov1.DownloadTargetKindBackupLog,
	},
}

var restores = kind{
	name: "restore", plural: "restores", title: "Restore", verb: "restore", aliases: []string{"restores"},
	about:     "Make, look at, cancel and delete restores",
	newObject: func() client.Object { return &velerov1.Restore{} },
	newList:   func() client.ObjectList { return &velerov1.RestoreList{} },
	table: tableOf(func(l *velerov1.RestoreList, o describe.TableOptions) string {
		return describe.RestoreTable(l.Items, o)
	}),
	describe: describeRestore,
	remove:   removeRestore,
	runs: &runs{
		volumeList: func() client.ObjectList { return &velerov1.PodVolumeRestoreList{} }, volume: &velerov1.PodVolumeRestore{},
		nameLabel: velerov1.RestoreNameLabel, uidLabel: velerov1.RestoreUIDLabel, log: velerov1.DownloadTargetKindRestoreLog,
	},
}

var schedules = kind{
	name: "schedule", plural: "schedules", title: "Schedule", verb: "schedule", aliases: []string{"schedules"},
	about:     "Make backups at given times",
	newObject: func() client.Object { return &velerov1.Schedule{} },
	newList:   func() client.ObjectList { return &velerov1.ScheduleList{} },
	table: tableOf(func(l *velerov1.ScheduleList, o describe.TableOptions) string {
		return describe.ScheduleTable(l.Items, o)
	}),
	describe: describeSchedule,
	remove:   removeSchedule,
}

var backupLocations = kind{
	name: "backup storage location", plural: "backup storage locations", title: "Backup storage location",
	verb: "backup-location", aliases: []string{"backup-locations", "bsl"},
	about:     "Add, change and look at places where backups are kept",
	newObject: func() client.Object { return &velerov1.BackupStorageLocation{} },
	newList:   func() client.ObjectList { return &velerov1.BackupStorageLocationList{} },
	table: tableOf(func(l *velerov1.BackupStorageLocationList, o describe.TableOptions) string {
		return describe.LocationTable(l.Items, o)
	}),
	remove: removeBackupLocation,
	isDefault: func(obj client.Object) bool {
		l, ok := obj.(*velerov1.BackupStorageLocation)
		return ok && l.Spec.Default
	},
}

var snapshotLocations = kind{
	name: "volume snapshot location", plural: "volume snapshot locations", title: "Volume snapshot location",
	verb: "snapshot-location", aliases: []string{"snapshot-locations", "vsl"},
	about:     "Add, change and look at places where volume snapshots are kept",
	newObject: func() client.Object { return &velerov1.VolumeSnapshotLocation{} },
	newList:   func() client.ObjectList { return &velerov1.VolumeSnapshotLocationList{} },
	table: tableOf(func(l *velerov1.VolumeSnapshotLocationList, o describe.TableOptions) string {
		return describe.SnapshotLocationTable(l.Items, o)
	}),
}

var repositories = kind{
	name: "repository", plural: "repositories", title: "Repository",
	verb: "repo", aliases: []string{"repos", "repository", "repositories"},
	about:     "Look at the repositories that hold volume data",
	newObject: func() client.Object { return &velerov1.BackupRepository{} },
	newList:   func() client.ObjectList { return &velerov1.BackupRepositoryList{} },
	table: tableOf(func(l *velerov1.BackupRepositoryList, o describe.TableOptions) string {
		return describe.RepositoryTable(l.Items, o)
	}),
}

// kinds are all of them, in the order of the help.
func kinds() []kind {
	return []kind{backups, restores, schedules, backupLocations, snapshotLocations, repositories}
}

// tableOf fits a table of one kind into the field of all kinds. newList of the
// same kind made the list, so another type is a mistake in this file.
func tableOf[L client.ObjectList](table func(L, describe.TableOptions) string) func(client.ObjectList, describe.TableOptions) string {
	return func(list client.ObjectList, o describe.TableOptions) string {
		return table(mustBe[L](list), o)
	}
}

// mustBe returns an object as what its kind says that it is.
func mustBe[T any](obj any) T {
	typed, ok := obj.(T)
	if !ok {
		panic(fmt.Sprintf("want %T, have %T", typed, obj))
	}
	return typed
}
