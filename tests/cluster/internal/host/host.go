// Package host starts and removes the cluster's node from outside: it makes
// the namespaces, the network link to them and the files the node reads, and
// afterwards checks that none of it is left.
//
// What happens inside the namespaces is package node.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/artifacts"
	"github.com/podkeep/podkeep/tests/cluster/internal/node"
	"github.com/podkeep/podkeep/tests/cluster/internal/progress"
)

// Host is this machine, as the place of one node of a cluster.
type Host struct {
	State cluster.StateDir // of the node
	Node  cluster.Node
	Out   *progress.Printer
}

// second is the place of the second node, seen from the first's.
func (h *Host) second() *Host {
	return &Host{State: h.State.Node(cluster.Second), Node: cluster.Second, Out: h.Out}
}

// ErrNotUp is returned when there is no cluster.
var ErrNotUp = errors.New("the cluster is not up: start it with `cluster up`")

// client returns a client of the running node's supervisor.
func (h *Host) client() (*node.Client, error) {
	if pid, err := h.nodeProcess(); err != nil {
		return nil, err
	} else if pid == 0 {
		return nil, ErrNotUp
	}
	return node.NewClient(h.State), nil
}

// Status returns what the node's supervisor knows, or ErrNotUp.
func (h *Host) Status(ctx context.Context) (node.Status, error) {
	client, err := h.client()
	if err != nil {
		return node.Status{}, err
	}
	return client.Status(ctx)
}

// Kill kills a component, which then stays away until Start.
func (h *Host) Kill(ctx context.Context, component string) error {
	client, err := h.client()
	if err != nil {
		return err
	}
	return client.Kill(ctx, component)
}

// Start starts a component that was killed.
func (h *Host) Start(ctx context.Context, component string) error {
	client, err := h.client()
	if err != nil {
		return err
	}
	return client.Start(ctx, component)
}

// WithLock calls act while no other invocation starts or removes the cluster,
// or builds.
func (h *Host) WithLock(act func() error) error {
	root, err := artifacts.CacheRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("making the cache folder: %w", err)
	}
	// Not in the state folder, which comes and goes with the cluster.
	file, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("opening the lock: %w", err)
	}
	defer file.Close() // which releases it
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		h.Out.Printf("waiting for another invocation that starts or removes the cluster")
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("locking the cluster: %w", err)
	}
	return act()
}
