package serving

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// authorityName and authorityOrganization are in the name of the authority.
	authorityName         = "podkeep-webhook-ca"
	authorityOrganization = "podkeep"

	// checkInterval is how often validity is checked without another cause.
	checkInterval = 12 * time.Hour

	// handoverDelay is how long a replica goes on with a certificate that still works
	// after it has seen the configuration trust the next one: API servers learn of the
	// configuration by a watch of their own, each at its time.
	handoverDelay = 5 * time.Second
)

// observed is what a plan is made from.
type observed struct {
	now       time.Time
	dnsNames  []string // the certificate must have; the first is what the API server calls
	issuer    Issuer
	lifetimes Lifetimes // without zeros

	own    *corev1.Secret // SecretName; nil: does not exist
	issued *corev1.Secret // IssuedSecretName; nil: does not exist, or not of interest

	// configurations are the webhook configurations that exist; without the mutating
	// one it is empty.
	configurations []client.Object

	serving *tls.Certificate // what this replica serves; nil: nothing yet

	// trustedSince is when this replica first saw all configurations trust the
	// certificate that is to be served; zero: not yet.
	trustedSince time.Time
}

// action is what to do next.
type action string

const (
	// actRenewAuthority makes an authority and a certificate.
	actRenewAuthority action = "RenewAuthority"

	// actRenewCertificate makes a certificate of the authority.
	actRenewCertificate action = "RenewCertificate"

	// actAddAuthority adds cert-manager's authority to those in the Secret, from which
	// cert-manager's injector takes them.
	actAddAuthority action = "AddAuthority"

	// actTrust writes the authorities into the configurations.
	actTrust action = "Trust"

	// actServe serves with the certificate.
	actServe action = "Serve"

	// actWait goes on with what is served, if anything.
	actWait action = "Wait"
)

type step struct {
	action action
	reason string        // for people: what a replica waits for
	after  time.Duration // look again; 0: a watch will say
}

// writes says whether the step changes what others see.
func (s step) writes() bool {
	switch s.action {
	case actRenewAuthority, actRenewCertificate, actAddAuthority, actTrust:
		return true
	case actServe, actWait:
	}
	return false
}

// What a replica waits for.
const (
	waitIssuer        = "cert-manager has not issued certificate " + CertificateName + " yet; look at it with: kubectl describe certificates.cert-manager.io"
	waitConfiguration = "the webhook configuration does not exist"
	waitInjector      = "cert-manager's injector has not written the authority into the webhook configurations yet"
	waitOthers        = "nobody writes the authority into the webhook configurations: they lack the annotation " + InjectAnnotation +
		"; run podkeep install again"
	waitHandover = "API servers learn of the new authority"
)

// plan decides the next step. Each case is one row of the state table in
// docs/certificates.md. What they keep up is: nobody serves what an API server
// does not trust, and nobody stops trusting what somebody serves.
func plan(o observed) step {
	candidate := o.candidate()
	switch {
	case o.issuer == SelfSigned && !hasValidAuthority(o):
		return step{action: actRenewAuthority}
	case o.issuer == SelfSigned && !hasValidCertificate(o):
		return step{action: actRenewCertificate}
	case o.issuer == CertManager && candidate == nil:
		return step{action: actWait, reason: waitIssuer}
	case o.issuer == CertManager && !offersAuthority(o):
		return step{action: actAddAuthority}
	case len(o.configurations) == 0:
		return step{action: actWait, reason: waitConfiguration}
	case o.issuer == SelfSigned && len(untrusting(o)) > 0:
		return step{action: actTrust}
	case !o.isTrusted(candidate) && o.isInjected():
		return step{action: actWait, reason: waitInjector}
	case !o.isTrusted(candidate):
		return step{action: actWait, reason: waitOthers}
	case handoverLeft(o, candidate) > 0:
		return step{action: actWait, reason: waitHandover, after: handoverLeft(o, candidate)}
	default:
		return step{action: actServe, after: untilCheck(o, candidate)}
	}
}

