// Package pki makes the certificates, keys and kubeconfig files of the test
// cluster. Everything is made anew at each start and valid for ten years; the
// keys protect nothing but a cluster on a private address of this machine.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

const validity = 10 * 365 * 24 * time.Hour

// authority signs certificates.
type authority struct {
	now  time.Time
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pair pair
}

// pair is a certificate and its key, both PEM.
type pair struct {
	cert, key []byte
}

// subject says who a certificate is for. With addresses or names it is a
// server's, and always a client's as well.
type subject struct {
	user      string
	groups    []string
	names     []string
	addresses []string
}

func newAuthority(name string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of authority %s: %w", name, err)
	}
	template := template(subject{user: name}, now)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage |= x509.KeyUsageCertSign
	template.ExtKeyUsage = nil
	a := &authority{now: now, cert: template, key: key}
	a.pair, err = a.sign(template, key)
	if err != nil {
		return nil, fmt.Errorf("signing authority %s: %w", name, err)
	}
	a.cert, err = parse(a.pair.cert)
	return a, err
}

// readAuthority reads one that was written with that base name.
func readAuthority(base string, now time.Time) (*authority, error) {
	var err error
	a := &authority{now: now}
	if a.pair.cert, err = os.ReadFile(base + ".crt"); err != nil {
		return nil, err
	}
	if a.pair.key, err = os.ReadFile(base + ".key"); err != nil {
		return nil, err
	}
	if a.cert, err = parse(a.pair.cert); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(a.pair.key)
	if block == nil {
		return nil, fmt.Errorf("%s.key is not PEM", base)
	}
	a.key, err = x509.ParseECPrivateKey(block.Bytes)
	return a, err
}

func (a *authority) issue(s subject) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("making the key of %s: %w", s.user, err)
	}
	p, err := a.sign(template(s, a.now), key)
	if err != nil {
		return pair{}, fmt.Errorf("signing the certificate of %s: %w", s.user, err)
	}
	return p, nil
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: keyPEM}, nil
}

func template(s subject, now time.Time) *x509.Certificate {
	cert := &x509.Certificate{
		Subject:     pkix.Name{CommonName: s.user, Organization: s.groups},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(validity),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:    s.names,
	}
	for _, address := range s.addresses {
		cert.IPAddresses = append(cert.IPAddresses, net.ParseIP(address))
	}
	if len(s.names)+len(s.addresses) > 0 {
		cert.ExtKeyUsage = append(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	return cert
}

func parse(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	return x509.ParseCertificate(block.Bytes)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// write writes both files of a pair: <base>.crt and <base>.key.
func (p pair) write(base string) error {
	if err := os.WriteFile(base+".crt", p.cert, 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".key", p.key, 0o600)
}
