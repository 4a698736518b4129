package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// InitVerb is the verb of this program that is PID 1 of the node.
const InitVerb = "node-init"

// nodeProcess returns the id, on this machine, of the node's PID 1; 0 if there
// is none. It looks at the processes and not at a file, which may be out of
// date or lost.
func (h *Host) nodeProcess() (int, error) {
	pids, err := processes()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		argv, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err != nil {
			continue // it has ended meanwhile
		}
		args := strings.Split(string(argv), "\x00")
		if len(args) > 2 && args[0] == h.State.Command() && args[1] == InitVerb && args[2] == string(h.State) {
			return pid, nil
		}
	}
	return 0, nil
}

// inside returns the processes in a mount namespace. For the node's that is
// all of the node, and what runs in it from outside (`cluster exec`), but not the
// containers, which end before PID 1 does.
func inside(namespace string) ([]int, error) {
	pids, err := processes()
	if err != nil {
		return nil, err
	}
	var found []int
	for _, pid := range pids {
		if link, err := os.Readlink(namespaceFile(pid)); err == nil && link == namespace {
			found = append(found, pid)
		}
	}
	return found, nil
}

// namespaceFile names the mount namespace of a process.
func namespaceFile(pid int) string {
	return filepath.Join("/proc", strconv.Itoa(pid), "ns", "mnt")
}

// alive reports whether the process exists and is more than a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	// The state follows the name in parentheses, which may hold spaces.
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

func processes() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
