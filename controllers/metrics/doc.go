// Package metrics tells Prometheus what becomes of backups, restores, deletions and
// maintenance, under Velero's names (velero-facts §9.1).
//
// It watches objects and changes nothing. What can be said of the objects as they
// are (how many there are, when the last one succeeded) is said at each scrape, so
// a restart of the server loses none of it; what can only be counted when it
// happens (attempts, failures, durations) is counted from the changes of objects
// (changes.go, pure). No reconciler knows of it. The list of metrics is in
// docs/metrics.md.
package metrics
