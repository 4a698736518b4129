// Package coverage says of every volume of a cluster whether it is protected: by
// which backups, how old the last one is, and if not, why not.
//
// It is pure. Callers gather the facts (Facts), as "podkeep coverage" does with the
// rights of its user and controllers/coverage from caches, and get one Row per claim
// and per volume of a pod that could hold data. Which volumes a schedule takes is
// decided as its backups decide it, by internal/filter, internal/resourcepolicy and
// internal/selection. It reads no bucket: what is known of backups is in the
// objects of the cluster. The verdicts and reasons are documented, each with what
// to do about it, in docs/coverage.md.
package coverage
