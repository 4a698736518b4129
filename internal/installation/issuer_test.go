package installation

import (
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/webhook/serving"
)

func TestChooseIssuer(t *testing.T) {
	t.Parallel()
	running := CertManager{Asked: true, Served: true, Controller: true, Injector: true}
	tests := map[string]struct {
		want    string
		found   CertManager
		issuer  serving.Issuer
		because string
		err     string
	}{
		"cert-manager where it runs":                   {want: "auto", found: running, issuer: serving.CertManager, because: "it runs in the cluster"},
		"ourselves where it is not":                    {want: "auto", found: CertManager{Asked: true}, issuer: serving.SelfSigned, because: "no cert-manager.io/v1"},
		"ourselves where only its definitions are":     {want: "auto", found: CertManager{Asked: true, Served: true}, issuer: serving.SelfSigned, because: "controller"},
		"ourselves where nobody injects":               {want: "auto", found: CertManager{Asked: true, Served: true, Controller: true}, issuer: serving.SelfSigned, because: "CA injector"},
		"ourselves without a cluster":                  {want: "auto", found: CertManager{}, issuer: serving.SelfSigned, because: "assumed"},
		"an outage of cert-manager changes nothing":    {want: "auto", found: CertManager{Asked: true, Served: true, Installed: serving.CertManager}, issuer: serving.CertManager, because: "kept; but no Deployment"},
		"cert-manager that comes is used":              {want: "auto", found: CertManager{Asked: true, Served: true, Controller: true, Injector: true, Installed: serving.SelfSigned}, issuer: serving.CertManager},
		"cert-manager that has gone is not waited for": {want: "auto", found: CertManager{Asked: true, Installed: serving.CertManager}, issuer: serving.SelfSigned},
		"ourselves when asked":                         {want: "self-signed", found: running, issuer: serving.SelfSigned, because: "as asked"},
		"cert-manager when asked":                      {want: "cert-manager", found: CertManager{Asked: true, Served: true}, issuer: serving.CertManager, because: "as asked; but no Deployment"},
		"cert-manager when asked, without a cluster":   {want: "cert-manager", found: CertManager{}, issuer: serving.CertManager},
		"cert-manager cannot be had":                   {want: "cert-manager", found: CertManager{Asked: true}, err: "install cert-manager first"},
		"nobody else":                                  {want: "vault", found: running, err: `--webhook-certs: Unsupported value: "vault": supported values: "self-signed", "cert-manager", "auto"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			issuer, why, err := ChooseIssuer(tc.want, tc.found)

			if tc.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tc.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(issuer).To(Equal(tc.issuer))
			g.Expect(why).To(ContainSubstring(tc.because))
		})
	}
}

func TestCertificateMissing(t *testing.T) {
	t.Parallel()
	ready := func(status certmanagermeta.ConditionStatus, message string) *certmanagerv1.Certificate {
		return &certmanagerv1.Certificate{Status: certmanagerv1.CertificateStatus{Conditions: []certmanagerv1.CertificateCondition{
			{Type: certmanagerv1.CertificateConditionIssuing, Status: certmanagermeta.ConditionTrue},
			{Type: certmanagerv1.CertificateConditionReady, Status: status, Message: message},
		}}}
	}
	tests := map[string]struct {
		certificate *certmanagerv1.Certificate
		want        string
	}{
		"it is issued":          {ready(certmanagermeta.ConditionTrue, "up to date"), ""},
		"it is not there":       {nil, "Certificate c does not exist"},
		"nobody looked at it":   {&certmanagerv1.Certificate{}, "Certificate c is not looked at by cert-manager yet"},
		"it says what is wrong": {ready(certmanagermeta.ConditionFalse, "no issuer"), "Certificate c is not ready: no issuer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			NewWithT(t).Expect(certificateMissing("c", tc.certificate)).To(Equal(tc.want))
		})
	}
}
