package install

import (
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/serving"
)

func TestTheAnnotationIsTheOneOfCertManager(t *testing.T) {
	t.Parallel()
	NewWithT(t).Expect(serving.InjectAnnotation).To(Equal(certmanagerv1.WantInjectFromSecretAnnotation))
}

// TestCertificatesOverlap pins what makes a renewal need no coordination: while an
// authority and its successor are both valid, everything signed by the first has been
// replaced.
func TestCertificatesOverlap(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	g.Expect(authorityRenewBefore).To(BeNumerically(">", certificateDuration))
	g.Expect(authoritySpec().PrivateKey.RotationPolicy).To(Equal(certmanagerv1.RotationPolicyNever))
}

func TestOtherIssuerObjects(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	kinds := func(objects []client.Object) []string {
		var out []string
		for _, o := range objects {
			out = append(out, o.GetObjectKind().GroupVersionKind().Kind+" "+o.GetNamespace()+"/"+o.GetName())
		}
		return out
	}

	withCertManager, err := OtherIssuerObjects(Options{Image: "i", CertificateIssuer: serving.CertManager})
	g.Expect(err).NotTo(HaveOccurred())
	without, err := OtherIssuerObjects(Options{Image: "i", Namespace: "backup"})
	g.Expect(err).NotTo(HaveOccurred())

	g.Expect(withCertManager).To(BeEmpty())
	g.Expect(kinds(without)).To(Equal([]string{ // they are removed in the opposite order
		"Secret backup/podkeep-webhook-ca", "Secret backup/podkeep-webhook-tls",
		"Issuer backup/podkeep-webhook-root", "Certificate backup/podkeep-webhook-ca",
		"Issuer backup/podkeep-webhook-ca", "Certificate backup/podkeep-webhook",
	}))
}
