package serving

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/webhook/registration"
)

// Keys of the Secret; those of cert-controller.
const (
	// keyAuthority is the certificate of the authority, and after it those of
	// earlier authorities that are still valid.
	keyAuthority = "ca.crt"

	keyAuthorityKey   = "ca.key"
	keyCertificate    = corev1.TLSCertKey
	keyCertificateKey = corev1.TLSPrivateKeyKey
)

const (
	authorityLifetime   = 10 * 365 * 24 * time.Hour
	certificateLifetime = 365 * 24 * time.Hour

	// clockSkew is how much earlier than now certificates begin, for machines whose
	// clocks are behind.
	clockSkew = time.Hour
)

// dnsNames are the names under which the API server calls the Service.
func dnsNames(namespace string) []string {
	short := registration.ServiceName + "." + namespace + ".svc"
	return []string{short, short + ".cluster.local"}
}

// newCertificates returns the data of the Secret after a renewal.
func newCertificates(o observed, a action) (map[string][]byte, error) {
	usages := serverUsages()
	maker := &rotator.CertRotator{
		CAName: authorityName, CAOrganization: "podkeep",
		DNSName: o.dnsNames[0], ExtraDNSNames: o.dnsNames[1:], ExtKeyUsages: &usages,
	}
	begin := o.now.Add(-clockSkew)
	authority, bundle, err := authorityFor(o, a, maker)
	if err != nil {
		return nil, err
	}
	certificate, key, err := maker.CreateCertPEM(authority, begin, o.now.Add(certificateLifetime))
	if err != nil {
		return nil, fmt.Errorf("issuing the serving certificate: %w", err)
	}
	return map[string][]byte{
		keyAuthority:      bundle,
		keyAuthorityKey:   authority.KeyPEM,
		keyCertificate:    certificate,
		keyCertificateKey: key,
	}, nil
}

// authorityFor returns the authority that issues and what the API server has to
// trust: a new one, with those of before that are still valid, or the one that is
// there.
func authorityFor(o observed, a action, maker *rotator.CertRotator) (*rotator.KeyPairArtifacts, []byte, error) {
	if a == actRenewCertificate {
		authority, err := readAuthority(o.secret)
		if err != nil {
			return nil, nil, err
		}
		return authority, o.secret.Data[keyAuthority], nil
	}
	authority, err := maker.CreateCACert(o.now.Add(-clockSkew), o.now.Add(authorityLifetime))
	if err != nil {
		return nil, nil, fmt.Errorf("making an authority: %w", err)
	}
	bundle := bytes.Clone(authority.CertPEM)
	if o.secret != nil {
		bundle = append(bundle, stillValid(o.secret.Data[keyAuthority], o.now)...)
	}
	return authority, bundle, nil
}

// readAuthority reads the first authority of the Secret with its key.
func readAuthority(secret *corev1.Secret) (*rotator.KeyPairArtifacts, error) {
	certificate, _ := pem.Decode(secret.Data[keyAuthority])
	key, _ := pem.Decode(secret.Data[keyAuthorityKey])
	if certificate == nil || key == nil {
		return nil, errors.New("the authority in the secret is no PEM")
	}
	parsed, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing the authority: %w", err)
	}
	parsedKey, err := x509.ParsePKCS1PrivateKey(key.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing the key of the authority: %w", err)
	}
	return &rotator.KeyPairArtifacts{
		Cert: parsed, Key: parsedKey,
		CertPEM: secret.Data[keyAuthority], KeyPEM: secret.Data[keyAuthorityKey],
	}, nil
}

// stillValid returns the certificates of a bundle that are valid at now. What is
// no certificate is dropped.
func stillValid(bundle []byte, now time.Time) []byte {
	var valid []byte
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !now.Before(c.NotBefore) && now.Before(c.NotAfter) {
			valid = append(valid, pem.EncodeToMemory(block)...)
		}
	}
	return valid
}
