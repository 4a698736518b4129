package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Podkeep runs podkeep's client for an installation and returns what it printed.
func (c *Cluster) Podkeep(installation string, args ...string) (string, error) {
	cmd := exec.Command(Binary(), append([]string{"--kubeconfig", c.Kubeconfig, "-n", installation}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Install makes another installation, from the image of the first and with the
// given repository password already in place. It is removed after the test,
// unless that failed. It returns what the client printed.
func (c *Cluster) Install(t *testing.T, namespace, password string, args ...string) string {
	t.Helper()
	c.PrepareInstall(t, namespace, password)
	return c.FinishInstall(t, namespace, args...)
}

// FinishInstall is the rest of Install after PrepareInstall.
func (c *Cluster) FinishInstall(t *testing.T, namespace string, args ...string) string {
	t.Helper()
	out, err := c.Podkeep(namespace, append([]string{"install", "--image", c.Image(t), "--image-pull-policy", "IfNotPresent"}, args...)...)
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), out)
	return out
}

// PrepareInstall makes the namespace and the Secret of an installation, so that a
// test can add objects that must be there before the rest.
func (c *Cluster) PrepareInstall(t *testing.T, namespace, password string) {
	t.Helper()
	g := NewWithT(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the installation stays to be looked at: podkeep uninstall -n %s --confirm", namespace)
			return
		}
		out, err := c.Podkeep(namespace, "uninstall", "--confirm")
		g.Expect(err).NotTo(HaveOccurred(), out)
	})
	c.Apply(t,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "velero-repo-credentials"},
			Data:       map[string][]byte{"repository-password": []byte(password)},
		})
}

// CredentialsFile is a file with the keys of the S3 gateway.
func CredentialsFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "credentials")
	NewWithT(t).Expect(os.WriteFile(file, []byte(S3Credentials), 0o600)).To(Succeed())
	return file
}
