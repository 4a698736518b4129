// Package controllers is the home of the reconcilers that act on the whole
// cluster, one folder per kind. It has no code of its own: cmd/podkeep registers
// the reconcilers with a manager whose leader is elected through a Lease.
package controllers

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update,namespace=velero
