package serving

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/registration"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// fresh is an installation in which nothing is trusted yet.
func fresh(issuer Issuer) observed {
	return observed{
		now: start, dnsNames: DNSNames("velero"), issuer: issuer, lifetimes: Lifetimes{}.withDefaults(),
		configurations: []client.Object{registration.Configuration("velero")},
	}
}

func TestPlanSelfSigned(t *testing.T) {
	t.Parallel()
	own := renewed(t, fresh(SelfSigned), actRenewAuthority)
	serve := step{action: actServe, after: checkInterval}
	tests := map[string]struct {
		change func(*observed)
		want   step
	}{
		"without a secret an authority is made":   {change: func(o *observed) { o.own = nil }, want: step{action: actRenewAuthority}},
		"an empty secret is filled":               {change: func(o *observed) { o.own = &corev1.Secret{} }, want: step{action: actRenewAuthority}},
		"a damaged authority is made anew":        {change: damage(keyAuthority), want: step{action: actRenewAuthority}},
		"an authority without key is made anew":   {change: damage(keyAuthorityKey), want: step{action: actRenewAuthority}},
		"an authority near its end is made anew":  {change: after(10*year - renewBefore + time.Hour), want: step{action: actRenewAuthority}},
		"a damaged certificate is made anew":      {change: damage(keyCertificate), want: step{action: actRenewCertificate}},
		"a certificate near its end is made anew": {change: after(year - renewBefore + time.Hour), want: step{action: actRenewCertificate}},
		"a certificate for another namespace is made anew": {
			change: func(o *observed) { o.dnsNames = DNSNames("other") }, want: step{action: actRenewCertificate},
		},
		"without a configuration there is nothing to trust": {
			change: func(o *observed) { o.configurations = nil }, want: step{action: actWait, reason: waitConfiguration},
		},
		"an empty caBundle is filled": {change: func(*observed) {}, want: step{action: actTrust}},
		"a caBundle that lacks one webhook is filled": {
			change: func(o *observed) { trustAll(o); *caBundles(o.configurations[0])[1] = nil }, want: step{action: actTrust},
		},
		"an authority that is not in the secret is taken out": {
			change: func(o *observed) {
				trustAll(o)
				*caBundles(o.configurations[0])[0] = joined(o.now, o.own.Data[keyAuthority], newAuthority(t, "other").bundle)
			},
			want: step{action: actTrust},
		},
		"the validating configuration is filled too": {
			change: func(o *observed) { trustAll(o); o.configurations = append(o.configurations, validating(nil)) }, want: step{action: actTrust},
		},
		"cert-manager's injector is not interfered with": {change: inject, want: step{action: actWait, reason: waitInjector}},
		"what its injector trusts beside is none of ours": {
			change: func(o *observed) {
				inject(o)
				for _, b := range caBundles(o.configurations[0]) {
					*b = joined(o.now, newAuthority(t, "other").bundle, o.own.Data[keyAuthority])
				}
			},
			want: serve,
		},
		"what is valid and trusted is served": {change: trustAll, want: serve},
		"what is valid for long is served":    {change: func(o *observed) { trustAll(o); after(year - renewBefore - 13*time.Hour)(o) }, want: serve},
		"it is looked at when it has to be renewed": {
			change: func(o *observed) { trustAll(o); after(year - renewBefore - time.Hour)(o) }, want: step{action: actServe, after: time.Hour},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := fresh(SelfSigned)
			o.own = own.DeepCopy()

			tc.change(&o)

			NewWithT(t).Expect(plan(o)).To(Equal(tc.want))
		})
	}
}

func TestPlanCertManager(t *testing.T) {
	t.Parallel()
	issued := newAuthority(t, "issued").issue(t, start.Add(90*24*time.Hour))
	tests := map[string]struct {
		change func(*observed)
		want   step
	}{
		"without a certificate there is nothing to serve": {change: func(o *observed) { o.issued = nil }, want: step{action: actWait, reason: waitIssuer}},
		"a certificate of another authority is none": {
			change: func(o *observed) { o.issued.Data[keyAuthority] = newAuthority(t, "other").bundle }, want: step{action: actWait, reason: waitIssuer},
		},
		"a certificate that has ended is none":          {change: after(91 * 24 * time.Hour), want: step{action: actWait, reason: waitIssuer}},
		"a certificate for another namespace is none":   {change: func(o *observed) { o.dnsNames = DNSNames("other") }, want: step{action: actWait, reason: waitIssuer}},
		"without our secret its authority is offered":   {change: func(o *observed) { o.own = nil }, want: step{action: actAddAuthority}},
		"a secret that lacks the authority gets it":     {change: func(o *observed) { o.own.Data[keyAuthority] = nil }, want: step{action: actAddAuthority}},
		"a secret that must not be injected is allowed": {change: func(o *observed) { o.own.Annotations = nil }, want: step{action: actAddAuthority}},
		"a caBundle is the injector's to fill":          {change: func(*observed) {}, want: step{action: actWait, reason: waitInjector}},
		"without the annotation nobody fills it": {
			change: func(o *observed) { o.configurations[0].SetAnnotations(nil) }, want: step{action: actWait, reason: waitOthers},
		},
		"without the annotation, what is trusted is served": {
			change: func(o *observed) { trustAll(o); o.configurations[0].SetAnnotations(nil) }, want: step{action: actServe, after: checkInterval},
		},
		"what is trusted is served": {change: trustAll, want: step{action: actServe, after: checkInterval}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := fresh(CertManager)
			o.issued = issued.DeepCopy()
			o.own = &corev1.Secret{Data: withAuthority(o)}
			o.own.Annotations = map[string]string{allowInjectionAnnotation: "true"}
			inject(&o)

			tc.change(&o)

			NewWithT(t).Expect(plan(o)).To(Equal(tc.want))
		})
	}
}

