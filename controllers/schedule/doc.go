// Package schedule reconciles Schedules: it makes a Backup whenever one is due.
//
// One reconcile is observe → plan → act → report. plan is pure and holds every
// decision; when a backup is due, and what it is made of, is internal/schedules'.
// A backup's name is derived from when it was due, so that a server that dies
// between making it and writing that down does not make a second one. What becomes
// of the backup is controllers/backup's business. State table: docs/schedule.md.
package schedule
