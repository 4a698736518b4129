package pki

import (
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
)

func TestWriteMakesServersThatClientsAccept(t *testing.T) {
	state := newState(t)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := Write(state, now); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(readCertificate(t, state.PKI("ca.crt")))

	for _, tt := range []struct{ base, name string }{
		{"apiserver", cluster.NodeAddress},
		{"apiserver", cluster.APIServiceAddress},
		{"apiserver", "127.0.0.1"},
		{"apiserver", "kubernetes.default.svc"},
		{"kubelet", cluster.NodeAddress},
		{"kubelet", cluster.NodeName},
	} {
		cert := readCertificate(t, state.PKI(tt.base+".crt"))
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: tt.name, CurrentTime: now}); err != nil {
			t.Errorf("certificate of %s, asked for %s: %v", tt.base, tt.name, err)
		}
	}
}

func TestWriteNodeMakesAServerOfTheSameAuthority(t *testing.T) {
	state := newState(t)
	own := state.Node(cluster.Second)
	for _, dir := range []string{own.PKI(""), own.Config("")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := Write(state, now); err != nil {
		t.Fatal(err)
	}

	if err := WriteNode(state, cluster.Second, now); err != nil {
		t.Fatal(err)
	}

	roots := x509.NewCertPool()
	roots.AddCert(readCertificate(t, state.PKI("ca.crt")))
	cert := readCertificate(t, own.PKI("kubelet.crt"))
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: cluster.Second.Address, CurrentTime: now}); err != nil {
		t.Error(err)
	}
	for _, component := range []string{"kubelet", "kube-proxy"} {
		if _, err := os.Stat(Kubeconfig(own, component)); err != nil {
			t.Error(err)
		}
	}
}

func TestWriteMakesKubeconfigPerClient(t *testing.T) {
	state := newState(t)
	if err := Write(state, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	paths := []string{state.Kubeconfig()}
	for component := range clients {
		paths = append(paths, Kubeconfig(state, component))
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s: it holds a key", path, info.Mode())
		}
	}
}

func newState(t *testing.T) cluster.StateDir {
	t.Helper()
	state := cluster.StateDir(t.TempDir())
	for _, dir := range []string{state.PKI(""), state.Config("")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := parse(content)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
