package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
)

// hierarchies returns the root of every cgroup hierarchy: one per controller of
// version 1, and the one of version 2.
func hierarchies() []string {
	roots, err := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	if err != nil {
		return nil // only for a bad pattern
	}
	for i := range roots {
		roots[i] = filepath.Dir(roots[i])
	}
	return roots
}

// makeCgroups makes the cgroup that a kubelet puts all its own below. It does
// not make it itself.
func makeCgroups(n cluster.Node) error {
	for _, root := range hierarchies() {
		if err := os.Mkdir(filepath.Join(root, n.CgroupRoot), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// cgroups returns every cgroup of a node, parents first. Those of the second are
// among the first's.
func cgroups(n cluster.Node) []string {
	var found []string
	for _, root := range hierarchies() {
		top := filepath.Join(root, n.CgroupRoot)
		// Cgroups vanish while they are listed.
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error { //nolint:errcheck // see above
			if err == nil && entry.IsDir() {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

// removeCgroups removes them, children first. One that a process has just left
// is busy for a moment.
func removeCgroups(n cluster.Node) error {
	var err error
	for range 25 {
		err = nil
		for _, path := range slices.Backward(cgroups(n)) {
			if rmErr := os.Remove(path); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
				err = fmt.Errorf("removing %s: %w", path, rmErr)
			}
		}
		if err == nil {
			return nil
		}
		time.Sleep(pollInterval)
	}
	return err
}
