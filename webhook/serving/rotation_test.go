package serving

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/registration"
)

// apiServerLag is how far behind an API server is with the configuration. It must be
// less than handoverDelay, and less than it takes a replica that has just become ready
// to be called.
const apiServerLag = 2 * time.Second

// TestNobodyServesWhatIsNotTrusted lets replicas, an API server, cert-manager and
// people act in random order, with caches that are behind, and checks after each
// action that the API server would accept every replica that it may call.
func TestNobodyServesWhatIsNotTrusted(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			w := newRotation(t, seed)
			for range 1000 {
				w.act()
				w.expectCallable()
			}
			NewWithT(t).Expect(w.served).To(BeNumerically(">", 3), "certificates that were served")
		})
	}
}

// view is what somebody knows of the cluster.
type view struct {
	own           *corev1.Secret
	issued        *corev1.Secret
	configuration *admissionv1.MutatingWebhookConfiguration
}

type replica struct {
	Certificates

	cache   view
	readyAt time.Time // zero: not in the Service
}

// rotation is a cluster.
type rotation struct {
	t    *testing.T
	g    *WithT
	rand *rand.Rand

	now      time.Time
	world    view
	replicas []*replica

	apiServer         *admissionv1.MutatingWebhookConfiguration
	apiServerIsBehind time.Time // since when; zero: it is not

	merges    bool // cert-manager's injector merges, as it does since v1.19
	authority authority
	issuer    Issuer // that the installation wants
	served    int
}

func newRotation(t *testing.T, seed uint64) *rotation {
	t.Helper()
	w := &rotation{
		t: t, g: NewWithT(t), rand: rand.New(rand.NewPCG(seed, seed)), now: start, issuer: SelfSigned,
		merges: seed%2 == 0, authority: newAuthority(t, "first"),
	}
	w.world.configuration = registration.Configuration("velero")
	w.apiServer = w.world.configuration
	for range 2 {
		w.replicas = append(w.replicas, &replica{Certificates: Certificates{Namespace: "velero", Issuer: SelfSigned}})
	}
	return w
}

// act is one random action; those that happen all the time more often.
func (w *rotation) act() {
	w.now = w.now.Add(time.Duration(w.rand.IntN(900)) * time.Millisecond)
	r := w.replicas[w.rand.IntN(len(w.replicas))]
	switch n := w.rand.IntN(100); {
	case n < 30:
		w.sync(r)
	case n < 70:
		w.reconcile(r)
	case n < 80:
		w.inject()
	case n < 90:
		w.rollOut()
	case n < 96:
		w.renew()
	case n < 98:
		w.change()
	case n < 99:
		w.forget()
	case w.rand.IntN(4) == 0: // what follows takes long: an RSA key
		w.remove()
	}
	if behind := w.apiServerIsBehind; !behind.IsZero() && (w.rand.IntN(10) == 0 || w.now.Sub(behind) > apiServerLag) {
		w.apiServer, w.apiServerIsBehind = w.world.configuration, time.Time{}
	}
}

// sync lets one of the caches of a replica catch up; the others stay behind.
func (w *rotation) sync(r *replica) {
	switch w.rand.IntN(3) {
	case 0:
		r.cache.own = w.world.own
	case 1:
		r.cache.issued = w.world.issued
	default:
		r.cache.configuration = w.world.configuration
	}
}

func (w *rotation) observe(r *replica, v view) observed {
	o := observed{
		now: w.now, dnsNames: DNSNames("velero"), issuer: r.Issuer, lifetimes: Lifetimes{}.withDefaults(),
		own: v.own, serving: r.serving.Load(),
	}
	if r.Issuer == CertManager {
		o.issued = v.issued
	}
	if v.configuration != nil {
		o.configurations = []client.Object{v.configuration.DeepCopy()}
	}
	o.trustedSince = r.sight(o)
	return o
}

