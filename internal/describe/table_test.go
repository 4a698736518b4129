package describe

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func named(name string) func(*velerov1.Backup) {
	return func(b *velerov1.Backup) { b.Name = name }
}

func backupsForTable() []velerov1.Backup {
	return []velerov1.Backup{
		*completedBackup(named("shop-20261121000000")),
		*completedBackup(named("shop-20261122000000"), partiallyFailed),
		*completedBackup(named("new"), func(b *velerov1.Backup) { b.Status = velerov1.BackupStatus{} }),
		*completedBackup(named("deleting"), func(b *velerov1.Backup) { b.DeletionTimestamp = at(0) }),
		*completedBackup(named("queued"), func(b *velerov1.Backup) {
			b.Status = velerov1.BackupStatus{Phase: velerov1.BackupPhaseQueued, QueuePosition: 2}
			b.Spec.TTL = metav1.Duration{}
		}),
		*completedBackup(named("expired"), everyField, func(b *velerov1.Backup) { b.Status.Expiration = at(-3 * 86400) }),
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	plain := TableOptions{Now: start.Add(time.Hour)}
	labels := TableOptions{Now: plain.Now, LabelColumns: []string{"velero.io/storage-location", "team"}, ShowLabels: true}
	location := velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: "aws", Default: true,
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{Bucket: "b", Prefix: "p"}},
		},
		Status: velerov1.BackupStorageLocationStatus{Phase: velerov1.BackupStorageLocationPhaseAvailable, LastValidationTime: at(0)},
	}
	folder := velerov1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Name: "archive"},
		Spec:       velerov1.BackupStorageLocationSpec{Provider: "filesystem", AccessMode: velerov1.BackupStorageLocationAccessModeReadOnly},
	}
	repository := velerov1.BackupRepository{ObjectMeta: metav1.ObjectMeta{Name: "shop-default-kopia"}}
	maintained := velerov1.BackupRepository{
		ObjectMeta: metav1.ObjectMeta{Name: "db-default-kopia"},
		Status:     velerov1.BackupRepositoryStatus{Phase: velerov1.BackupRepositoryPhaseReady, LastMaintenanceTime: at(0)},
	}
	tables := map[string]string{
		"table-backups.txt":        BackupTable(backupsForTable(), plain),
		"table-backups-labels.txt": BackupTable(backupsForTable(), labels),
		"table-restores.txt":       RestoreTable([]velerov1.Restore{*completedRestore(), *completedRestore(func(r *velerov1.Restore) { r.Name, r.Status = "new", velerov1.RestoreStatus{} })}, plain),
		"table-locations.txt":      LocationTable([]velerov1.BackupStorageLocation{location, folder}, plain),
		"table-schedules.txt":      ScheduleTable([]velerov1.Schedule{*schedule(), {ObjectMeta: metav1.ObjectMeta{Name: "new"}, Spec: velerov1.ScheduleSpec{Schedule: "@daily", Paused: true}}}, plain),
		"table-snapshots.txt":      SnapshotLocationTable([]velerov1.VolumeSnapshotLocation{{ObjectMeta: metav1.ObjectMeta{Name: "ebs"}, Spec: velerov1.VolumeSnapshotLocationSpec{Provider: "aws"}}}, plain),
		"table-plugins.txt":        PluginTable([]velerov1.PluginInfo{{Name: "velero.io/pod", Kind: "RestoreItemAction"}, {Name: "velero.io/aws", Kind: "ObjectStore"}, {Name: "velero.io/job", Kind: "RestoreItemAction"}}),
		"table-repositories.txt":   RepositoryTable([]velerov1.BackupRepository{repository, maintained}, plain),
	}
	for file, got := range tables {
		t.Run(file, func(t *testing.T) {
			t.Parallel()

			expectGolden(t, file, got)
		})
	}
}

func TestTableWithoutRowsIsEmpty(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(BackupTable(nil, TableOptions{})).To(BeEmpty())
}
