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
	if err := unix.Fchmod(dir, markerDirMode); err != nil { // whatever the umask is
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
