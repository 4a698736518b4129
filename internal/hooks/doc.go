// Package hooks reads which commands are to be run in a pod around its backup and
// after its restore, and which init containers a restored pod gets.
//
// It is pure: pods and specs in, hooks out. What cannot be read is never dropped:
// it is a Problem that names the annotation or field, its value and what is
// allowed, or a Hook that says why it cannot run. It runs nothing (internal/podexec
// does) and decides nothing about when (controllers/backup and controllers/restore
// do); Record is how these two remember in the cluster what has been run.
//
// Keys, defaults and precedence are Velero's (velero-facts §3.4); where podkeep
// differs, docs/hooks.md says so.
package hooks
