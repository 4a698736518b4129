// Package residency gives memory back that a long-running process needed only to
// start.
//
// A Go program of podkeep's size touches most of its file-backed pages in its
// first second: initialisers of every linked package, tables of types, embedded
// files. They stay resident although hardly any is used again, and are charged to
// the pod. Released, a page that is needed after all comes back from the page
// cache.
package residency

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Release gives back free heap, and the pages of the program's own file that are
// mapped and never written.
func Release() error {
	debug.FreeOSMemory()
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program's file: %w", err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("reading mappings: %w", err)
	}
	defer maps.Close() //nolint:errcheck // only read
	regions, err := readOnly(maps, executable)
	if err != nil {
		return err
	}
	var errs error
	for _, r := range regions {
		// Not unix.Madvise: it wants a slice, and these are no Go objects.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED); errno != 0 {
			errs = errors.Join(errs, fmt.Errorf("releasing %x-%x: %w", r.start, r.end, errno))
		}
	}
	return errs
}

type region struct{ start, end uintptr }

// readOnly finds the mappings of a file that cannot be written, in the format of
// proc(5), /proc/pid/maps. Only those may be dropped: what was written to a
// private mapping is nowhere else.
func readOnly(maps io.Reader, file string) ([]region, error) {
	var regions []region
	scanner := bufio.NewScanner(maps)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 6 || fields[5] != file || strings.Contains(fields[1], "w") {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err := strconv.ParseUint(from, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("parsing mapping %q: %w", fields[0], err)
		}
		end, err := strconv.ParseUint(to, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("parsing mapping %q: %w", fields[0], err)
		}
		regions = append(regions, region{start: uintptr(start), end: uintptr(end)})
	}
	return regions, scanner.Err()
}
