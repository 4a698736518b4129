package suite

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Entry is all that a backup must bring back of one file.
type Entry struct {
	Path    string // relative to the volume, "." for the volume itself
	Type    string // file, dir, symlink
	Mode    uint32 // permission, setuid, setgid and sticky bits
	UID     uint32
	GID     uint32
	MtimeNS int64
	Size    int64  // of files
	SHA256  string // of files
	Target  string // of symlinks
}

// ReadTree returns dir and every entry below it in lexical order. Fifos, sockets
// and devices, which a file system backup does not carry, are left out.
func ReadTree(dir string) ([]Entry, error) {
	var entries []Entry
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		e, ok, err := readEntry(dir, file)
		if ok {
			entries = append(entries, e)
		}
		return err
	})
	return entries, err
}

func readEntry(dir, file string) (Entry, bool, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(file, &st); err != nil {
		return Entry{}, false, fmt.Errorf("reading attributes of %q: %w", file, err)
	}
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		return Entry{}, false, err
	}
	e := Entry{Path: rel, Mode: st.Mode & 0o7777, UID: st.Uid, GID: st.Gid, MtimeNS: st.Mtim.Nano()}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		e.Type, e.Size = "file", st.Size
		e.SHA256, err = sum(file)
	case syscall.S_IFDIR:
		e.Type = "dir"
	case syscall.S_IFLNK:
		e.Type = "symlink"
		e.Target, err = os.Readlink(file)
	default:
		return e, false, nil
	}
	return e, true, err
}

func sum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("reading %q: %w", file, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