func TestHandover(t *testing.T) {
	t.Parallel()
	o := fresh(SelfSigned)
	o.own = renewed(t, o, actRenewAuthority)
	trustAll(&o)
	before := o.candidate()
	o.own = renewed(t, o, actRenewAuthority)
	trustAll(&o)
	o.trustedSince = start
	serve := step{action: actServe, after: checkInterval}
	tests := map[string]struct {
		change func(*observed)
		want   step
	}{
		"what works is served until API servers know the next": {
			change: func(o *observed) { o.now = start.Add(time.Second) }, want: step{action: actWait, reason: waitHandover, after: 4 * time.Second},
		},
		"then the next is served":               {change: func(o *observed) { o.now = start.Add(handoverDelay) }, want: serve},
		"with nothing to serve nobody waits":    {change: func(o *observed) { o.serving = nil }, want: serve},
		"what is not trusted is served no more": {change: func(o *observed) { o.serving = newAuthority(t, "other").pair(t, start.Add(year)) }, want: serve},
		"what has ended is served no more": {
			change: func(o *observed) { o.serving = newAuthority(t, "other").pair(t, start.Add(-time.Minute)) }, want: serve,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.serving = before

			tc.change(&o)

			NewWithT(t).Expect(plan(o)).To(Equal(tc.want))
		})
	}
}

func TestTheAPIServerCanVerifyTheCertificate(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	o := fresh(SelfSigned)
	o.own = renewed(t, o, actRenewAuthority)
	pair := o.candidate()

	for _, name := range []string{"podkeep-webhook.velero.svc", "podkeep-webhook.velero.svc.cluster.local"} {
		g.Expect(callable(pair, o.own.Data[keyAuthority], name, start)).To(BeTrue(), name)
	}
	g.Expect(callable(pair, o.own.Data[keyAuthority], "podkeep-webhook.other.svc", start)).To(BeFalse())
	g.Expect(callable(pair, newAuthority(t, "other").bundle, "podkeep-webhook.velero.svc", start)).To(BeFalse())
}

func TestARenewedCertificateKeepsItsAuthority(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	o := fresh(SelfSigned)
	o.own = renewed(t, o, actRenewAuthority)
	old := o.own.Data
	o.now = start.Add(year)

	data := renewed(t, o, actRenewCertificate).Data

	g.Expect(data[keyAuthority]).To(Equal(old[keyAuthority]))
	g.Expect(data[keyCertificate]).NotTo(Equal(old[keyCertificate]))
	g.Expect(leaf(t, data).NotAfter).To(BeTemporally("~", o.now.Add(certificateLifetime), time.Second))
}

func TestWhatIsTrustedStaysTrusted(t *testing.T) {
	t.Parallel()
	other := newAuthority(t, "other")
	tests := map[string]func(*observed){
		"when the authority is made anew":                func(*observed) {},
		"when the secret was removed":                    func(o *observed) { o.own = nil },
		"when the secret was damaged":                    damage(keyAuthority),
		"when cert-manager becomes issuer":               func(o *observed) { o.issuer, o.issued = CertManager, other.issue(t, start.Add(year)) },
		"when cert-manager becomes issuer, without ours": func(o *observed) { o.issuer, o.issued, o.own = CertManager, other.issue(t, start.Add(year)), nil },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			o := fresh(SelfSigned)
			o.own = renewed(t, o, actRenewAuthority)
			trustAll(&o)
			before := o.candidate()
			change(&o)

			var data map[string][]byte
			if o.issuer == CertManager {
				data = withAuthority(o)
			} else {
				data = renewed(t, o, actRenewAuthority).Data
			}

			o.own = &corev1.Secret{Data: data}
			for _, pair := range []*tls.Certificate{before, o.candidate()} {
				g.Expect(callable(pair, data[keyAuthority], o.dnsNames[0], start)).To(BeTrue())
			}
		})
	}
}

