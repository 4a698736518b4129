package host

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/artifacts"
	"github.com/podkeep/podkeep/tests/cluster/internal/command"
	"github.com/podkeep/podkeep/tests/cluster/internal/pki"
)

// AddNode starts the second node of a cluster that is up, and returns when pods
// can run on it. If it is up already, nothing happens; if there are remains of
// one, they are removed.
func (h *Host) AddNode(ctx context.Context, now time.Time) error {
	if !h.isUp(ctx) {
		return ErrNotUp
	}
	n := h.second()
	if n.isUp(ctx) {
		h.Out.Printf("node %s is already up", n.Node.Name)
		return nil
	}
	set, err := artifacts.Current()
	if err != nil {
		return err
	}
	if err := h.removeSecond(ctx, set); err != nil {
		return fmt.Errorf("removing what an earlier node left: %w", err)
	}
	h.Out.Printf("starting node %s", n.Node.Name)
	if err := h.startSecond(ctx, set, now); err != nil {
		return err
	}
	for _, wait := range []string{"--for=create", "--for=condition=Ready"} {
		if err := h.kubectl(ctx, set, "", "wait", wait, "node/"+n.Node.Name, "--timeout="+readyTimeout); err != nil {
			return fmt.Errorf("waiting for the node: %w; the end of its kubelet's log:\n%s", err, n.Tail("kubelet"))
		}
	}
	if err := os.WriteFile(n.State.Complete(), nil, 0o644); err != nil {
		return fmt.Errorf("noting that the node is up: %w", err)
	}
	h.Out.Printf("node %s is ready", n.Node.Name)
	return nil
}

// startSecond returns when the second node's components run and it has the
// first's images.
func (h *Host) startSecond(ctx context.Context, set artifacts.Set, now time.Time) error {
	n := h.second()
	first, err := h.nodeProcess()
	if err != nil {
		return err
	}
	if err := makeFolders(n.State.PKI(""), n.State.Logs(), n.State.Config("")); err != nil {
		return err
	}
	if err := pki.WriteNode(h.State, n.Node, now); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	if err := makeCgroups(n.Node); err != nil {
		return fmt.Errorf("making cgroups: %w", err)
	}
	if err := n.copyCommand(); err != nil {
		return err
	}
	pid, err := n.startNode(ctx, set, func(ctx context.Context, pid int) error { return linkSecond(ctx, first, pid) })
	if err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	if err := n.awaitComponents(ctx); err != nil {
		return err
	}
	return n.copyImages(ctx, set, first, pid)
}

// linkSecond connects the network namespaces of two nodes by a veth pair. The
// machine's traffic goes through the first node, so that this machine need not
// forward anything. The pair goes with either namespace.
func linkSecond(ctx context.Context, first, second int) error {
	n := cluster.Second
	inFirst, inSecond, onHost := inNetworkOf(first), inNetworkOf(second), []string{"ip"}
	return runSteps(ctx, []step{
		{inFirst, []string{"link", "add", n.Name, "type", "veth", "peer", "name", cluster.NodeLink, "netns", strconv.Itoa(second)}},
		{inFirst, []string{"address", "add", n.Gateway + cluster.LinkBits, "dev", n.Name}},
		{inFirst, []string{"link", "set", n.Name, "up"}},
		{inSecond, []string{"link", "set", "lo", "up"}},
		{inSecond, []string{"address", "add", n.Address + cluster.LinkBits, "dev", cluster.NodeLink}},
		{inSecond, []string{"link", "set", cluster.NodeLink, "up"}},
		{inSecond, []string{"route", "add", "default", "via", n.Gateway}},
		{inFirst, []string{"route", "add", n.PodRange, "via", n.Address}},
		{onHost, []string{"route", "replace", cluster.SecondLinkRange, "via", cluster.NodeAddress}},
	})
}

// copyImages gives a node all images of the first one, the installed podkeep's
// among them.
func (h *Host) copyImages(ctx context.Context, set artifacts.Set, from, to int) error {
	if err := h.awaitContainerd(ctx, to, set); err != nil {
		return err
	}
	names, err := command.Command{Args: ctr(from, set, "images", "list", "--quiet")}.Output(ctx)
	if err != nil {
		return fmt.Errorf("listing the images of %s: %w", cluster.First.Name, err)
	}
	archive := h.State.Join("images.tar") // both nodes see it at this path
	defer os.Remove(archive)
	export := []string{"images", "export", archive}
	for _, name := range strings.Fields(names) {
		if strings.HasPrefix(name, "localhost/") { // and not the kubelet's names by digest
			export = append(export, name)
		}
	}
	if err := command.Run(ctx, ctr(from, set, export...)...); err != nil {
		return fmt.Errorf("exporting the images of %s: %w", cluster.First.Name, err)
	}
	if err := importImage(ctx, to, set, archive); err != nil {
		return fmt.Errorf("importing the images of %s: %w", cluster.First.Name, err)
	}
	return pinSandboxImage(ctx, to, set)
}

// RemoveNode removes the second node, if there is one, and what ran on it.
func (h *Host) RemoveNode(ctx context.Context) error {
	if pid, err := h.nodeProcess(); err != nil {
		return err
	} else if pid == 0 {
		return ErrNotUp
	}
	set, err := artifacts.Current()
	if err != nil {
		return err
	}
	if err := h.removeSecond(ctx, set); err != nil {
		return err
	}
	h.Out.Printf("nothing is left of node %s", cluster.Second.Name)
	return nil
}

// removeSecond ends the node first: nothing can then start on it again.
func (h *Host) removeSecond(ctx context.Context, set artifacts.Set) error {
	n := h.second()
	if err := n.endNode(); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"delete", "node", n.Node.Name, "--ignore-not-found"},
		{"delete", "pods", "--all-namespaces", "--field-selector=spec.nodeName=" + n.Node.Name, "--force", "--grace-period=0", "--ignore-not-found"},
	} {
		if err := h.kubectl(ctx, set, "", args...); err != nil {
			return fmt.Errorf("removing the node from the cluster: %w", err)
		}
	}
	if err := removeCgroups(n.Node); err != nil {
		return fmt.Errorf("removing cgroups: %w", err)
	}
	if err := n.verifyUnmounted(); err != nil {
		return err // before files are removed through a mount
	}
	if err := os.RemoveAll(string(n.State)); err != nil {
		return fmt.Errorf("removing the node's folder: %w", err)
	}
	return nil
}
