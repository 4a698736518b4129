// Command bench measures podkeep against its budgets and prints one table.
//
// It measures whole journeys on the test cluster, the data path of a mover
// beside plain kopia on the same data and storage, the idle memory of the
// components, the restore gate, admission under load, and many objects, nodes and
// volumes.
// docs/benchmarks.md says how and why.
//
// A missed budget is printed and is no failure: machines differ. The exit code
// is 1 only when something could not be measured. Nothing is kept.
package main
