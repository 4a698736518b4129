// Package deletion reconciles DeleteBackupRequests: it removes a backup with all
// its data.
//
// One reconcile is observe → plan → act → report. plan is pure and holds every
// decision; every action can be repeated, and the conditions of the request say
// which are done. What is removed in which order, so that half a backup is never
// taken for a whole one, and the state table are in docs/deletion.md. The space
// that snapshots took is freed later, by maintenance (controllers/repository).
package deletion
