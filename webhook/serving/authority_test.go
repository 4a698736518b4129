package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// authority is one that cert-manager could have made.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	bundle      []byte
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: start.Add(-year), NotAfter: start.Add(10 * year),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	g.Expect(err).NotTo(HaveOccurred())
	certificate, err := x509.ParseCertificate(raw)
	g.Expect(err).NotTo(HaveOccurred())
	return authority{certificate: certificate, key: key, bundle: pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: raw})}
}

// issue returns the Secret as cert-manager writes it.
func (a authority) issue(t *testing.T, end time.Time) *corev1.Secret {
	t.Helper()
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: DNSNames("velero"), NotBefore: start.Add(-year), NotAfter: end,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: serverUsages(),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	g.Expect(err).NotTo(HaveOccurred())
	rawKey, err := x509.MarshalECPrivateKey(key)
	g.Expect(err).NotTo(HaveOccurred())
	return &corev1.Secret{Data: map[string][]byte{
		keyAuthority:      a.bundle,
		keyCertificate:    pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: raw}),
		keyCertificateKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: rawKey}),
	}}
}

func (a authority) pair(t *testing.T, end time.Time) *tls.Certificate {
	t.Helper()
	secret := a.issue(t, end)
	pair, err := tls.X509KeyPair(secret.Data[keyCertificate], secret.Data[keyCertificateKey])
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return &pair
}

func validating(bundle []byte) *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "podkeep-velero"},
		Webhooks:   []admissionv1.ValidatingWebhook{{Name: "any", ClientConfig: admissionv1.WebhookClientConfig{CABundle: bundle}}},
	}
}
