package cluster

import (
	"cmp"
	"os"
	"path/filepath"
)

// Names and addresses of the cluster. They are fixed: there is one cluster per
// machine, and a test may write them down.
const (
	NodeName = "node1"

	// HostLink is the machine's end of the veth pair, eth0 the node's.
	HostLink    = "podkeep0"
	NodeLink    = "eth0"
	HostAddress = "10.99.0.1"
	NodeAddress = "10.99.0.2"
	LinkBits    = "/24"

	// PodRange and ServiceRange must not contain NodeAddress: kube-proxy drops
	// what is sent to an address of the Service range that no Service has.
	PodRange     = "10.244.0.0/16"
	NodePodRange = "10.244.0.0/22" // the first of PodRange by NodePodBits
	NodePodBits  = "22"            // 1022 pod addresses, for up to 300 pods and those that just ended
	ServiceRange = "10.96.0.0/16"

	APIServiceAddress = "10.96.0.1" // the first of ServiceRange, by Kubernetes' own rule
	APIServer         = "https://" + NodeAddress + ":6443"

	// S3Address is the ClusterIP of the S3 gateway, reachable from pods and
	// from the machine.
	S3Address = "10.96.0.90"
	S3Bucket  = "podkeep"

	// CgroupRoot holds every cgroup of the cluster, in each cgroup hierarchy.
	CgroupRoot = "podkeep-cluster"

	// PauseImage, BusyboxImage and S3Image are made by `cluster up`.
	PauseImage   = "localhost/pause:latest"
	BusyboxImage = "localhost/busybox:latest"
	S3Image      = "localhost/versitygw:latest"
)

// Paths inside the node's mount namespace.
const (
	ContainerdSocket = "/run/containerd/containerd.sock"
	NodeVolumes      = "/srv/volumes"
	NodeS3           = "/srv/s3"
)

// StateDir is the folder of everything that belongs to the running cluster,
// removed by `cluster down`.
type StateDir string

// DefaultStateDir returns the folder named by PODKEEP_CLUSTER_DIR, or
// /var/tmp/podkeep-cluster. It is not in /tmp because that may be a tmpfs,
// which overlayfs and extended attributes do not work on everywhere.
func DefaultStateDir() StateDir {
	return StateDir(filepath.Clean(cmp.Or(os.Getenv("PODKEEP_CLUSTER_DIR"), "/var/tmp/podkeep-cluster")))
}

// Join returns a path below the folder.
func (s StateDir) Join(elem ...string) string {
	return filepath.Join(append([]string{string(s)}, elem...)...)
}

// Kubeconfig is the file of the cluster's administrator.
func (s StateDir) Kubeconfig() string { return s.Join("kubeconfig") }

// PKI holds the certificates and keys.
func (s StateDir) PKI(name string) string { return s.Join("pki", name) }

// Logs holds one file per component, and the supervisor's own.
func (s StateDir) Logs() string { return s.Join("logs") }

// Log is the log file of a component.
func (s StateDir) Log(component string) string { return s.Join("logs", component+".log") }

// Config is a configuration file of a component.
func (s StateDir) Config(name string) string { return s.Join("config", name) }

// ControlSocket is where the supervisor listens.
func (s StateDir) ControlSocket() string { return s.Join("control.sock") }

// Command is the copy of this program that is PID 1 of the node. A copy,
// because `go run` removes the program it built as soon as it has ended.
func (s StateDir) Command() string { return s.Join("cluster") }

// MountPoints lists the folders that were made on the machine for the node to
// mount on, one per line, to be removed with it.
func (s StateDir) MountPoints() string { return s.Join("mountpoints") }

// Complete exists once `cluster up` has done everything; without it, a running
// node is one whose start was interrupted.
func (s StateDir) Complete() string { return s.Join("complete") }
