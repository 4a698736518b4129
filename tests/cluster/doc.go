// Package cluster describes the Kubernetes cluster of one node, or two, that
// podkeep is tested on: which versions it is made of, its addresses, and where
// its files are.
//
// It does nothing by itself. The command cmd/cluster builds, starts and stops
// the cluster; the packages under internal do the work. README.md explains how
// to use it.
package cluster
