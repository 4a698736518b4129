package node

import (
	"path/filepath"
	"strconv"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/pki"
)

// Names of the components. A component is one process that the supervisor
// starts, and the name of its program and of its log file.
const (
	etcd              = "etcd"
	containerd        = "containerd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	kubeProxy         = "kube-proxy"
	kubelet           = "kubelet"
	provisioner       = "provisioner"
)

// Components returns the names of a node's components in the order they are
// started.
func Components(n cluster.Node) []string {
	return append(append([]string{}, beforeAPI(n)...), afterAPI(n)...)
}

func beforeAPI(n cluster.Node) []string {
	if n.HasControlPlane() {
		return []string{etcd, containerd, apiServer}
	}
	return []string{containerd}
}

// afterAPI are the components that give up, or wait long before they try again,
// when the API server does not answer.
func afterAPI(n cluster.Node) []string {
	if n.HasControlPlane() {
		return []string{kubelet, controllerManager, scheduler, kubeProxy, provisioner}
	}
	return []string{kubelet, kubeProxy}
}

// qps lets clients send what a test of many pods needs at once: the API server
// is on the same machine, and its own limit is far above.
const qps, burst = 200, 400

// arguments returns what a component is started with, without the program.
func arguments(name string, c Config) []string {
	state := c.State
	kubeconfig := "--kubeconfig=" + pki.Kubeconfig(state, name)
	clientLimits := []string{
		"--kube-api-qps=" + strconv.Itoa(qps),
		"--kube-api-burst=" + strconv.Itoa(burst),
	}
	switch name {
	case etcd:
		return []string{
			"--data-dir=/run/etcd", // a tmpfs: nothing of a test cluster must survive it
			"--listen-client-urls=" + etcdURL,
			"--advertise-client-urls=" + etcdURL,
			"--unsafe-no-fsync",
			"--log-level=warn",
		}
	case containerd:
		return []string{"--config=" + state.Config("containerd.toml")}
	case apiServer:
		return apiServerArguments(state)
	case controllerManager:
		return append(controllerManagerArguments(state), append(clientLimits, kubeconfig)...)
	case scheduler:
		return append(clientLimits, kubeconfig, "--leader-elect=false")
	case kubeProxy:
		return []string{
			kubeconfig,
			"--hostname-override=" + c.Node.Name,
			"--proxy-mode=nftables",
			"--cluster-cidr=" + cluster.PodRange,
			"--conntrack-max-per-core=0", // belongs to the machine, not to this network namespace
		}
	case kubelet:
		return []string{
			kubeconfig,
			"--config=" + state.Config("kubelet.yaml"),
			"--hostname-override=" + c.Node.Name,
			"--node-ip=" + c.Node.Address,
		}
	case provisioner:
		return []string{kubeconfig, "--root=" + cluster.NodeVolumes}
	}
	return nil
}

const etcdURL = "http://127.0.0.1:2379"

func apiServerArguments(state cluster.StateDir) []string {
	return []string{
		"--advertise-address=" + cluster.NodeAddress,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--client-ca-file=" + state.PKI("ca.crt"),
		"--enable-admission-plugins=NodeRestriction",
		"--etcd-servers=" + etcdURL,
		"--kubelet-certificate-authority=" + state.PKI("ca.crt"),
		"--kubelet-client-certificate=" + state.PKI("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + state.PKI("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP", // node1 is not a name anyone resolves
		"--profiling=false",
		"--proxy-client-cert-file=" + state.PKI("front-proxy-client.crt"),
		"--proxy-client-key-file=" + state.PKI("front-proxy-client.key"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-client-ca-file=" + state.PKI("front-proxy-ca.crt"),
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + state.PKI("sa.pub"),
		"--service-account-signing-key-file=" + state.PKI("sa.key"),
		"--service-cluster-ip-range=" + cluster.ServiceRange,
		"--tls-cert-file=" + state.PKI("apiserver.crt"),
		"--tls-private-key-file=" + state.PKI("apiserver.key"),
	}
}

func controllerManagerArguments(state cluster.StateDir) []string {
	return []string{
		"--allocate-node-cidrs=true",
		"--cluster-cidr=" + cluster.PodRange,
		"--cluster-signing-cert-file=" + state.PKI("ca.crt"),
		"--cluster-signing-key-file=" + state.PKI("ca.key"),
		"--flex-volume-plugin-dir=/var/lib/kubelet/volume-plugins", // by default below /usr/libexec, the machine's
		"--leader-elect=false",
		"--node-cidr-mask-size=" + cluster.NodePodBits,
		"--profiling=false",
		"--root-ca-file=" + state.PKI("ca.crt"),
		"--service-account-private-key-file=" + state.PKI("sa.key"),
		"--service-cluster-ip-range=" + cluster.ServiceRange,
		"--use-service-account-credentials=true", // so that every controller has the rights it has elsewhere
	}
}

// program is the file of a component.
func program(name, bin string) string {
	return filepath.Join(bin, name)
}
