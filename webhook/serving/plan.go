package serving

import (
	"bytes"
	"crypto/x509"
	"slices"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/registration"
)

const (
	// authorityName is the common name of the authority.
	authorityName = "podkeep-webhook-ca"

	// renewBefore is how long before their end certificates are renewed. It is far
	// more than any outage of the webhook.
	renewBefore = 90 * 24 * time.Hour

	// checkInterval is how often validity is checked without another cause.
	checkInterval = 12 * time.Hour
)

// observed is what a plan is made from.
type observed struct {
	now      time.Time
	dnsNames []string // the certificate must have; the first is checked

	secret *corev1.Secret // nil: does not exist

	// configurations are those that exist, mutating and validating. One that was
	// removed is not waited for: the other has to work without it.
	configurations []client.Object
}

// action is what to do next.
type action string

const (
	// actRenewAuthority makes an authority and a certificate.
	actRenewAuthority action = "RenewAuthority"

	// actRenewCertificate makes a certificate of the authority.
	actRenewCertificate action = "RenewCertificate"

	// actWaitForConfiguration does nothing until there is a configuration.
	actWaitForConfiguration action = "WaitForConfiguration"

	// actTrust writes the authority into the configurations and serves.
	actTrust action = "Trust"

	// actServe serves with the certificate.
	actServe action = "Serve"
)

type step struct {
	action action
	after  time.Duration // look again; 0: a watch will say
}

// plan decides the next step. The API server is made to trust a new authority
// before anybody serves with it.
func plan(o observed) step {
	switch {
	case o.secret == nil, !hasValidAuthority(o):
		return step{action: actRenewAuthority}
	case !hasValidCertificate(o):
		return step{action: actRenewCertificate}
	case len(o.configurations) == 0:
		return step{action: actWaitForConfiguration}
	case !isTrusted(o):
		return step{action: actTrust, after: checkInterval}
	default:
		return step{action: actServe, after: checkInterval}
	}
}

// hasValidAuthority says whether the authority holds for renewBefore to come.
func hasValidAuthority(o observed) bool {
	d := o.secret.Data
	ok, err := rotator.ValidCert(d[keyAuthority], d[keyAuthority], d[keyAuthorityKey], authorityName, nil, o.now.Add(renewBefore))
	return ok && err == nil
}

// hasValidCertificate says the same of the serving certificate.
func hasValidCertificate(o observed) bool {
	d := o.secret.Data
	usages := serverUsages()
	ok, err := rotator.ValidCert(d[keyAuthority], d[keyCertificate], d[keyCertificateKey], o.dnsNames[0], &usages, o.now.Add(renewBefore))
	return ok && err == nil
}

// isTrusted says whether all webhooks of all configurations have the authority.
func isTrusted(o observed) bool {
	return !slices.ContainsFunc(o.configurations, func(configuration client.Object) bool {
		return !trusts(configuration, o.secret.Data[keyAuthority])
	})
}

// trusts says whether all webhooks of a configuration have the authority.
func trusts(configuration client.Object, authority []byte) bool {
	return !slices.ContainsFunc(registration.ClientConfigs(configuration), func(endpoint *admissionv1.WebhookClientConfig) bool {
		return !bytes.Equal(endpoint.CABundle, authority)
	})
}

func serverUsages() []x509.ExtKeyUsage { return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
