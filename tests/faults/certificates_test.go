package faults

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/tests/suite"
)

// Names of an installation's certificates (docs/certificates.md).
const (
	certificatesSecret = "podkeep-webhook-certs"
	issuedSecret       = "podkeep-webhook-tls"
	authoritySecret    = "podkeep-webhook-ca"
	certificateName    = "podkeep-webhook"
	injectAnnotation   = "cert-manager.io/inject-ca-from-secret"

	// byCertManager and byItself are the authorities' common names.
	byCertManager = "podkeep-webhook-by-cert-manager"
	byItself      = "podkeep-webhook-ca"

	// shortDrain lets replicas end sooner than in real life: there is one node.
	shortDrain = "--webhook-arg=--drain-time=4s"
)

var certificateKind = schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"}

// TestCertManagerTakesOverAndBack switches the installation of all tests to
// cert-manager, lets certificate and authority rotate, and switches back, while pods
// are admitted all the time.
func TestCertManagerTakesOverAndBack(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	c.StartCertManager(t)
	t.Cleanup(func() { c.InstallAgain(t) })
	load := c.StartAdmissions(t)

	g.Expect(c.InstallAgain(t, "--webhook-certs=auto", shortDrain)).To(ContainSubstring("webhook certificates: cert-manager (it runs in the cluster)"))

	expectIssuer(t, c, byCertManager)
	g.Expect(authorities(t, c).Annotations).To(HaveKeyWithValue(injectAnnotation, suite.Namespace+"/"+certificatesSecret))
	g.Expect(secret(t, c, certificatesSecret).Data).To(And(HaveLen(1), HaveKey("ca.crt")), "no key of before is left")
	load.ExpectNoneLost(t, "switching to cert-manager")

	// One hour, of which all but ten seconds are for its renewal.
	patchCertificate(t, c, "1h", "59m50s")
	for range 3 {
		expectRenewal(t, c)
	}
	load.ExpectNoneLost(t, "three rotations by cert-manager")

	// A new authority, with another key, and a certificate of it.
	before := certificates(secret(t, c, authoritySecret).Data["tls.crt"])[0]
	c.Remove(t, secret(t, c, authoritySecret))
	g.Eventually(func(g Gomega) {
		s := secret(t, c, issuedSecret)
		after := certificates(s.Data["ca.crt"])[0]
		g.Expect(after.Equal(before)).To(BeFalse())
		for _, leaf := range c.Served(t) {
			g.Expect(leaf.CheckSignatureFrom(after)).To(Succeed())
		}
	}, suite.Long, "500ms").Should(Succeed(), "replicas serve with a certificate of the new authority")
	load.ExpectNoneLost(t, "a new authority by cert-manager")
	expectMetric(t, c, "cert-manager")

	g.Expect(c.InstallAgain(t, shortDrain)).To(ContainSubstring("webhook certificates: self-signed"))

	expectIssuer(t, c, byItself)
	g.Expect(authorities(t, c).Annotations).NotTo(HaveKey(injectAnnotation))
	left := &unstructured.UnstructuredList{}
	left.SetGroupVersionKind(certificateKind)
	g.Expect(c.Client.List(t.Context(), left, client.InNamespace(suite.Namespace))).To(Succeed())
	g.Expect(left.Items).To(BeEmpty())
	g.Eventually(func() []string { return trusted(t, c) }, suite.Short).Should(HaveEach(byItself), "the authority of cert-manager is trusted no more")
	load.ExpectNoneLost(t, "switching back")
}

// TestOwnCertificatesRotate has certificates that last for less than a minute.
func TestOwnCertificatesRotate(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	t.Cleanup(func() { c.InstallAgain(t) })
	load := c.StartAdmissions(t)
	c.InstallAgain(t, shortDrain, "--webhook-arg=--authority-lifetime=60s", "--webhook-arg=--certificate-lifetime=50s",
		"--webhook-arg=--certificate-renew-before=35s")

	// What is there lasts for years. Removing it makes new ones, and what was trusted
	// before is trusted on.
	c.Remove(t, secret(t, c, certificatesSecret))
	roots := map[string]bool{}
	g.Eventually(func() int {
		for _, leaf := range c.Served(t) {
			roots[string(leaf.AuthorityKeyId)] = true
		}
		return len(roots)
	}, suite.Long, "500ms").Should(BeNumerically(">=", 3), "certificates of this many authorities were served")
	expectMetric(t, c, "self-signed")
	load.ExpectNoneLost(t, "a removed Secret, and own authorities one after the other")
}

