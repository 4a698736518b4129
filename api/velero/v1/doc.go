// Package v1 holds the Go types of the velero.io/v1 API group.
//
// Kinds, fields, types, enums and printer columns are those of Velero 1.18, so
// that every client of that API keeps working; conformance_test.go compares the
// two. What podkeep adds is additive only: conditions and counters in status.
// None of the custom resources has a status subresource: status is written
// through the object itself, and a Backup that is synchronized from a bucket is
// created with its status in place.
//
// The package also owns every label, annotation, finalizer, condition type and
// reason that podkeep writes (keys.go, hook_keys.go, podkeep_keys.go,
// reasons.go) and the one definition of "finished" per kind (IsFinished).
//
// It decides nothing and talks to nobody: it imports k8s.io/api and
// k8s.io/apimachinery only.
//
// +kubebuilder:object:generate=true
// +groupName=velero.io
package v1
