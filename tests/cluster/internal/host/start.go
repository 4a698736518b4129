package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/artifacts"
	"github.com/podkeep/podkeep/tests/cluster/internal/command"
	"github.com/podkeep/podkeep/tests/cluster/internal/node"
)

// startNode starts this program again as PID 1 of new mount, process and
// network namespaces, links them to a network, and lets it go on. When that process dies, the kernel removes everything in the namespaces.
func (h *Host) startNode(ctx context.Context, set artifacts.Set, link linker) (int, error) {
	output, err := os.Create(h.State.Log("supervisor"))
	if err != nil {
		return 0, err
	}
	defer output.Close()
	networkRead, networkWrite, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer networkRead.Close()
	defer networkWrite.Close()

	// Not CommandContext: the node outlives this program.
	cmd := exec.Command(h.State.Command(), InitVerb, string(h.State), set.Bin(), h.Node.Name)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = networkRead, output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		Setsid:     true,
	}
	if err := keepFromChildren(); err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	pid := cmd.Process.Pid
	// Collect it if it ends while this program still runs.
	go func() { _ = cmd.Wait() }() //nolint:errcheck // the supervisor's log says why it ended
	if err := link(ctx, pid); err != nil {
		return 0, err
	}
	if _, err := networkWrite.Write([]byte("\n")); err != nil {
		return 0, fmt.Errorf("telling the node to go on: %w", err)
	}
	return pid, nil
}

// keepFromChildren keeps the files that this program was started with from the
// node, which outlives it: a lock of a script would stay locked, and a pipe to it
// open, for as long as the node runs.
func keepFromChildren() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing open files: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	return nil
}

// linker connects the network namespace of a process.
type linker func(ctx context.Context, pid int) error

// step is a command of a linker, and where it is run.
type step struct {
	where []string
	args  []string
}

// inNetworkOf is how ip is run in the network namespace of a process.
func inNetworkOf(pid int) []string {
	return []string{"nsenter", "--target", strconv.Itoa(pid), "--net", "ip"}
}

func runSteps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := command.Run(ctx, append(append([]string{}, s.where...), s.args...)...); err != nil {
			return fmt.Errorf("linking the node's network: %w", err)
		}
	}
	return nil
}

// link connects the namespace of the process with the machine by a veth pair,
// and routes pod and Service addresses through it.
func link(ctx context.Context, pid int) error {
	target := strconv.Itoa(pid)
	inNode, onHost := inNetworkOf(pid), []string{"ip"}
	return runSteps(ctx, []step{
		{onHost, []string{"link", "add", cluster.HostLink, "type", "veth", "peer", "name", cluster.NodeLink, "netns", target}},
		{onHost, []string{"address", "add", cluster.HostAddress + cluster.LinkBits, "dev", cluster.HostLink}},
		{onHost, []string{"link", "set", cluster.HostLink, "up"}},
		{inNode, []string{"link", "set", "lo", "up"}},
		{inNode, []string{"address", "add", cluster.NodeAddress + cluster.LinkBits, "dev", cluster.NodeLink}},
		{inNode, []string{"link", "set", cluster.NodeLink, "up"}},
		{inNode, []string{"route", "add", "default", "via", cluster.HostAddress}},
		{onHost, []string{"route", "add", cluster.PodRange, "via", cluster.NodeAddress}},
		{onHost, []string{"route", "add", cluster.ServiceRange, "via", cluster.NodeAddress}},
	})
}

// enter returns the command line that runs a program in the node.
func enter(pid int, bin string, args ...string) []string {
	line := []string{"nsenter", "--target", strconv.Itoa(pid), "--mount", "--pid", "--net", "--", "env"}
	return append(append(line, node.Environment(bin)...), args...)
}

// Enter returns the command line that runs a program in the node's namespaces.
func (h *Host) Enter(set artifacts.Set, args []string) ([]string, error) {
	pid, err := h.nodeProcess()
	if err != nil {
		return nil, err
	}
	if pid == 0 {
		return nil, ErrNotUp
	}
	return enter(pid, set.Bin(), args...), nil
}