// TestCertManagerIsLeftClean installs elsewhere with cert-manager, and removes it.
func TestCertManagerIsLeftClean(t *testing.T) {
	c := suite.Connect(t)
	g := NewWithT(t)
	const namespace = "podkeep-certs"
	c.StartCertManager(t)

	c.Install(t, namespace, "password", "--webhook-certs=cert-manager", "--no-default-backup-location", "--no-secret")

	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(certificateKind)
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: certificateName}, u)).To(Succeed())
	own := &corev1.Secret{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: certificatesSecret}, own)).To(Succeed())
	g.Expect(own.Data).To(HaveLen(1), "there never was a key of its own")

	out, err := c.Podkeep(namespace, "uninstall", "--confirm")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(apierrors.IsNotFound(c.Client.Get(t.Context(), client.ObjectKeyFromObject(u), u))).To(BeTrue(), "the Certificate is gone")
}

func secret(t *testing.T, c *suite.Cluster, name string) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	NewWithT(t).Expect(c.Client.Get(t.Context(), client.ObjectKey{Namespace: suite.Namespace, Name: name}, s)).To(Succeed())
	return s
}

func authorities(t *testing.T, c *suite.Cluster) *admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	cfg, err := c.Clientset.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), "podkeep-"+suite.Namespace, metav1.GetOptions{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return cfg
}

// trusted are the names of the authorities that the API server trusts.
func trusted(t *testing.T, c *suite.Cluster) []string {
	t.Helper()
	var names []string
	for _, w := range authorities(t, c).Webhooks {
		for _, a := range certificates(w.ClientConfig.CABundle) {
			names = append(names, a.Subject.CommonName)
		}
	}
	return names
}

// expectIssuer waits until all replicas serve with certificates of an authority.
func expectIssuer(t *testing.T, c *suite.Cluster, name string) {
	t.Helper()
	NewWithT(t).Eventually(func() []*x509.Certificate { return c.Served(t) }, suite.Short, "500ms").Should(
		And(HaveLen(2), HaveEach(HaveField("Issuer.CommonName", name))))
}

// expectRenewal waits until all replicas serve with another certificate.
func expectRenewal(t *testing.T, c *suite.Cluster) {
	t.Helper()
	before := c.Served(t)[0].SerialNumber.String()
	NewWithT(t).Eventually(func(g Gomega) {
		served := c.Served(t)
		g.Expect(served).To(HaveLen(2))
		for _, leaf := range served {
			g.Expect(leaf.SerialNumber.String()).NotTo(Equal(before))
		}
	}, suite.Short, "500ms").Should(Succeed())
}

// expectMetric compares when the replicas say that their certificates end.
func expectMetric(t *testing.T, c *suite.Cluster, issuer string) {
	t.Helper()
	g := NewWithT(t)
	for _, p := range podsIn(t, c, suite.Namespace) {
		if p.Labels["deploy"] != certificateName || !p.DeletionTimestamp.IsZero() {
			continue
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Status.PodIP+":8085/metrics", nil)
		g.Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(response.Body)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Body.Close()).To(Succeed())
		g.Expect(string(text)).To(MatchRegexp(fmt.Sprintf(`podkeep_webhook_certificate_expiry_timestamp_seconds\{issuer="%s"\} 1\.[0-9]+e\+09`, issuer)))
	}
}

// patchCertificate sets how long cert-manager's certificate lasts.
func patchCertificate(t *testing.T, c *suite.Cluster, duration, renewBefore string) {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(certificateKind)
	u.SetNamespace(suite.Namespace)
	u.SetName(certificateName)
	patch := fmt.Sprintf(`{"spec":{"duration":%q,"renewBefore":%q}}`, duration, renewBefore)
	NewWithT(t).Expect(c.Client.Patch(t.Context(), u, client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
}

func certificates(bundle []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if a, err := x509.ParseCertificate(block.Bytes); err == nil && time.Now().Before(a.NotAfter) {
			all = append(all, a)
		}
	}
	return all
}
