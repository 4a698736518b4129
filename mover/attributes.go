package mover

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
	"unsafe"

	kopiafs "github.com/kopia/kopia/fs"
	"golang.org/x/sys/unix"
)

// setAttributes gives an open file or directory the owner, mode and time of e.
// The order matters: a change of owner clears the set-user-ID bit, and a change
// of anything but the time changes no time.
func (t *target) setAttributes(fd int, rel string, e kopiafs.Entry) error {
	owner := e.Owner()
	return errors.Join(
		t.keepLoss(rel, ownerText(owner), unix.Fchown(fd, int(owner.UserID), int(owner.GroupID))),
		t.keepLoss(rel, modeText(e.Mode()), unix.Fchmod(fd, modeBits(e.Mode()))),
		t.keepLoss(rel, timeText, futimes(fd, e.ModTime())),
	)
}

// setLinkAttributes does the same for a symbolic link; Linux has no modes for
// those.
func (t *target) setLinkAttributes(dir int, name, rel string, e kopiafs.Entry) error {
	owner := e.Owner()
	return errors.Join(
		t.keepLoss(rel, ownerText(owner), unix.Fchownat(dir, name, int(owner.UserID), int(owner.GroupID), unix.AT_SYMLINK_NOFOLLOW)),
		t.keepLoss(rel, timeText, unix.UtimesNanoAt(dir, name, timespecs(e.ModTime()), unix.AT_SYMLINK_NOFOLLOW)),
	)
}

// keepLoss counts an attribute that the file system or the mover's rights do not
// allow. Any other error is a failure.
func (t *target) keepLoss(rel string, attribute attributeText, err error) error {
	switch {
	case err == nil:
		return nil
	case isRefusal(err):
		t.lost.add(fmt.Sprintf("%s: %s: %v", printable(displayRoot(rel)), attribute(), err))
		return nil
	default:
		return t.volume.failed("set "+attribute(), rel, err)
	}
}

// isRefusal knows what kernels say when a file system cannot keep an attribute:
// EPERM without the right, EINVAL for an owner outside the user namespace.
func isRefusal(err error) bool {
	for _, refusal := range []error{unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOTSUP, unix.ENOSYS, unix.EROFS} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

func displayRoot(rel string) string {
	if rel == "" {
		return "."
	}
	return rel
}

// attributeText names an attribute and its value; it is called on failure only.
type attributeText func() string

func timeText() string { return "time" }

func ownerText(o kopiafs.OwnerInfo) attributeText {
	return func() string { return fmt.Sprintf("owner %d:%d", o.UserID, o.GroupID) }
}

func modeText(m fs.FileMode) attributeText {
	return func() string { return fmt.Sprintf("mode %04o", modeBits(m)) }
}

// modeBits translates a mode to the kernel's permission bits.
func modeBits(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= unix.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		bits |= unix.S_ISGID
	}
	if m&fs.ModeSticky != 0 {
		bits |= unix.S_ISVTX
	}
	return bits
}

func timespecs(mtime time.Time) []unix.Timespec {
	ts := unix.NsecToTimespec(mtime.UnixNano())
	return []unix.Timespec{ts, ts}
}

// futimes sets the times of an open file to the nanosecond, as futimens(3) does:
// utimensat with a null path. Package unix has no function for it.
func futimes(fd int, mtime time.Time) error {
	ts := timespecs(mtime)
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts[0])), 0, 0, 0) //nolint:gosec // see above
	if errno != 0 {
		return errno
	}
	return nil
}
