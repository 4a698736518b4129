// Package repository opens, creates and maintains the kopia repositories that hold
// the data of pod volumes, and removes snapshots from them.
//
// There is one repository per volume namespace and storage location. It is
// created so that Velero 1.16–1.18 can use it, and one that Velero created is
// adopted (velero-facts §4.1–4.7). The server calls Ensure and DeleteSnapshots, movers call Open
// and Maintain.
//
// The storage credentials are read from the mounted file at each opening and
// never written to disk: kopia's configuration file, which it insists on, holds
// only the wire.Repository. The package moves no volume data.
package repository
