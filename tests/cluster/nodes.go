package cluster

import (
	"fmt"
	"path/filepath"
)

// Node is one node of the cluster: namespaces of its own on this machine.
type Node struct {
	Name    string
	Address string

	// Gateway is the other end of its link: the machine for the first node, the
	// first node for the second, which is how it reaches the machine as well.
	Gateway string

	PodRange   string
	CgroupRoot string // of its kubelet, which makes all below it and not the root itself
}

// First has the control plane too. It is there whenever the cluster is.
var First = Node{
	Name: NodeName, Address: NodeAddress, Gateway: HostAddress, PodRange: NodePodRange, CgroupRoot: CgroupRoot,
}

// Second comes and goes with `cluster node add` and `cluster node remove`.
var Second = Node{
	Name: "node2", Address: "10.99.1.2", Gateway: "10.99.1.1", PodRange: "10.244.4.0/22", CgroupRoot: CgroupRoot + "/node2",
}

// SecondLinkRange is the network of the link between the two nodes.
const SecondLinkRange = "10.99.1.0/24"

// FindNode returns the node of that name.
func FindNode(name string) (Node, error) {
	for _, n := range []Node{First, Second} {
		if n.Name == name {
			return n, nil
		}
	}
	return Node{}, fmt.Errorf("%q is no node: there are %s and %s", name, First.Name, Second.Name)
}

// HasControlPlane reports whether the control plane runs on the node.
func (n Node) HasControlPlane() bool { return n == First }

// Node is the folder of a node below the cluster's. The first node's is the
// cluster's own.
func (s StateDir) Node(n Node) StateDir {
	if n.HasControlPlane() {
		return s
	}
	return StateDir(s.Join(n.Name))
}

// Cluster is the cluster's folder, seen from that of a node.
func (s StateDir) Cluster(n Node) StateDir {
	if n.HasControlPlane() {
		return s
	}
	return StateDir(filepath.Dir(string(s)))
}
