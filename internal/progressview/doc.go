// Package progressview shows a backup or restore that goes on: as a frame of
// progress bars that is drawn over itself on a terminal, or as plain lines that
// say only what has changed.
//
// It is pure: it is given states and times and returns lines and bytes; it reads
// no cluster, no clock and no terminal. The client's --wait feeds it.
package progressview