// reconcile is Reconcile with this cluster.
func (w *rotation) reconcile(r *replica) {
	o := w.observe(r, r.cache)
	s := plan(o)
	if s.writes() {
		o = w.observe(r, w.world)
		s = plan(o)
	}
	switch s.action {
	case actRenewAuthority, actRenewCertificate:
		data, err := newCertificates(o, s.action)
		w.g.Expect(err).NotTo(HaveOccurred())
		w.write(data)
	case actAddAuthority:
		w.write(withAuthority(o))
	case actTrust:
		w.trust(o.own.Data[keyAuthority])
	case actServe:
		if next := o.candidate(); r.serving.Load() == nil || !r.serving.Load().Leaf.Equal(next.Leaf) {
			r.serving.Store(next)
			w.served++
		}
	case actWait:
	}
	if r.readyAt.IsZero() && r.serving.Load() != nil && o.isTrusted(r.serving.Load()) {
		r.readyAt = w.now
	}
}

func (w *rotation) write(data map[string][]byte) {
	w.world.own = &corev1.Secret{Data: data}
	w.world.own.Annotations = map[string]string{allowInjectionAnnotation: "true"}
}

func (w *rotation) trust(bundle []byte) {
	after := w.world.configuration.DeepCopy()
	for _, b := range caBundles(after) {
		*b = bundle
	}
	w.configure(after)
}

func (w *rotation) configure(after *admissionv1.MutatingWebhookConfiguration) {
	w.world.configuration = after
	if w.apiServerIsBehind.IsZero() {
		w.apiServerIsBehind = w.now
	}
}

// inject is cert-manager's injector.
func (w *rotation) inject() {
	if !isInjected(w.world.configuration) || w.world.own == nil || w.world.own.Annotations[allowInjectionAnnotation] != "true" {
		return
	}
	bundle := w.world.own.Data[keyAuthority]
	if w.merges {
		bundle = joined(w.now, w.world.configuration.Webhooks[0].ClientConfig.CABundle, bundle)
	}
	w.trust(bundle)
}

// renew is cert-manager: mostly the certificate, sometimes the authority too.
func (w *rotation) renew() {
	if w.issuer != CertManager && w.rand.IntN(4) > 0 {
		return
	}
	if w.rand.IntN(3) == 0 {
		w.authority = newAuthority(w.t, fmt.Sprintf("authority %d", w.served))
	}
	w.world.issued = w.authority.issue(w.t, start.Add(year))
}

// change is podkeep install with the other issuer.
func (w *rotation) change() {
	if !w.isRolledOut() {
		return // somebody who waits for it
	}
	after := w.world.configuration.DeepCopy()
	if w.issuer == SelfSigned {
		w.issuer = CertManager
		after.Annotations = map[string]string{InjectAnnotation: InjectFrom("velero")}
	} else {
		w.issuer = SelfSigned
		after.Annotations = nil
	}
	w.configure(after)
}

func (w *rotation) isRolledOut() bool {
	for _, r := range w.replicas {
		if r.Issuer != w.issuer || r.readyAt.IsZero() {
			return false
		}
	}
	return len(w.replicas) == 2
}

// rollOut is the Deployment: one more at a time, and one less when that is ready.
func (w *rotation) rollOut() {
	ready := 0
	for _, r := range w.replicas {
		if !r.readyAt.IsZero() {
			ready++
		}
	}
	for i, r := range w.replicas {
		switch {
		case r.Issuer != w.issuer && len(w.replicas) < 3:
			w.replicas = append(w.replicas, &replica{Certificates: Certificates{Namespace: "velero", Issuer: w.issuer}})
			return
		case r.Issuer != w.issuer && ready == 3:
			w.replicas = append(w.replicas[:i], w.replicas[i+1:]...)
			return
		}
	}
}

// forget is the end of podkeep install.
func (w *rotation) forget() {
	if !w.isRolledOut() || w.world.own == nil {
		return
	}
	if after := WithoutOther(w.world.own, w.issuer); after != nil {
		w.world.own = after
		if w.issuer == SelfSigned {
			w.world.issued = nil
		}
	}
}

// remove is somebody who deletes the Secret.
func (w *rotation) remove() { w.world.own = nil }

// expectCallable is what all this is about.
func (w *rotation) expectCallable() {
	for i, r := range w.replicas {
		if r.readyAt.IsZero() || w.now.Sub(r.readyAt) < apiServerLag {
			continue
		}
		bundle := *caBundles(w.apiServer)[0] // here all are the same
		w.g.Expect(callable(r.serving.Load(), bundle, DNSNames("velero")[0], w.now)).To(BeTrue(), "replica %d of issuer %s", i, r.Issuer)
	}
}
