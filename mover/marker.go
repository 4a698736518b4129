package mover

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// markerDir is the directory of markers in the root of a restored volume. The
// gate waits for a file in it that is named by the UID of the Restore
// (velero-facts §7.4).
const markerDir = ".velero"

const (
	markerDirMode  = 0o755
	markerFileMode = 0o644

	// writers are the bits that let a group and others write.
	writers = 0o022
)

// clearMarkers removes what an earlier restore left. os.Root does not leave the
// volume, whatever links are in it.
func clearMarkers(volume *volumeRoot) error {
	root, err := os.OpenRoot(volume.path)
	if err != nil {
		return fmt.Errorf("removing old markers: %w", err)
	}
	if err := errors.Join(root.RemoveAll(markerDir), root.Close()); err != nil {
		return fmt.Errorf("removing old markers: %w", err)
	}
	return nil
}

// writeMarker says that the volume is restored.
func writeMarker(volume *volumeRoot, restoreUID string) error {
	if err := unix.Mkdirat(volume.fd, markerDir, markerDirMode); err != nil {
		return fmt.Errorf("writing marker: %w", volume.failed("mkdir", markerDir, err))
	}
	dir, err := volume.open(markerDir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("writing marker: %w", err)
	}
	defer func() { _ = unix.Close(dir) }()
	if err := shareMarkers(volume, dir); err != nil {
		return fmt.Errorf("writing marker: %w", volume.failed("chmod", markerDir, err))
	}
	name := join(markerDir, restoreUID)
	file, err := volume.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, markerFileMode)
	if err != nil {
		return fmt.Errorf("writing marker: %w", err)
	}
	err = errors.Join(unix.Fchmod(file, markerFileMode), unix.Fsync(file), unix.Close(file), unix.Fsync(dir), unix.Fsync(volume.fd))
	if err != nil {
		return fmt.Errorf("writing marker: %w", volume.failed("fsync", name, err))
	}
	return nil
}

// shareMarkers lets those who may write in the volume's root remove the markers:
// the gate has the user of the application and its groups, and is not root. A
// storage that gives root no right to do so keeps the markers; the gate says it.
func shareMarkers(volume *volumeRoot, dir int) error {
	var root unix.Stat_t
	if err := unix.Fstat(volume.fd, &root); err != nil {
		return err
	}
	_ = unix.Fchown(dir, int(root.Uid), int(root.Gid))
	return unix.Fchmod(dir, markerDirMode|root.Mode&writers) // whatever the umask is
}
