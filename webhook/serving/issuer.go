package serving

import (
	"cmp"
	"fmt"
	"time"
)

// Issuer says who makes the certificates that the webhook serves with.
type Issuer string

const (
	// SelfSigned is the webhook itself, with an authority of its own.
	SelfSigned Issuer = "self-signed"

	// CertManager is cert-manager: Certificate CertificateName, and its CA injection.
	CertManager Issuer = "cert-manager"
)

// ParseIssuer reads a flag. The error names what is allowed.
func ParseIssuer(flag, value string) (Issuer, error) {
	switch i := Issuer(value); i {
	case SelfSigned, CertManager:
		return i, nil
	}
	return "", fmt.Errorf("--%s: Unsupported value: %q: supported values: %q, %q", flag, value, SelfSigned, CertManager)
}

// Names of what the two sides of cert-manager share: the installation makes the
// Certificate and annotates the webhook configurations, the webhook reads and
// writes the Secrets.
const (
	// SecretName is the Secret, in the install namespace, with all authorities that
	// the API server is to trust and, when the issuer is SelfSigned, with the keys and
	// the serving certificate. It is made when it does not exist.
	SecretName = "podkeep-webhook-certs"

	// CertificateName is the Certificate that cert-manager issues, in the install
	// namespace.
	CertificateName = "podkeep-webhook"

	// IssuedSecretName is the Secret that cert-manager writes it to.
	IssuedSecretName = "podkeep-webhook-tls"

	// InjectAnnotation on a webhook configuration tells cert-manager's injector from
	// which Secret, NAMESPACE/NAME, to take the caBundle
	// (https://cert-manager.io/docs/concepts/ca-injector/).
	InjectAnnotation = "cert-manager.io/inject-ca-from-secret"

	// allowInjectionAnnotation on a Secret allows that.
	allowInjectionAnnotation = "cert-manager.io/allow-direct-injection"
)

// InjectFrom is the value of InjectAnnotation for the install in namespace.
func InjectFrom(namespace string) string { return namespace + "/" + SecretName }

// Lifetimes are those of certificates that the webhook makes itself. A zero is the
// default. They are shorter in tests only.
type Lifetimes struct {
	Authority   time.Duration // default 10 years
	Certificate time.Duration // default 1 year

	// RenewBefore is how long before their end both are renewed; less than the
	// lifetimes. The default, 90 days, is far more than any outage of the webhook.
	RenewBefore time.Duration
}

const (
	day = 24 * time.Hour

	authorityLifetime   = 10 * 365 * day
	certificateLifetime = 365 * day
	renewBefore         = 90 * day
)

// Validate says what is wrong with flags that set lifetimes.
func (l Lifetimes) Validate() error {
	l = l.withDefaults()
	if l.RenewBefore >= l.Certificate || l.RenewBefore >= l.Authority || l.RenewBefore < 0 {
		return fmt.Errorf("--certificate-renew-before: Invalid value: %s: must be less than --certificate-lifetime %s and --authority-lifetime %s",
			l.RenewBefore, l.Certificate, l.Authority)
	}
	return nil
}

func (l Lifetimes) withDefaults() Lifetimes {
	return Lifetimes{
		Authority:   cmp.Or(l.Authority, authorityLifetime),
		Certificate: cmp.Or(l.Certificate, certificateLifetime),
		RenewBefore: cmp.Or(l.RenewBefore, renewBefore),
	}
}
