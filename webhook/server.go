// Package webhook is the admission transport of podkeep: it decodes a request,
// gathers facts from caches, lets a pure function decide and answers with a patch.
//
// Three webhooks mutate: selection stamps on pods which of their volumes are backed up,
// gate makes restored pods wait for their data, guard keeps other pods off claims
// that are being restored. What they decide is in selection.go, gate.go and
// guard.go as one function each, and in docs/webhook.md as one table each. What a
// pod looks like afterwards is decided by package injector, and which pods come
// here at all by package registration.
//
// Three more only look: at podkeep's ConfigMaps, at its objects, and at what authors
// of pods and workloads should know. What they say is decided by package validation.
//
// It only ever mutates pods, at CREATE, and their stamp at UPDATE; it writes
// nothing but events on ConfigMaps and, in package serving, its own certificates.
package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	crwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/podkeep/podkeep/internal/configmaps"
	"github.com/podkeep/podkeep/webhook/registration"
	"github.com/podkeep/podkeep/webhook/serving"
)

// DefaultPort is the port that the webhook serves at.
const DefaultPort = 9443

// ReadyCheckName is the name of the readiness check that SetupWithManager adds.
const ReadyCheckName = "webhook"

// Server is the webhook. Namespace and DefaultGateImage are required.
type Server struct {
	// Namespace is the install namespace.
	Namespace string

	// ServerDefault is --default-volumes-to-fs-backup. It must be that of the
	// server, or the backup computes every selection again.
	ServerDefault bool

	// DefaultGateImage is the image of the gate when no ConfigMap names one: that
	// of podkeep itself.
	DefaultGateImage string

	// ConfigMaps are the ConfigMaps that other components are told to read, so that
	// they are checked when they are written.
	ConfigMaps configmaps.Names

	// Port is the port to serve at. 0 means DefaultPort.
	Port int

	// CertDir holds tls.crt and tls.key, for those who issue certificates and write
	// the caBundle themselves. "" means the certificates of package serving.
	CertDir string

	// CertificateIssuer makes the certificates. "" is serving.SelfSigned.
	CertificateIssuer serving.Issuer

	// CertificateLifetimes are for self-signed ones. The zero value is the defaults.
	CertificateLifetimes serving.Lifetimes

	// Clock is used for certificates and metrics. nil means the real one.
	Clock clock.WithTicker

	// Metrics is where metrics are registered. nil means controller-runtime's
	// registry.
	Metrics prometheus.Registerer

	// DrainTime is how long a replica that is told to end goes on answering
	// (Linger). 0 means not at all.
	DrainTime time.Duration

	drain drain
}

// SetupWithManager adds the webhooks, their certificates, the reconciler of the
// gate's ConfigMaps and a readiness check to a manager. The manager's cache must
// have CacheOptions.
func (s *Server) SetupWithManager(mgr ctrl.Manager) error {
	if s.Namespace == "" || s.DefaultGateImage == "" {
		return errors.New("setting up the webhook: Namespace and DefaultGateImage are required")
	}
	if s.Clock == nil {
		s.Clock = clock.RealClock{}
	}
	if s.Metrics == nil {
		s.Metrics = crmetrics.Registry
	}
	if s.Port == 0 {
		s.Port = DefaultPort
	}
	certificates, err := s.setupCertificates(mgr)
	if err != nil {
		return err
	}
	server := s.newServer(certificates)
	if err := s.register(server, mgr); err != nil {
		return err
	}
	if err := mgr.Add(server); err != nil {
		return fmt.Errorf("adding the webhook server: %w", err)
	}
	caches := &cacheStarter{informers: mgr.GetCache()}
	if err := mgr.Add(caches); err != nil {
		return fmt.Errorf("adding the webhook's caches: %w", err)
	}
	if err := mgr.AddReadyzCheck(ReadyCheckName, s.readyCheck(certificates, caches)); err != nil {
		return fmt.Errorf("adding the webhook's readiness check: %w", err)
	}
	return (&ConfigMapReconciler{
		Client:   mgr.GetClient(),
		Recorder: mgr.GetEventRecorder("podkeep-webhook"),
		Image:    s.DefaultGateImage,
	}).SetupWithManager(mgr)
}

