package node

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/podkeep/podkeep/tests/cluster"
)

// bind is a folder of the state folder that the node sees elsewhere.
type bind struct {
	source string // below the state folder
	target string
	shared bool // by all nodes: below the cluster's state folder and not the node's
}

// binds are everything that Kubernetes and containerd write to fixed places.
// The folders of volumes and of the S3 gateway are among them so that tests
// outside see the files.
var binds = []bind{
	{source: "kubelet", target: "/var/lib/kubelet"},
	{source: "cni-state", target: "/var/lib/cni"},
	{source: "var-log", target: "/var/log"},
	// The provisioner, on the first node, makes the folders of the second's too.
	{source: "volumes", target: cluster.NodeVolumes, shared: true},
	{source: "s3", target: cluster.NodeS3, shared: true},
}

// tmpfs hide what the machine has there: /run so that sockets and network
// namespaces go with the node, /srv for the mount points in it.
var tmpfs = []string{"/run", "/srv"}

// MountPoints returns the folders that must exist on the machine before the
// node starts.
func MountPoints() []string {
	return []string{"/run", "/srv", "/var/lib/kubelet", "/var/lib/cni", "/var/log"}
}

func mountAll(c Config) error {
	// Nothing mounted from here on is seen outside.
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	for _, target := range tmpfs {
		if err := unix.Mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("mounting a tmpfs on %s: %w", target, err)
		}
	}
	for _, b := range binds {
		if err := b.mount(c); err != nil {
			return err
		}
	}
	// As on a node started by systemd: mount propagation of volumes needs it.
	// It reaches no further than this namespace, as all was private before.
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making mounts shared in the node: %w", err)
	}
	return nil
}

func (b bind) mount(c Config) error {
	source := c.State.Join(b.source)
	if b.shared {
		source = c.State.Cluster(c.Node).Join(b.source)
	}
	for _, dir := range []string{source, b.target} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", dir, err)
		}
	}
	if err := unix.Mount(source, b.target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", source, b.target, err)
	}
	return nil
}
