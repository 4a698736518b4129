// Package node is the inside of the cluster's node: PID 1 of namespaces of its
// own, which mounts what the node needs, starts the components, reaps what
// dies, and answers questions on a socket.
//
// It does not make the namespaces, the network link or the certificates; that
// is package host, outside.
package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
)

// Config says where the node's files are.
type Config struct {
	State cluster.StateDir // of this node
	Bin   string           // folder of the programs
	Node  cluster.Node
}

// Init runs the node as PID 1 and returns only if it cannot start. It begins
// when it reads a byte, which the outside writes once it has set up the
// network; if the outside gives up, there is none.
func Init(config Config, network io.Reader) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("node-init has process id %d: it is started by `cluster up` or `cluster node add` in a namespace of its own", os.Getpid())
	}
	if _, err := io.ReadFull(network, make([]byte, 1)); err != nil {
		return fmt.Errorf("waiting for the network: %w", err)
	}
	if err := mountAll(config); err != nil {
		return err
	}
	if err := setKernelParameters(); err != nil {
		return err
	}
	if err := writeConfigs(config); err != nil {
		return err
	}
	s := newSupervisor(config)
	go s.reap()
	errs := make(chan error, 1)
	go func() { errs <- s.serve(config.State.ControlSocket()) }()
	go s.boot(context.Background())
	return <-errs
}

// setKernelParameters sets what belongs to this network namespace.
func setKernelParameters() error {
	for path, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":          "1",
		"/proc/sys/net/ipv6/conf/all/forwarding": "1",
		// Pods answer on other links than the route to them would say.
		"/proc/sys/net/ipv4/conf/all/rp_filter":     "0",
		"/proc/sys/net/ipv4/conf/default/rp_filter": "0",
	} {
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("setting %s: %w", path, err)
		}
	}
	return nil
}

// pollInterval is short against the seconds that components take to start.
const pollInterval = 200 * time.Millisecond
