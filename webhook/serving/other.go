package serving

import (
	"crypto/x509"
	"encoding/pem"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// WithoutOther returns the Secret SecretName without what belongs to the issuer that
// is not issuer any more: with cert-manager the authorities that the webhook has made
// itself and all keys, without it the authorities of cert-manager. It returns nil when
// nothing of that is there, or nothing would be left. No replica may be using it.
func WithoutOther(secret *corev1.Secret, issuer Issuer) *corev1.Secret {
	var kept []byte
	dropped := issuer == CertManager && len(secret.Data) > 1
	for _, c := range certificatesOf(secret.Data[keyAuthority]) {
		if isOwn(c) == (issuer == SelfSigned) {
			kept = append(kept, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: c.Raw})...)
		} else {
			dropped = true
		}
	}
	if !dropped || len(kept) == 0 {
		return nil
	}
	after := secret.DeepCopy()
	if issuer == CertManager {
		after.Data = map[string][]byte{}
	}
	after.Data[keyAuthority] = kept
	return after
}

// isOwn says whether the webhook has made an authority.
func isOwn(c *x509.Certificate) bool {
	return c.Subject.CommonName == authorityName && slices.Contains(c.Subject.Organization, authorityOrganization)
}
