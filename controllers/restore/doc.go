// Package restore brings the objects and volumes of a backup into the cluster.
//
// The Reconciler reads the archive, creates its objects in order, gives every
// pod with data a gate (by the webhook) and one PodVolumeRestore per volume, waits
// for these, and records what came of it in the bucket. It moves no data itself:
// node agents do. Which objects are restored in which form is decided in the
// package items; the steps are in plan.go and docs/restore.md.
//
// All state is in the API: items are created idempotently, so a server that was
// stopped anywhere goes on from what is there.
package restore