// setupCertificates returns nil when the certificates are in CertDir.
func (s *Server) setupCertificates(mgr ctrl.Manager) (*serving.Certificates, error) {
	if s.CertDir != "" {
		return nil, nil
	}
	c := &serving.Certificates{
		Client: mgr.GetClient(), Clock: s.Clock, Namespace: s.Namespace, Issuer: s.CertificateIssuer, Lifetimes: s.CertificateLifetimes,
	}
	if err := c.SetupWithManager(mgr); err != nil {
		return nil, err
	}
	if _, err := register(s.Metrics, c); err != nil {
		return nil, fmt.Errorf("registering the metric of the certificate: %w", err)
	}
	return c, nil
}

func (s *Server) newServer(certificates *serving.Certificates) crwebhook.Server {
	return crwebhook.NewServer(crwebhook.Options{
		Port:    s.Port,
		CertDir: s.CertDir,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion = tls.VersionTLS13
			if certificates != nil {
				c.GetCertificate = certificates.GetCertificate
			}
		}},
	})
}

// register serves the webhooks.
func (s *Server) register(server crwebhook.Server, mgr ctrl.Manager) error {
	m, err := newMetrics(s.Metrics)
	if err != nil {
		return fmt.Errorf("registering the webhook's metrics: %w", err)
	}
	cached, live := mgr.GetClient(), mgr.GetAPIReader()
	gate := &gateHandler{cache: cached, live: live, namespace: s.Namespace, image: s.DefaultGateImage}
	judges := map[string]judge{
		registration.SelectionPath: (&selectionHandler{cache: cached, serverDefault: s.ServerDefault}).judge,
		registration.GatePath:      gate.judge,
		registration.GuardPath:     (&guardHandler{gate}).judge,
	}
	for path, j := range judges {
		h := &handler{name: metricNames[path], judge: j, metrics: m, failsOpen: path == registration.SelectionPath}
		server.Register(path, s.serve(h.name, m, &admission.Webhook{Handler: h, LogConstructor: logConstructor}))
	}
	for path, v := range s.validators(cached) {
		v.name, v.metrics = metricNames[path], m
		server.Register(path, s.serve(v.name, m, &admission.Webhook{Handler: v, LogConstructor: logConstructor}))
	}
	return nil
}

// validators are what answers for the validating configuration, by path.
func (s *Server) validators(cached client.Reader) map[string]*validator {
	return map[string]*validator{
		registration.ValidateConfigMapsPath: {judge: (&configMapValidator{cache: cached, namespace: s.Namespace, names: s.ConfigMaps}).judge},
		registration.ValidateResourcesPath:  {judge: (&resourceValidator{namespace: s.Namespace}).judge},
		registration.WarningsPath:           {judge: (&authorAdviser{cache: cached, serverDefault: s.ServerDefault}).judge},
	}
}

// metricNames are the values of the label "webhook", by path.
var metricNames = map[string]string{
	registration.SelectionPath: "selection",
	registration.GatePath:      "gate",
	registration.GuardPath:     "guard",

	registration.ValidateConfigMapsPath: "configmaps",
	registration.ValidateResourcesPath:  "resources",
	registration.WarningsPath:           "authors",
}

// cacheStarter fills the caches that the handlers read, so that the first
// admission does not wait for them.
type cacheStarter struct {
	informers cache.Informers
	synced    atomic.Bool
}

// NeedLeaderElection is false: every replica answers.
func (*cacheStarter) NeedLeaderElection() bool { return false }

// Start returns when all caches are filled.
func (c *cacheStarter) Start(ctx context.Context) error {
	for _, o := range cached() {
		if _, err := c.informers.GetInformer(ctx, o); err != nil {
			return fmt.Errorf("filling the cache of %T: %w", o, err)
		}
	}
	c.synced.Store(true)
	return nil
}
