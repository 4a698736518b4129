package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
)

// masters is the group that may do everything.
const masters = "system:masters"

// clients are the components that get a kubeconfig file of their own, each
// with the identity that Kubernetes' own roles are bound to.
var clients = map[string]subject{
	"kube-controller-manager": {user: "system:kube-controller-manager"},
	"kube-proxy":              {user: "system:kube-proxy"},
	"kube-scheduler":          {user: "system:kube-scheduler"},
	"kubelet":                 kubeletOf(cluster.First),
	"provisioner":             {user: "podkeep:local-provisioner", groups: []string{masters}},
}

// kubeletOf is the identity of a node's kubelet.
func kubeletOf(n cluster.Node) subject {
	return subject{user: "system:node:" + n.Name, groups: []string{"system:nodes"}}
}

// kubeletServer is what a kubelet answers as.
func kubeletServer(n cluster.Node) subject {
	return subject{user: "kubelet", names: []string{n.Name}, addresses: []string{n.Address, "127.0.0.1"}}
}

// Kubeconfig is the kubeconfig file of a component.
func Kubeconfig(state cluster.StateDir, component string) string {
	return state.Config(component + ".kubeconfig")
}

// Write makes every certificate, key and kubeconfig file of the cluster. The
// folders for them exist.
func Write(state cluster.StateDir, now time.Time) error {
	ca, err := newAuthority("podkeep-cluster-ca", now)
	if err != nil {
		return err
	}
	if err := ca.pair.write(state.PKI("ca")); err != nil {
		return fmt.Errorf("writing the cluster authority: %w", err)
	}
	for _, write := range []func() error{
		func() error { return writeServers(state, ca) },
		func() error { return writeFrontProxy(state, now) },
		func() error { return writeServiceAccountKey(state) },
		func() error { return writeKubeconfigs(state, ca) },
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// WriteNode makes what a further node of the cluster needs, signed by the
// cluster's authority. The folders for it exist.
func WriteNode(state cluster.StateDir, n cluster.Node, now time.Time) error {
	ca, err := readAuthority(state.PKI("ca"), now)
	if err != nil {
		return fmt.Errorf("reading the cluster authority: %w", err)
	}
	own := state.Node(n)
	if err := os.WriteFile(own.PKI("ca.crt"), ca.pair.cert, 0o644); err != nil {
		return fmt.Errorf("writing the cluster authority: %w", err)
	}
	server, err := ca.issue(kubeletServer(n))
	if err != nil {
		return err
	}
	if err := server.write(own.PKI("kubelet")); err != nil {
		return fmt.Errorf("writing the kubelet's certificate: %w", err)
	}
	if err := writeKubeconfig(Kubeconfig(own, "kubelet"), ca, kubeletOf(n)); err != nil {
		return err
	}
	return writeKubeconfig(Kubeconfig(own, "kube-proxy"), ca, clients["kube-proxy"])
}

func writeServers(state cluster.StateDir, ca *authority) error {
	for base, s := range map[string]subject{
		"apiserver": {
			user: "kube-apiserver",
			names: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			},
			addresses: []string{cluster.APIServiceAddress, cluster.NodeAddress, "127.0.0.1"},
		},
		"apiserver-kubelet-client": {user: "kube-apiserver-kubelet-client", groups: []string{masters}},
		"kubelet":                  kubeletServer(cluster.First),
	} {
		p, err := ca.issue(s)
		if err != nil {
			return err
		}
		if err := p.write(state.PKI(base)); err != nil {
			return fmt.Errorf("writing certificate %s: %w", base, err)
		}
	}
	return nil
}

// writeFrontProxy makes what aggregated API servers know the API server by.
func writeFrontProxy(state cluster.StateDir, now time.Time) error {
	ca, err := newAuthority("podkeep-cluster-front-proxy-ca", now)
	if err != nil {
		return err
	}
	client, err := ca.issue(subject{user: "front-proxy-client"})
	if err != nil {
		return err
	}
	if err := ca.pair.write(state.PKI("front-proxy-ca")); err != nil {
		return fmt.Errorf("writing the front proxy authority: %w", err)
	}
	if err := client.write(state.PKI("front-proxy-client")); err != nil {
		return fmt.Errorf("writing the front proxy certificate: %w", err)
	}
	return nil
}

func writeServiceAccountKey(state cluster.StateDir) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the service account key: %w", err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("encoding the service account key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the public service account key: %w", err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(state.PKI("sa.key"), private, 0o600); err != nil {
		return fmt.Errorf("writing the service account key: %w", err)
	}
	if err := os.WriteFile(state.PKI("sa.pub"), public, 0o644); err != nil {
		return fmt.Errorf("writing the public service account key: %w", err)
	}
	return nil
}

func writeKubeconfigs(state cluster.StateDir, ca *authority) error {
	for component, s := range clients {
		if err := writeKubeconfig(Kubeconfig(state, component), ca, s); err != nil {
			return err
		}
	}
	return writeKubeconfig(state.Kubeconfig(), ca, subject{user: "admin", groups: []string{masters}})
}

func writeKubeconfig(path string, ca *authority, s subject) error {
	p, err := ca.issue(s)
	if err != nil {
		return err
	}
	encode := base64.StdEncoding.EncodeToString
	text := fmt.Sprintf(kubeconfig, cluster.APIServer, encode(ca.pair.cert), encode(p.cert), encode(p.key))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", s.user, err)
	}
	return nil
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: podkeep-cluster
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: user
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: podkeep-cluster
  context:
    cluster: podkeep-cluster
    user: user
current-context: podkeep-cluster
`