func TestAnAuthorityThatHasEndedIsDropped(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	o := fresh(SelfSigned)
	o.own = renewed(t, o, actRenewAuthority)
	o.now = start.Add(11 * year)

	data := renewed(t, o, actRenewAuthority).Data

	g.Expect(bytes.Count(data[keyAuthority], []byte("BEGIN CERTIFICATE"))).To(Equal(1))
}

func TestWithoutOther(t *testing.T) {
	t.Parallel()
	o := fresh(SelfSigned)
	o.own = renewed(t, o, actRenewAuthority)
	ours := o.own
	o.issued = newAuthority(t, authorityName).issue(t, start.Add(year))
	both := &corev1.Secret{Data: withAuthority(o)}
	theirs := &corev1.Secret{Data: map[string][]byte{keyAuthority: o.issued.Data[keyAuthority]}}
	tests := map[string]struct {
		secret *corev1.Secret
		issuer Issuer
		want   *corev1.Secret
	}{
		"cert-manager leaves no key of ours":             {both, CertManager, theirs},
		"without cert-manager its authority goes":        {both, SelfSigned, ours},
		"with cert-manager, its own stays":               {theirs, CertManager, nil},
		"without cert-manager, ours stays":               {ours, SelfSigned, nil},
		"what is in use is never all removed":            {ours, CertManager, nil},
		"what is in use is never all removed, by us too": {theirs, SelfSigned, nil},
		"nothing is nothing":                             {&corev1.Secret{}, SelfSigned, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := WithoutOther(tc.secret, tc.issuer)

			if tc.want == nil {
				g.Expect(got).To(BeNil())
				return
			}
			g.Expect(got.Data).To(Equal(tc.want.Data))
		})
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	clk := clocktesting.NewFakePassiveClock(start)
	c := &Certificates{Clock: clk, Namespace: "velero"}
	o := fresh(SelfSigned)
	o.own = renewed(t, o, actRenewAuthority)

	g.Expect(c.Ready()).To(MatchError(errNoCertificate))
	_, err := c.GetCertificate(&tls.ClientHelloInfo{})
	g.Expect(err).To(MatchError(errNoCertificate))
	g.Expect(testutil.CollectAndCount(c)).To(BeZero())

	c.report(t.Context(), o, step{action: actWait, reason: waitInjector})
	g.Expect(c.Ready()).To(MatchError(ContainSubstring("injector")), "it says what it waits for")

	trustAll(&o)
	g.Expect(c.act(t.Context(), o, step{action: actServe})).To(Succeed())
	c.report(t.Context(), o, step{action: actServe})
	g.Expect(c.Ready()).To(Succeed())
	g.Expect(c.GetCertificate(&tls.ClientHelloInfo{})).NotTo(BeNil())
	g.Expect(testutil.ToFloat64(c)).To(BeNumerically("==", start.Add(certificateLifetime).Unix()))

	o.configurations = nil
	c.report(t.Context(), o, step{action: actWait, reason: waitConfiguration})
	g.Expect(c.Ready()).To(MatchError(ContainSubstring("does not exist")))

	trustAll(&o)
	clk.SetTime(start.Add(2 * year))
	g.Expect(c.Ready()).To(MatchError(ContainSubstring("expired")))
}

func TestFlagsNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	_, err := ParseIssuer("webhook-certs", "vault")
	g.Expect(err).To(MatchError(ContainSubstring(`--webhook-certs: Unsupported value: "vault": supported values: "self-signed", "cert-manager"`)))
	g.Expect(Lifetimes{}.Validate()).To(Succeed())
	g.Expect(Lifetimes{Certificate: time.Hour}.Validate()).To(MatchError(ContainSubstring("--certificate-renew-before: Invalid value: 2160h0m0s")))
	g.Expect(Lifetimes{Certificate: time.Hour, RenewBefore: time.Minute}.Validate()).To(Succeed())
}

func renewed(t *testing.T, o observed, a action) *corev1.Secret {
	t.Helper()
	data, err := newCertificates(o, a)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretName}, Data: data}
}

func leaf(t *testing.T, data map[string][]byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data[keyCertificate])
	c, err := x509.ParseCertificate(block.Bytes)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

func damage(key string) func(*observed) {
	return func(o *observed) { o.own.Data[key] = []byte("damaged") }
}

func after(d time.Duration) func(*observed) {
	return func(o *observed) { o.now = o.now.Add(d) }
}

func trustAll(o *observed) {
	for _, c := range o.configurations {
		for _, bundle := range caBundles(c) {
			*bundle = o.own.Data[keyAuthority]
		}
	}
}

// inject marks the configurations as cert-manager's to write.
func inject(o *observed) {
	for _, c := range o.configurations {
		c.SetAnnotations(map[string]string{InjectAnnotation: InjectFrom("velero")})
	}
}