// candidate is the certificate that is to be served: of the Secret that belongs to
// the issuer. nil when there is none that could be.
func (o observed) candidate() *tls.Certificate {
	secret := o.own
	if o.issuer == CertManager {
		secret = o.issued
	}
	if secret == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(secret.Data[keyCertificate], secret.Data[keyCertificateKey])
	if err != nil || !callable(&pair, secret.Data[keyAuthority], o.dnsNames[0], o.now) {
		return nil
	}
	return &pair
}

// hasValidAuthority says whether the authority holds for renewBefore to come.
func hasValidAuthority(o observed) bool {
	if o.own == nil {
		return false
	}
	d := o.own.Data
	ok, err := rotator.ValidCert(d[keyAuthority], d[keyAuthority], d[keyAuthorityKey], authorityName, nil, o.renewalTime())
	return ok && err == nil
}

// hasValidCertificate says the same of the serving certificate.
func hasValidCertificate(o observed) bool {
	d := o.own.Data
	usages := serverUsages()
	ok, err := rotator.ValidCert(d[keyAuthority], d[keyCertificate], d[keyCertificateKey], o.dnsNames[0], &usages, o.renewalTime())
	return ok && err == nil
}

func (o observed) renewalTime() time.Time { return o.now.Add(o.lifetimes.RenewBefore) }

// offersAuthority says whether cert-manager's injector would take the authority of
// the issued certificate from the Secret.
func offersAuthority(o observed) bool {
	return o.own != nil && o.own.Annotations[allowInjectionAnnotation] == "true" &&
		contains(o.own.Data[keyAuthority], o.issued.Data[keyAuthority], o.now)
}

// untrusting returns the configurations that this replica has to write: they do not
// trust exactly what the Secret says, and cert-manager does not write them.
func untrusting(o observed) []client.Object {
	var out []client.Object
	for _, c := range o.configurations {
		if isInjected(c) {
			continue
		}
		for _, bundle := range caBundles(c) {
			if !same(*bundle, o.own.Data[keyAuthority], o.now) {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// isTrusted says whether the API server would accept a certificate from all
// webhooks.
func (o observed) isTrusted(pair *tls.Certificate) bool {
	var checked []byte // the last one; they are the same nearly always
	for _, c := range o.configurations {
		for _, bundle := range caBundles(c) {
			if checked != nil && bytes.Equal(checked, *bundle) {
				continue
			}
			if !callable(pair, *bundle, o.dnsNames[0], o.now) {
				return false
			}
			checked = *bundle
		}
	}
	return len(o.configurations) > 0
}

// isInjected says whether cert-manager writes all configurations.
func (o observed) isInjected() bool {
	for _, c := range o.configurations {
		if !isInjected(c) {
			return false
		}
	}
	return true
}

func isInjected(configuration client.Object) bool {
	_, ok := configuration.GetAnnotations()[InjectAnnotation]
	return ok
}

// handoverLeft is how long to go on with what is served. There is nothing to wait
// for when that is the same, or does not work.
func handoverLeft(o observed, next *tls.Certificate) time.Duration {
	if !o.isTrusted(o.serving) || o.serving.Leaf.Equal(next.Leaf) {
		return 0
	}
	return o.trustedSince.Add(handoverDelay).Sub(o.now)
}

// untilCheck is when the certificate has to be renewed, checkInterval at most. Those
// of cert-manager are renewed by others.
func untilCheck(o observed, pair *tls.Certificate) time.Duration {
	if o.issuer != SelfSigned {
		return checkInterval
	}
	end := pair.Leaf.NotAfter
	for _, c := range certificatesOf(o.own.Data[keyAuthority])[:1] {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	return max(time.Second, min(checkInterval, end.Sub(o.renewalTime())))
}

func serverUsages() []x509.ExtKeyUsage { return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
