// Package backup reconciles Backups: it reads the items of the cluster into an
// archive, has the data of pod volumes moved, and writes everything to object
// storage.
//
// One reconcile is observe → plan → act → report. Only observe and act talk to
// the cluster and to object storage; plan is pure and holds every decision about
// the course of a backup, docs/backup.md its state table. What a server that
// starts anew needs is in the world: conditions of the Backup, its
// PodVolumeBackups, and interim files in the bucket.
//
// It does not move data: that is the work of node agents and movers, which act
// on the PodVolumeBackups made here. Which volumes are taken is decided by
// internal/selection. Formats: velero-facts §1; flow: §2.1, §5, §6.
package backup
