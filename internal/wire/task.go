// Package wire is the contract between those who start a mover process, which are
// the node agent and, for maintenance, the server, and the mover.
//
// They pass one Task as the mover's only argument. The mover prints one Message
// per line on standard output, writes its Result to the container's termination
// message and ends with one of the exit codes. The package is pure; both sides
// import it and nothing of each other.
package wire

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/podkeep/podkeep/internal/location"
)

// Exit codes of the mover. An unknown code is a failure.
const (
	ExitOK         = 0 // snapshot or restore complete
	ExitFailed     = 1 // failed; a new try may succeed
	ExitIncomplete = 3 // a snapshot exists, some files could not be read
	ExitTerminal   = 4 // wrong password, no repository, bad task: retrying does not help
	ExitCanceled   = 5 // stopped by SIGTERM
)

// Kind says what a Task asks for.
type Kind string

// The tasks.
const (
	KindBackup      Kind = "backup"
	KindRestore     Kind = "restore"
	KindMaintenance Kind = "maintenance"
)

// Task is all that a mover is told. Secrets are not in it, only the files they
// are mounted at.
type Task struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // of the PodVolumeBackup, PodVolumeRestore or BackupRepository, for logs
	UID  string `json:"uid"`

	// VolumePath is where the volume's directory is mounted; "" for maintenance.
	VolumePath string `json:"volumePath,omitempty"`

	Repository Repository `json:"repository"`

	Backup  *Backup  `json:"backup,omitempty"`  // set when Kind is KindBackup
	Restore *Restore `json:"restore,omitempty"` // set when Kind is KindRestore

	// SlotFile holds SlotGranted as soon as the mover may move data; it opens the
	// repository before. "" means that it need not wait.
	SlotFile string `json:"slotFile,omitempty"`
}

// SlotGranted is the content of Task.SlotFile that lets a mover go on. Spaces
// around it are ignored.
const SlotGranted = "granted"

// Repository names a kopia repository and how to open it.
type Repository struct {
	Location  location.Location `json:"location"`
	Namespace string            `json:"namespace"` // the volume namespace, part of the repository's path

	PasswordFile string `json:"passwordFile"`
	CacheDir     string `json:"cacheDir"`               // for kopia's configuration and caches
	CacheLimitMB int64  `json:"cacheLimitMB,omitempty"` // 0 means Velero's default of 5000

	// StorageTimeoutSeconds is how long one operation of the storage is retried
	// before the storage counts as unavailable; 0 means 120. Operations on large
	// blobs get one more second per 256 KiB.
	StorageTimeoutSeconds int64 `json:"storageTimeoutSeconds,omitempty"`

	// FullMaintenanceSeconds is the time between two full cycles of maintenance that
	// a repository gets when it is created; 0 means kopia's 24 hours.
	FullMaintenanceSeconds int64 `json:"fullMaintenanceSeconds,omitempty"`
}

// Backup is a snapshot to take.
type Backup struct {
	// SourcePath is the path of the kopia source, as Velero 1.17+ forms it:
	// snapshot-pod-volume/kopia/<namespace>/<pod>/<claim or volume>.
	SourcePath string `json:"sourcePath"`

	// Identity finds the parent snapshot also when the pod has a new name:
	// "claim/<name>" or "<Kind>/<owner>/<volume>". "" means SourcePath alone.
	Identity string `json:"identity,omitempty"`

	// ParallelFiles is how many files are read at once; 0 means one per CPU.
	ParallelFiles int `json:"parallelFiles,omitempty"`

	// Compression is a kopia compressor name; "" means none.
	Compression string `json:"compression,omitempty"`
}

// Restore is a snapshot to write back.
type Restore struct {
	SnapshotID string `json:"snapshotID"` // kopia manifest ID
	RestoreUID string `json:"restoreUID"` // of the Restore; names the marker file

	ParallelFiles int  `json:"parallelFiles,omitempty"` // 0 means one per CPU
	SparseFiles   bool `json:"sparseFiles,omitempty"`   // write holes for runs of zeros
}

// ErrBadTask is returned by ParseTask; the text says which field is wrong.
var ErrBadTask = errors.New("bad mover task")

// ParseTask reads the mover's argument.
func ParseTask(text string) (Task, error) {
	var t Task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return t, fmt.Errorf("%w: %w", ErrBadTask, err)
	}
	switch {
	case t.VolumePath == "" && t.Kind != KindMaintenance:
		return t, fmt.Errorf("%w: volumePath is empty", ErrBadTask)
	case t.Repository.Namespace == "":
		return t, fmt.Errorf("%w: repository.namespace is empty", ErrBadTask)
	}
	return t, t.checkKind()
}

func (t Task) checkKind() error {
	settings, known := map[Kind]bool{
		KindBackup: t.Backup != nil, KindRestore: t.Restore != nil, KindMaintenance: true,
	}[t.Kind]
	switch {
	case !known:
		return fmt.Errorf("%w: kind: Unsupported value: %q: supported values: %q, %q, %q",
			ErrBadTask, t.Kind, KindBackup, KindRestore, KindMaintenance)
	case !settings:
		return fmt.Errorf("%w: kind is %q but field %q is missing", ErrBadTask, t.Kind, t.Kind)
	}
	return nil
}

// Argument is the mover's argument for this task.
func (t Task) Argument() (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("encoding mover task %s: %w", t.Name, err)
	}
	return string(b), nil
}
