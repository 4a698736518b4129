package serving

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/webhook/registration"
)

// Keys of the Secrets; those of cert-controller and of cert-manager.
const (
	// keyAuthority is the certificate of the authority, and after it those of others
	// that are or may be in use.
	keyAuthority = "ca.crt"

	keyAuthorityKey   = "ca.key"
	keyCertificate    = corev1.TLSCertKey
	keyCertificateKey = corev1.TLSPrivateKeyKey
)

// clockSkew is how much earlier than now certificates begin, for machines whose
// clocks are behind.
const clockSkew = time.Hour

// DNSNames are the names under which the API server calls the Service of the
// install in namespace; the first is the one it uses.
func DNSNames(namespace string) []string {
	short := registration.ServiceName + "." + namespace + ".svc"
	return []string{short, short + ".cluster.local"}
}

// newCertificates returns the data of the Secret after a renewal.
func newCertificates(o observed, a action) (map[string][]byte, error) {
	usages := serverUsages()
	maker := &rotator.CertRotator{
		CAName: authorityName, CAOrganization: authorityOrganization,
		DNSName: o.dnsNames[0], ExtraDNSNames: o.dnsNames[1:], ExtKeyUsages: &usages,
	}
	begin := o.now.Add(-clockSkew)
	authority, bundle, err := authorityFor(o, a, maker)
	if err != nil {
		return nil, err
	}
	certificate, key, err := maker.CreateCertPEM(authority, begin, o.now.Add(o.lifetimes.Certificate))
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
// trust: a new one, with all that are trusted so far, or the one that is there.
func authorityFor(o observed, a action, maker *rotator.CertRotator) (*rotator.KeyPairArtifacts, []byte, error) {
	if a == actRenewCertificate {
		authority, err := readAuthority(o.own)
		if err != nil {
			return nil, nil, err
		}
		return authority, o.own.Data[keyAuthority], nil
	}
	authority, err := maker.CreateCACert(o.now.Add(-clockSkew), o.now.Add(o.lifetimes.Authority))
	if err != nil {
		return nil, nil, fmt.Errorf("making an authority: %w", err)
	}
	return authority, joined(o.now, authority.CertPEM, o.trusted()), nil
}

// withAuthority returns the data of the Secret with cert-manager's authority added.
// It comes last: the first is the one whose key is there.
func withAuthority(o observed) map[string][]byte {
	data := map[string][]byte{}
	if o.own != nil {
		data = maps.Clone(o.own.Data)
	}
	data[keyAuthority] = joined(o.now, o.trusted(), o.issued.Data[keyAuthority])
	return data
}

// trusted returns all authorities that replicas may serve with: those in the Secret
// and, should somebody have removed it, those in the configurations.
func (o observed) trusted() []byte {
	var bundles [][]byte
	if o.own != nil {
		bundles = append(bundles, o.own.Data[keyAuthority])
	}
	for _, c := range o.configurations {
		for _, bundle := range caBundles(c) {
			bundles = append(bundles, *bundle)
		}
	}
	return joined(o.now, bundles...)
}

// readAuthority reads the first authority of the Secret with its key.
func readAuthority(secret *corev1.Secret) (*rotator.KeyPairArtifacts, error) {
	certificates := certificatesOf(secret.Data[keyAuthority])
	key, _ := pem.Decode(secret.Data[keyAuthorityKey])
	if len(certificates) == 0 || key == nil {
		return nil, errors.New("the authority in the secret is no PEM")
	}
	parsedKey, err := x509.ParsePKCS1PrivateKey(key.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parsing the key of the authority: %w", err)
	}
	return &rotator.KeyPairArtifacts{
		Cert: certificates[0], Key: parsedKey,
		CertPEM: secret.Data[keyAuthority], KeyPEM: secret.Data[keyAuthorityKey],
	}, nil
}
