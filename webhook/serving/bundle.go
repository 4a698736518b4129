package serving

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// blockType is the type of the PEM blocks that are read; others are left out.
const blockType = "CERTIFICATE"

// certificatesOf returns the certificates of a PEM bundle in order. What is no
// certificate is left out.
func certificatesOf(bundle []byte) []*x509.Certificate {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && block.Type == blockType {
			certificates = append(certificates, c)
		}
	}
	return certificates
}

// joined returns the certificates of PEM bundles that are not expired at now, each
// once, in order.
func joined(now time.Time, bundles ...[]byte) []byte {
	var out []byte
	seen := map[string]bool{}
	for _, bundle := range bundles {
		for _, c := range certificatesOf(bundle) {
			if seen[string(c.Raw)] || now.After(c.NotAfter) {
				continue
			}
			seen[string(c.Raw)] = true
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: c.Raw})...)
		}
	}
	return out
}

// contains says whether a bundle has all certificates of another that are not
// expired. Order and format do not matter: cert-manager's injector writes its own.
func contains(bundle, other []byte, now time.Time) bool {
	have := joined(now, bundle)
	return bytes.Equal(joined(now, have, other), have)
}

// same says whether two bundles trust the same certificates.
func same(a, b []byte, now time.Time) bool { return contains(a, b, now) && contains(b, a, now) }

// callable says whether a client that trusts a bundle would accept a certificate at
// now when it calls name: what the API server checks.
func callable(pair *tls.Certificate, bundle []byte, name string, now time.Time) bool {
	if pair == nil || pair.Leaf == nil {
		return false
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, raw := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(raw); err == nil {
			between.AddCert(c)
		}
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{
		DNSName: name, Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: serverUsages(),
	})
	return err == nil
}

// caBundles returns where a webhook configuration of either kind holds the
// authorities that the API server trusts, one per webhook.
func caBundles(configuration client.Object) []*[]byte {
	var bundles []*[]byte
	switch c := configuration.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		for i := range c.Webhooks {
			bundles = append(bundles, &c.Webhooks[i].ClientConfig.CABundle)
		}
	case *admissionv1.ValidatingWebhookConfiguration:
		for i := range c.Webhooks {
			bundles = append(bundles, &c.Webhooks[i].ClientConfig.CABundle)
		}
	}
	return bundles
}
