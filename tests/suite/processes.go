package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/wire"
)

// MoverSight is what was seen of a mover from outside: its processes are visible
// on this machine.
type MoverSight struct {
	Task     wire.Task // what it was told
	MostOpen int       // how many files with the name it had open at once, at most
}

// WatchMover watches the next mover of a kind for a namespace's repository, and
// how many files whose name begins with prefix it has open at the same time.
// The function that it returns waits for the mover's end.
func WatchMover(t *testing.T, kind wire.Kind, namespace, prefix string) (wait func() MoverSight) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Long)
	t.Cleanup(cancel)
	ended := make(chan MoverSight, 1)
	go func() { ended <- watchMover(ctx, kind, namespace, prefix) }()
	return func() MoverSight {
		t.Helper()
		seen := <-ended
		NewWithT(t).Expect(seen.Task.Kind).To(Equal(kind), "no mover was seen")
		return seen
	}
}

func watchMover(ctx context.Context, kind wire.Kind, namespace, prefix string) MoverSight {
	var seen MoverSight
	dir := ""
	for ctx.Err() == nil && dir == "" {
		dir, seen.Task = findMover(kind, namespace)
		if dir == "" {
			pause(ctx, 20*time.Millisecond)
		}
	}
	for ctx.Err() == nil {
		open, err := openFiles(dir, prefix)
		if err != nil {
			break // it has ended
		}
		seen.MostOpen = max(seen.MostOpen, open)
		pause(ctx, time.Millisecond)
	}
	return seen
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// findMover returns the folder of the process, "" when there is none.
func findMover(kind wire.Kind, namespace string) (string, wire.Task) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // fails only for a bad pattern
	for _, file := range files {
		raw, err := os.ReadFile(file)
		args := bytes.Split(raw, []byte{0})
		if err != nil || len(args) < 3 || string(args[0]) != "/podkeep" || string(args[1]) != "mover" {
			continue
		}
		var task wire.Task
		if json.Unmarshal(args[2], &task) == nil && task.Kind == kind && task.Repository.Namespace == namespace {
			return filepath.Dir(file), task
		}
	}
	return "", wire.Task{}
}

// openFiles counts the files that a process has open.
func openFiles(process, prefix string) (int, error) {
	links, err := os.ReadDir(filepath.Join(process, "fd"))
	if err != nil {
		return 0, err
	}
	names := map[string]bool{}
	for _, link := range links {
		name, err := os.Readlink(filepath.Join(process, "fd", link.Name()))
		if err == nil && strings.HasPrefix(filepath.Base(name), prefix) {
			names[name] = true
		}
	}
	return len(names), nil
}
