package serving

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/podkeep/podkeep/webhook/registration"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

func TestPlan(t *testing.T) {
	t.Parallel()
	fresh := renewed(t, observed{now: start}, actRenewAuthority)
	tests := map[string]struct {
		change func(*observed)
		want   step
	}{
		"without a secret an authority is made":   {change: func(o *observed) { o.secret = nil }, want: step{action: actRenewAuthority}},
		"an empty secret is filled":               {change: func(o *observed) { o.secret = &corev1.Secret{} }, want: step{action: actRenewAuthority}},
		"a damaged authority is made anew":        {change: damage(keyAuthority), want: step{action: actRenewAuthority}},
		"an authority without key is made anew":   {change: damage(keyAuthorityKey), want: step{action: actRenewAuthority}},
		"an authority near its end is made anew":  {change: after(10*year - renewBefore + time.Hour), want: step{action: actRenewAuthority}},
		"a damaged certificate is made anew":      {change: damage(keyCertificate), want: step{action: actRenewCertificate}},
		"a certificate near its end is made anew": {change: after(year - renewBefore + time.Hour), want: step{action: actRenewCertificate}},
		"a certificate for another namespace is made anew": {
			change: func(o *observed) { o.dnsNames = dnsNames("other") }, want: step{action: actRenewCertificate},
		},
		"without a configuration there is nothing to trust": {
			change: func(o *observed) { o.configurations = nil }, want: step{action: actWaitForConfiguration},
		},
		"an empty caBundle is filled": {change: func(*observed) {}, want: step{action: actTrust, after: checkInterval}},
		"a caBundle that lacks one webhook is filled": {
			change: func(o *observed) { trustAll(o); registration.ClientConfigs(o.configurations[0])[1].CABundle = nil },
			want:   step{action: actTrust, after: checkInterval},
		},
		"a caBundle of the validating configuration is filled": {
			change: func(o *observed) { trustAll(o); registration.ClientConfigs(o.configurations[1])[0].CABundle = nil },
			want:   step{action: actTrust, after: checkInterval},
		},
		"a configuration that was removed is not waited for": {
			change: func(o *observed) { trustAll(o); o.configurations = o.configurations[:1] },
			want:   step{action: actServe, after: checkInterval},
		},
		"what is valid and trusted is served": {change: trustAll, want: step{action: actServe, after: checkInterval}},
		"what is valid for long is served":    {change: func(o *observed) { trustAll(o); after(year - renewBefore - 2*time.Hour)(o) }, want: step{action: actServe, after: checkInterval}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := observed{
				now: start, dnsNames: dnsNames("velero"),
				secret: &corev1.Secret{Data: fresh}, configurations: registration.Configurations("velero", registration.ConfigMapNames{}),
			}
			o.secret = o.secret.DeepCopy()

			tc.change(&o)

			NewWithT(t).Expect(plan(o)).To(Equal(tc.want))
		})
	}
}

func TestTheAPIServerCanVerifyTheCertificate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	data := renewed(t, observed{now: start}, actRenewAuthority)
	roots := x509.NewCertPool()
	g.Expect(roots.AppendCertsFromPEM(data[keyAuthority])).To(BeTrue())

	for _, name := range []string{"podkeep-webhook.velero.svc", "podkeep-webhook.velero.svc.cluster.local"} {
		_, err := leaf(t, data).Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: start})
		g.Expect(err).NotTo(HaveOccurred())
	}
	_, err := leaf(t, data).Verify(x509.VerifyOptions{DNSName: "podkeep-webhook.other.svc", Roots: roots, CurrentTime: start})
	g.Expect(err).To(HaveOccurred())
}

func TestARenewedCertificateKeepsItsAuthority(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	old := renewed(t, observed{now: start}, actRenewAuthority)
	later := start.Add(year)

	data := renewed(t, observed{now: later, secret: &corev1.Secret{Data: old}}, actRenewCertificate)

	g.Expect(data[keyAuthority]).To(Equal(old[keyAuthority]))
	g.Expect(data[keyCertificate]).NotTo(Equal(old[keyCertificate]))
	g.Expect(leaf(t, data).NotAfter).To(BeTemporally("~", later.Add(certificateLifetime), time.Second))
}

func TestAReplicaWithTheOldCertificateStaysTrusted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	old := renewed(t, observed{now: start}, actRenewAuthority)

	data := renewed(t, observed{now: start.Add(time.Hour), secret: &corev1.Secret{Data: old}}, actRenewAuthority)

	roots := x509.NewCertPool()
	g.Expect(roots.AppendCertsFromPEM(data[keyAuthority])).To(BeTrue())
	for _, replica := range []map[string][]byte{old, data} {
		_, err := leaf(t, replica).Verify(x509.VerifyOptions{Roots: roots, CurrentTime: start.Add(time.Hour)})
		g.Expect(err).NotTo(HaveOccurred())
	}
}

func TestAnAuthorityThatHasEndedIsDropped(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	old := renewed(t, observed{now: start}, actRenewAuthority)

	data := renewed(t, observed{now: start.Add(11 * year), secret: &corev1.Secret{Data: old}}, actRenewAuthority)

	g.Expect(bytes.Count(data[keyAuthority], []byte("BEGIN CERTIFICATE"))).To(Equal(1))
}

func TestReady(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	clk := clocktesting.NewFakePassiveClock(start)
	c := &Certificates{Clock: clk, Namespace: "velero"}
	o := observed{secret: &corev1.Secret{Data: renewed(t, observed{now: start}, actRenewAuthority)}}

	g.Expect(c.Ready()).To(MatchError(errNoCertificate))
	_, err := c.GetCertificate(&tls.ClientHelloInfo{})
	g.Expect(err).To(MatchError(errNoCertificate))

	g.Expect(c.serve(o)).To(Succeed())
	g.Expect(c.Ready()).To(Succeed())
	g.Expect(c.GetCertificate(&tls.ClientHelloInfo{})).NotTo(BeNil())

	g.Expect(c.act(t.Context(), o, step{action: actWaitForConfiguration})).To(Succeed())
	g.Expect(c.Ready()).To(MatchError(ContainSubstring("does not exist")))

	g.Expect(c.serve(o)).To(Succeed())
	clk.SetTime(start.Add(2 * year))
	g.Expect(c.Ready()).To(MatchError(ContainSubstring("expired")))
}

func renewed(t *testing.T, o observed, a action) map[string][]byte {
	t.Helper()
	o.dnsNames = dnsNames("velero")
	data, err := newCertificates(o, a)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return data
}

func leaf(t *testing.T, data map[string][]byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data[keyCertificate])
	c, err := x509.ParseCertificate(block.Bytes)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

func damage(key string) func(*observed) {
	return func(o *observed) { o.secret.Data[key] = []byte("damaged") }
}

func after(d time.Duration) func(*observed) {
	return func(o *observed) { o.now = o.now.Add(d) }
}

func trustAll(o *observed) {
	for _, configuration := range o.configurations {
		for _, endpoint := range registration.ClientConfigs(configuration) {
			endpoint.CABundle = o.secret.Data[keyAuthority]
		}
	}
}
