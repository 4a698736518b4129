package cluster

// What the cluster is made of. KubernetesVersion is also the version of
// k8s.io/kubernetes in go.mod, and its staging modules there are v0 of the same
// minor and patch; a test compares them.
const (
	KubernetesVersion = "v1.36.3"
	ContainerdVersion = "v2.2.9"
	VersityGWVersion  = "v1.8.0"
)

// Packages are the Debian packages a node needs. Their versions are those of
// the machine's release.
var Packages = []string{
	"busybox-static",
	"conntrack",
	"containernetworking-plugins",
	"e2fsprogs",
	"ethtool",
	"iproute2",
	"iptables",
	"nftables",
	"runc",
	"socat",
	"util-linux",
}
