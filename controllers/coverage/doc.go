// Package coverage measures which volumes of the cluster are protected, as metrics
// per namespace.
//
// It decides nothing: internal/coverage does, from what this package keeps of pods,
// claims, persistent volumes and namespaces (store.go: some hundred bytes each) and
// from the caches of podkeep's own kinds. The metrics are replaced as a whole, so
// that no scrape sees half of them, and namespaces that are gone have none. Verdicts
// and reasons are those of "podkeep coverage"; the table is in docs/coverage.md.
package coverage
