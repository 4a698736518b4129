package suite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// admissionPause is between two admissions of one kind: some 40 a second of both.
	admissionPause = 20 * time.Millisecond

	// handshakePause is between two looks at all replicas.
	handshakePause = 100 * time.Millisecond

	webhookPort = "9443"
)

// Admissions is a load of pods that are created and not kept (dry runs), half of
// them to be stamped, half of them to pass the gate, and of connections to every
// replica of the webhook as a new API server would make them.
type Admissions struct {
	cluster   *Cluster
	namespace string
	name      string // of the webhook's Service, in its certificate

	mu         sync.Mutex
	admitted   int      // guarded by mu
	handshakes int      // guarded by mu
	lost       []string // guarded by mu; what went wrong
}

// StartAdmissions starts the load and returns when it works. It ends with the test.
func (c *Cluster) StartAdmissions(t *testing.T) *Admissions {
	t.Helper()
	a := &Admissions{cluster: c, namespace: c.NewNamespace(t, "load"), name: "podkeep-webhook." + Namespace + ".svc"}
	g := NewWithT(t)
	ns := &corev1.Namespace{}
	g.Expect(c.Client.Get(t.Context(), client.ObjectKey{Name: a.namespace}, ns)).To(Succeed())
	ns.Labels[velerov1.FSBackupLabel] = velerov1.FSBackupOptOut
	g.Expect(c.Client.Update(t.Context(), ns)).To(Succeed())
	for _, ask := range []func(context.Context) error{a.stamp, a.gate} {
		g.Eventually(func() error { return ask(t.Context()) }, Short, tick).Should(Succeed())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.repeat(ctx, a.stamp, admissionPause) })
	running.Go(func() { a.repeat(ctx, a.gate, admissionPause) })
	running.Go(func() { a.repeat(ctx, a.connect, handshakePause) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return a
}

// ExpectNoneLost says how much was done, and fails the test if any of it failed.
func (a *Admissions) ExpectNoneLost(t *testing.T, during string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	t.Logf("%s: %d admissions, %d handshakes, %d lost", during, a.admitted, a.handshakes, len(a.lost))
	NewWithT(t).Expect(a.lost).To(BeEmpty(), during)
	NewWithT(t).Expect(a.admitted).To(BeNumerically(">", 0), during)
	a.admitted, a.handshakes = 0, 0
}

func (a *Admissions) repeat(ctx context.Context, ask func(context.Context) error, pause time.Duration) {
	for ctx.Err() == nil {
		if err := ask(ctx); err != nil && ctx.Err() == nil {
			a.mu.Lock()
			a.lost = append(a.lost, fmt.Sprintf("%s: %v", time.Now().UTC().Format(time.RFC3339Nano), err))
			a.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// stamp fails when a pod comes back without stamp: the webhook did not answer.
func (a *Admissions) stamp(ctx context.Context) error {
	pod := Pod(a.namespace, "stamp")
	if err := a.admit(ctx, pod); err != nil {
		return err
	}
	if pod.Annotations[velerov1.SelectedVolumesAnnotation] != "data" {
		return errors.New("a pod was not stamped")
	}
	return nil
}

// gate fails when the API server could not ask: this webhook fails closed.
func (a *Admissions) gate(ctx context.Context) error {
	pod := Pod(a.namespace, "gate")
	pod.Labels[velerov1.RestoreNameLabel] = "none"
	return a.admit(ctx, pod)
}

func (a *Admissions) admit(ctx context.Context, pod *corev1.Pod) error {
	if err := a.cluster.Client.Create(ctx, pod, client.DryRunAll); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.admitted++
	return nil
}

// connect fails when a replica that is in the Service serves with a certificate
// that the webhook configuration does not trust.
func (a *Admissions) connect(ctx context.Context) error {
	pods := &corev1.PodList{}
	if err := a.cluster.Client.List(ctx, pods, client.InNamespace(Namespace), client.MatchingLabels{"deploy": "podkeep-webhook"}); err != nil {
		return err
	}
	bundle, err := a.cluster.webhookAuthorities(ctx)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for _, p := range pods.Items {
		if !p.DeletionTimestamp.IsZero() || !isReady(p) {
			continue
		}
		_, err := handshake(ctx, p, &tls.Config{RootCAs: roots, ServerName: a.name, MinVersion: tls.VersionTLS13})
		var refused *net.OpError // it ends, or began to
		switch {
		case errors.As(err, &refused):
		case err != nil:
			return fmt.Errorf("connecting to %s: %w", p.Name, err)
		default:
			a.mu.Lock()
			a.handshakes++
			a.mu.Unlock()
		}
	}
	return nil
}

// handshake returns the certificate that a replica of the webhook serves with.
func handshake(ctx context.Context, p corev1.Pod, cfg *tls.Config) (*x509.Certificate, error) {
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: Short}, Config: cfg}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(p.Status.PodIP, webhookPort))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// webhookAuthorities is the caBundle of the first webhook.
func (c *Cluster) webhookAuthorities(ctx context.Context) ([]byte, error) {
	cfg, err := c.Clientset.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "podkeep-"+Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return cfg.Webhooks[0].ClientConfig.CABundle, nil
}

// Served are the certificates that the replicas of the webhook serve with, of those
// that are ready and stay.
func (c *Cluster) Served(t *testing.T) []*x509.Certificate {
	t.Helper()
	g := NewWithT(t)
	pods := &corev1.PodList{}
	g.Expect(c.Client.List(t.Context(), pods, client.InNamespace(Namespace), client.MatchingLabels{"deploy": "podkeep-webhook"})).To(Succeed())
	var served []*x509.Certificate
	for _, p := range pods.Items {
		if p.DeletionTimestamp.IsZero() && isReady(p) {
			// Whether it is trusted is asked elsewhere.
			leaf, err := handshake(t.Context(), p, &tls.Config{InsecureSkipVerify: true})
			g.Expect(err).NotTo(HaveOccurred())
			served = append(served, leaf)
		}
	}
	return served
}
