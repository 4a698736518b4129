package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Budgets of the restore gate (design §9).
const (
	gateMostBytes   = 8 * megabytes
	gateMostLatency = 100 * time.Millisecond
)

const (
	gateSamples = 20
	gateVolumes = 3

	// gateMemoryWait is how long a gate waits before its memory is read: longer
	// than the 10 s after which it prints what it waits for.
	gateMemoryWait = 12 * time.Second
)

// measureGate runs restore-wait in folders that look like a pod's root, and
// measures its memory and how long after the last marker it ends.
func (b *bench) measureGate(ctx context.Context) error {
	b.progress("restore-wait: memory")
	root, err := b.newGateRoot()
	if err != nil {
		return err
	}
	_, m, err := runGate(ctx, root, gateMemoryWait)
	if err != nil {
		return err
	}
	latencies := make([]float64, 0, gateSamples)
	for i := range gateSamples {
		b.progress("restore-wait: latency, sample %d of %d", i+1, gateSamples)
		// The waits differ, so that the marker comes at all points of the gate's
		// interval between two looks.
		latency, _, err := runGate(ctx, root, 200*time.Millisecond+time.Duration(i)*7*time.Millisecond)
		if err != nil {
			return err
		}
		latencies = append(latencies, float64(latency.Microseconds())/1000)
	}
	latency := spreadOf(latencies)
	b.report.add(row{
		what: "restore-wait, resident memory", measured: fmt.Sprintf("%.1f MB", float64(m.resident)/megabytes),
		budget:  fmt.Sprintf("≤ %.0f MB", gateMostBytes/megabytes),
		verdict: judge(limit{float64(m.peak), gateMostBytes}),
		detail:  "peak " + m.detail(),
	}, row{
		what: "restore-wait, marker to exit", measured: fmt.Sprintf("%.0f ms at most, median %.0f ms", latency.max, latency.median),
		budget:  fmt.Sprintf("≤ %d ms", gateMostLatency.Milliseconds()),
		verdict: judge(limit{latency.max, float64(gateMostLatency.Milliseconds())}),
		detail:  fmt.Sprintf("%d samples", gateSamples),
	})
	return nil
}

// gateUID is the name of the markers.
const gateUID = "bench"

// newGateRoot makes a folder with the program and empty volumes, to be the root
// of its processes.
func (b *bench) newGateRoot() (string, error) {
	root := filepath.Join(b.dir, "gate")
	for i := range gateVolumes {
		if err := os.MkdirAll(markerDir(root, i), 0o755); err != nil {
			return "", err
		}
	}
	program, err := os.ReadFile(filepath.Join(b.binaries, "restore-wait"))
	if err != nil {
		return "", fmt.Errorf("%w: build it with: make build", err)
	}
	return root, os.WriteFile(filepath.Join(root, "restore-wait"), program, 0o755)
}

func markerDir(root string, volume int) string {
	return filepath.Join(root, "restores", fmt.Sprintf("data-%d", volume), ".velero")
}

// runGate starts a gate, lets it wait, writes the markers and returns how long
// after the last of them it ended, and the memory that it had before.
func runGate(ctx context.Context, root string, wait time.Duration) (time.Duration, memory, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/restore-wait", gateUID)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	cmd.Env = []string{}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, memory{}, err
	}
	if err := cmd.Start(); err != nil {
		return 0, memory{}, fmt.Errorf("starting restore-wait (needs root): %w", err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil {
		return 0, memory{}, errors.Join(fmt.Errorf("restore-wait printed %q: %w", line, err), cmd.Wait())
	}
	go io.Copy(io.Discard, lines)
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	m, err := readMemory(cmd.Process.Pid)
	written, werr := writeMarkers(root)
	if err := errors.Join(err, werr); err != nil {
		cancel()
		return 0, m, errors.Join(err, cmd.Wait())
	}
	err = cmd.Wait()
	return time.Since(written), m, err
}

// writeMarkers writes the markers and returns when the last was there. The gate
// has removed those of the process before, with their folders.
func writeMarkers(root string) (time.Time, error) {
	for i := range gateVolumes {
		dir := markerDir(root, i)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return time.Time{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, gateUID), nil, 0o644); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now(), nil
}
