// Package movertest helps to test movers and what runs them: trees with all that
// a file system can hold, their comparison, repositories in a directory, a
// contract for sources, and plain kopia as the yardstick.
//
// It is for tests and benchmarks only; no component imports it.
package movertest
