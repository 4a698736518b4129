package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// idleTime is how long components have nothing to do before they are measured.
const idleTime = 30 * time.Second

// component is a long-running process of podkeep, with its budget (design §9)
// and what real Velero takes.
type component struct {
	role        string // the first argument of the process
	mostBytes   float64
	veleroBytes float64 // 0 means that Velero has no such process
}

var components = []component{
	{"server", 100 * megabytes, 302 * megabytes},
	{"node-agent", 40 * megabytes, 85 * megabytes},
	{"webhook", 40 * megabytes, 0},
}

// measureMemory reads the memory of podkeep's processes. Those of the test
// cluster are processes of this machine.
func (b *bench) measureMemory(ctx context.Context) error {
	c, err := b.cluster()
	if err != nil {
		return err
	}
	b.progress("memory: waiting until podkeep has been idle for %s", idleTime)
	if err := waitUntilIdle(ctx, c); err != nil {
		return err
	}
	processes, err := findProcesses()
	if err != nil {
		return err
	}
	var missing []error
	for _, component := range components {
		pids := processes[component.role]
		if len(pids) == 0 {
			missing = append(missing, fmt.Errorf("no process /podkeep %s runs on this machine", component.role))
			continue
		}
		r, err := component.row(pids)
		if err != nil {
			return err
		}
		b.report.add(r)
	}
	return errors.Join(missing...)
}

// row is about the largest of a component's processes.
func (c component) row(pids []int) (row, error) {
	var largest memory
	for _, pid := range pids {
		m, err := readMemory(pid)
		if err != nil {
			return row{}, fmt.Errorf("reading the memory of %s: %w", c.role, err)
		}
		if m.resident > largest.resident {
			largest = m
		}
	}
	r := row{
		what:     c.role + ", resident memory, idle",
		measured: fmt.Sprintf("%.1f MB", float64(largest.resident)/megabytes),
		budget:   fmt.Sprintf("≤ %.0f MB", c.mostBytes/megabytes),
		verdict:  judge(limit{float64(largest.resident), c.mostBytes}),
		detail:   "peak " + largest.detail(),
	}
	if c.veleroBytes > 0 {
		r.yardstick = fmt.Sprintf("%.0f MB (Velero)", c.veleroBytes/megabytes)
		r.ratio = fmt.Sprintf("%.2f", float64(largest.resident)/c.veleroBytes)
	}
	return r, nil
}

// detail says what a process's memory is made of: pages of its own, and pages of
// its program, which processes of one program share.
func (m memory) detail() string {
	return fmt.Sprintf("%.1f MB; anonymous %.1f MB, files %.1f MB",
		float64(m.peak)/megabytes, float64(m.anonymous)/megabytes, float64(m.files)/megabytes)
}

// waitUntilIdle returns when nothing has been in progress for idleTime.
func waitUntilIdle(ctx context.Context, c *suite.Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, suite.Long)
	defer cancel()
	since := time.Now()
	for time.Since(since) < idleTime {
		busy, err := isBusy(ctx, c)
		if err != nil {
			return err
		}
		if busy {
			since = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until nothing is in progress: %w", ctx.Err())
		case <-time.After(2 * time.Second):
		}
	}
	return nil
}

// isBusy reports whether a backup or a restore is in progress.
func isBusy(ctx context.Context, c *suite.Cluster) (bool, error) {
	backups, restores := &velerov1.BackupList{}, &velerov1.RestoreList{}
	in := client.InNamespace(suite.Namespace)
	if err := errors.Join(c.Client.List(ctx, backups, in), c.Client.List(ctx, restores, in)); err != nil {
		return false, err
	}
	for i := range backups.Items {
		if !backups.Items[i].IsFinished() {
			return true, nil
		}
	}
	for i := range restores.Items {
		if !restores.Items[i].IsFinished() {
			return true, nil
		}
	}
	return false, nil
}

// findProcesses returns the processes "/podkeep <role> …" of the measured
// installation, by role. There may be others on the cluster.
func findProcesses() (map[string][]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	found := map[string][]int{}
	for _, f := range files {
		command, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		arguments := strings.Split(string(command), "\x00")
		if len(arguments) < 2 || arguments[0] != "/podkeep" {
			continue
		}
		environment, err := os.ReadFile(filepath.Join(filepath.Dir(f), "environ"))
		if err != nil || !slices.Contains(strings.Split(string(environment), "\x00"), "VELERO_NAMESPACE="+suite.Namespace) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil {
			return nil, err
		}
		found[arguments[1]] = append(found[arguments[1]], pid)
	}
	return found, nil
}
