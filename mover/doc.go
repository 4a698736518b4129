// Package mover moves the bytes of one pod volume: it takes a kopia snapshot of
// a directory or writes one back; or it maintains a repository. It is the only
// importer of kopia.
//
// A mover process gets one wire.Task, prints wire.Message lines, writes its
// wire.Result as the termination message and ends with an exit code of
// internal/wire. It talks to no API server. Snapshots carry Velero's source,
// tags and pins (velero-facts §4.9), so that Velero and the kopia client can
// restore them.
//
// What it decides differently from Velero: one unreadable file does not end the
// backup, attributes that cannot be restored are counted, .kopiaignore files and
// cache tags in a volume exclude nothing, and no policy is written for a source.
package mover
