// Package maintenance keeps the repositories of BackupRepositories small and fast:
// it runs a Job for each of them from time to time, and writes down what came of
// it.
//
// One reconcile is observe → plan → act → report; plan is pure and holds every
// decision. What maintenance does is mover/repository's business. State table:
// docs/backup-repository.md. Whether a repository can be used at all is decided by
// the package above, on other fields of the same objects.
package maintenance
