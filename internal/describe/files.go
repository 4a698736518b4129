package describe

import (
	"errors"

	"github.com/podkeep/podkeep/internal/layout"
)

// ErrNoFile says that object storage has no such file.
var ErrNoFile = errors.New("file not found")

// File is a file of a backup or restore in object storage. The zero value is one
// that nobody has asked for.
type File[T any] struct {
	Content T
	Err     error // why there is no content; ErrNoFile when storage has none
}

// BackupFiles are the files that the page of a backup is made of. A file that
// cannot exist yet is missing (ErrNoFile).
type BackupFiles struct {
	Results    File[layout.Results]
	Volumes    File[layout.VolumeInfoList]
	Snapshots  File[[]layout.NativeSnapshot] // where Volumes is missing: of Velero before 1.13
	Resources  File[layout.ResourceList]     // with Look.Details
	Operations File[layout.BackupItemOperationList]
}

// RestoreFiles are the files that the page of a restore is made of.
type RestoreFiles struct {
	Results    File[layout.Results]
	Volumes    File[layout.RestoreVolumeInfoList]
	Resources  File[layout.ResourceList] // with Look.Details
	Operations File[layout.RestoreItemOperationList]
}

// Look says how a page is made.
type Look struct {
	Details bool   // list each volume and each item
	Color   bool   // for a terminal that shows colors
	Command string // how podkeep is called for this installation: "podkeep", or with its namespace
}
