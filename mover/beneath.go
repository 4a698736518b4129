package mover

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// volumeRoot opens paths below a volume's directory and never follows a symbolic
// link. The application may replace a directory by a link to /inputs while
// the mover walks; the mover must not read or write through it.
type volumeRoot struct {
	fd   int
	path string
}

func openVolume(dir string) (*volumeRoot, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &volumeRoot{fd: fd, path: dir}, nil
}

func (r *volumeRoot) close() error { return unix.Close(r.fd) }

// open opens rel, "" being the root itself. Flags O_CLOEXEC and O_NOFOLLOW are
// added.
func (r *volumeRoot) open(rel string, flags int, mode uint32) (int, error) {
	if rel == "" {
		rel = "."
	}
	flags |= unix.O_CLOEXEC | unix.O_NOFOLLOW
	for {
		fd, err := unix.Openat2(r.fd, rel, &unix.OpenHow{
			Flags:   uint64(flags), //nolint:gosec // flags are not negative
			Mode:    uint64(mode),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
		})
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN) && flags&unix.O_NONBLOCK == 0:
			continue
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENAMETOOLONG):
			// Linux before 5.6, an old seccomp profile, or a path over 4096 bytes.
			fd, err = r.openStepwise(rel, flags, mode)
		}
		if err != nil {
			return -1, r.failed("open", rel, err)
		}
		return fd, nil
	}
}

// openStepwise opens one directory after the other.
func (r *volumeRoot) openStepwise(rel string, flags int, mode uint32) (int, error) {
	dir := r.fd
	names := strings.Split(rel, "/")
	for i, name := range names {
		last := i == len(names)-1
		f, m := unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, uint32(0)
		if last {
			f, m = flags, mode
		}
		fd, err := unix.Openat(dir, name, f, m)
		if dir != r.fd {
			_ = unix.Close(dir)
		}
		if err != nil || last {
			return fd, err
		}
		dir = fd
	}
	return -1, unix.ENOENT
}

// inParent calls do with an open descriptor of rel's directory and rel's last
// name, for system calls that would follow links in a path.
func (r *volumeRoot) inParent(rel string, do func(dir int, name string) error) error {
	dir, name := path.Split(rel)
	fd := r.fd
	if dir = strings.TrimSuffix(dir, "/"); dir != "" {
		opened, err := r.open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(opened) }()
		fd = opened
	}
	return do(fd, name)
}

func (r *volumeRoot) failed(op, rel string, err error) error {
	return &os.PathError{Op: op, Path: r.at(rel), Err: err}
}

// at is the path of rel for messages.
func (r *volumeRoot) at(rel string) string { return path.Join(r.path, rel) }

// volumeError is an error of the volume, not of the repository.
type volumeError struct {
	dir string
	err error
}

func (e *volumeError) Error() string { return fmt.Sprintf("volume %s: %v", e.dir, e.err) }
func (e *volumeError) Unwrap() error { return e.err }
