package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// usage is what a process took from start to exit.
type usage struct {
	wall      time.Duration
	cpu       time.Duration // user and system
	peakBytes int64         // most resident memory
}

// peakInterval is how often the peak is read while a process runs. The kernel
// keeps it, so only growth in the last interval is missed. (The peak that it
// reports at the exit is no use: it begins with that of the process that
// started this one.)
const peakInterval = 10 * time.Millisecond

// measureProcess runs a command to its end. Its error has the end of what the
// command wrote on standard error.
func measureProcess(cmd *exec.Cmd) (usage, error) {
	var stderr strings.Builder
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	peak := make(chan int64)
	go func() { peak <- followPeak(ctx, cmd.Process.Pid) }()
	err := cmd.Wait()
	wall := time.Since(start)
	cancel()
	u := usage{wall: wall, peakBytes: <-peak}
	if err != nil {
		return u, fmt.Errorf("%s: %w: %s", cmd.Path, err, lastBytes(stderr.String(), 1000))
	}
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return u, nil
}

// followPeak reads the peak of a process until ctx ends, and returns the last.
func followPeak(ctx context.Context, pid int) int64 {
	tick := time.NewTicker(peakInterval)
	defer tick.Stop()
	var peak int64
	for {
		if m, err := readMemory(pid); err == nil {
			peak = max(peak, m.peak)
		}
		select {
		case <-ctx.Done():
			return peak
		case <-tick.C:
		}
	}
}

func lastBytes(s string, n int) string { return s[max(0, len(s)-n):] }

// memory is what /proc says of a process, in bytes.
type memory struct {
	resident  int64 // VmRSS
	peak      int64 // VmHWM
	anonymous int64 // RssAnon
	files     int64 // RssFile
}

var errNoMemory = errors.New("process has no memory any more")

// readMemory reads /proc/<pid>/status.
func readMemory(pid int) (memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	var m memory
	fields := map[string]*int64{"VmRSS": &m.resident, "VmHWM": &m.peak, "RssAnon": &m.anonymous, "RssFile": &m.files}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		field, ok := fields[name]
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("reading %s of process %d: %w", name, pid, err)
		}
		*field = kilobytes << 10
	}
	if m.peak == 0 {
		return m, errNoMemory
	}
	return m, lines.Err()
}

// processors is how much time the machine's processors have spent, in ticks.
type processors struct{ idle, all float64 }

// readProcessors reads the first line of /proc/stat.
func readProcessors() (processors, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return processors{}, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var p processors
	for i, field := range strings.Fields(line)[1:] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return p, fmt.Errorf("reading /proc/stat: %w", err)
		}
		if i == statIdle || i == statWaiting {
			p.idle += ticks
		}
		if i < statGuest {
			p.all += ticks
		}
	}
	return p, nil
}

// Columns of /proc/stat (proc_stat(5)). Time of guests is in the others already.
const (
	statIdle    = 3
	statWaiting = 4
	statGuest   = 8
)

// busySince is the share of time since before that was not idle.
func (p processors) busySince(before processors) float64 {
	return 1 - (p.idle-before.idle)/max(p.all-before.all, 1)
}
