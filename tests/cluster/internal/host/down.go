package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/command"
)

// endTimeout bounds how long the kernel takes to end the namespaces: 1.5 s are
// usual, more with hundreds of pods.
const endTimeout = time.Minute

// Down removes the cluster and checks that nothing of it is left. The programs
// and images that were built stay.
func (h *Host) Down(ctx context.Context) error {
	pid, err := h.nodeProcess()
	if err != nil {
		return err
	}
	if pid == 0 {
		h.Out.Printf("the cluster is not up")
	} else {
		h.Out.Printf("ending the node, process %d", pid)
	}
	if err := h.clean(ctx); err != nil {
		return err
	}
	h.Out.Printf("nothing is left: no process, mount, network device, route, cgroup or file in %s", h.State)
	return nil
}

// clean removes the cluster, or what is left of one, and returns an error that
// lists what it could not remove.
func (h *Host) clean(ctx context.Context) error {
	for _, node := range []*Host{h.second(), h} {
		if err := node.endNode(); err != nil {
			return err
		}
	}
	if linkExists() {
		// The kernel removes it with the namespace, but later. The routes go with it.
		if err := command.Run(ctx, "ip", "link", "delete", cluster.HostLink); err != nil && linkExists() {
			return fmt.Errorf("removing the network link: %w", err)
		}
	}
	if err := removeCgroups(h.Node); err != nil {
		return fmt.Errorf("removing cgroups: %w", err)
	}
	if err := h.removeMountPoints(); err != nil {
		return fmt.Errorf("removing mount points: %w", err)
	}
	if err := h.verifyUnmounted(); err != nil {
		return err // before files are removed through a mount
	}
	if err := os.RemoveAll(string(h.State)); err != nil {
		return fmt.Errorf("removing the state folder: %w", err)
	}
	return h.verify(ctx)
}

// endNode kills the node's PID 1, with which the kernel ends all the node's
// processes, and waits until they are gone.
func (h *Host) endNode() error {
	pid, err := h.nodeProcess()
	if err != nil || pid == 0 {
		return err
	}
	namespace, err := os.Readlink(namespaceFile(pid))
	if err != nil {
		return fmt.Errorf("looking for the node's namespaces: %w", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending the node: %w", err)
	}
	for range int(endTimeout / pollInterval) {
		left, err := inside(namespace)
		if err != nil {
			return err
		}
		if len(left) == 0 && !alive(pid) {
			return nil
		}
		time.Sleep(pollInterval)
	}
	return fmt.Errorf("the node, process %d, is not gone %s after it was killed", pid, endTimeout)
}

func (h *Host) removeMountPoints() error {
	made, err := os.ReadFile(h.State.MountPoints())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for dir := range strings.FieldsSeq(string(made)) {
		// Not RemoveAll: whatever is in it is not ours.
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func linkExists() bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", cluster.HostLink))
	return err == nil
}

// verify looks for remains.
func (h *Host) verify(ctx context.Context) error {
	var left []string
	for _, node := range []*Host{h.second(), h} {
		if pid, err := node.nodeProcess(); err != nil {
			return err
		} else if pid != 0 {
			left = append(left, fmt.Sprintf("process %d", pid))
		}
	}
	if linkExists() {
		left = append(left, "network device "+cluster.HostLink)
	}
	routes, err := command.Command{Args: []string{"ip", "route", "show", "table", "all"}}.Output(ctx)
	if err != nil {
		return err
	}
	for line := range strings.Lines(routes) {
		for _, own := range []string{cluster.PodRange, cluster.ServiceRange, cluster.NodeAddress} {
			if strings.Contains(line, own) {
				left = append(left, "route "+strings.TrimSpace(line))
			}
		}
	}
	left = append(left, cgroups(h.Node)...)
	if _, err := os.Stat(string(h.State)); err == nil {
		left = append(left, string(h.State))
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	return h.verifyUnmounted()
}

// verifyUnmounted looks for mounts on, or of, folders of the cluster. There are
// none, as the node's mount namespace is its own.
func (h *Host) verifyUnmounted() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(mounts))
	for lines.Scan() {
		if strings.Contains(lines.Text(), string(h.State)+"/") {
			return fmt.Errorf("left behind: mount %s", lines.Text())
		}
	}
	return nil
}
