// Package serving keeps the webhook served with a certificate that the API server
// trusts: one that it makes itself, with an authority of its own, or one of
// cert-manager (Issuer). It issues, trusts and serves; what an installation needs
// for it is in config/install, and why it is done so in docs/certificates.md.
//
// The rule in both cases, and while one follows the other: an authority is trusted
// before anybody serves with it, and stays trusted as long as somebody may. So all
// authorities are collected in one Secret, from which this package or cert-manager's
// injector fills the caBundle, and certificates are taken from memory, not from
// files, which the kubelet renews when it comes to it.
//
// Own certificates are made and checked by cert-controller's rotator. Its
// controller is not used: that mounts the Secret, watches all Secrets of the
// namespace, and ends the process to rotate.
package serving

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/registration"
)

// Certificates keeps the certificates valid. It runs in every replica: all serve,
// and who writes first wins.
type Certificates struct {
	Client client.Client
	Clock  clock.PassiveClock

	// Namespace is the install namespace.
	Namespace string

	// Issuer is who makes the certificates. "" is SelfSigned.
	Issuer Issuer

	// Lifetimes are for SelfSigned. The zero value is the defaults.
	Lifetimes Lifetimes

	cached world
	live   world // the API server itself

	serving atomic.Pointer[tls.Certificate] // nil: none yet
	trusted atomic.Bool                     // the API server accepts what is served
	reason  atomic.Pointer[string]          // what is waited for; nil: nothing known

	// sighting is only used by Reconcile, of which one runs at a time.
	sighting sighting
}

// world is where a replica looks.
type world struct {
	objects client.Reader
	issued  client.Reader // of IssuedSecretName; nil unless the issuer is CertManager
}

// sighting is when this replica first saw a certificate trusted. A replica that
// starts again has forgotten it, and has nothing better to serve either.
type sighting struct {
	leaf [sha256.Size]byte
	at   time.Time
}

// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;update,resourceNames=podkeep-webhook-certs,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch,resourceNames=podkeep-webhook-tls,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,verbs=get;list;watch;patch,resourceNames=podkeep-velero,roleName=podkeep-webhook

// Reconcile makes one step towards a certificate that is valid and trusted.
func (c *Certificates) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	o, s, err := c.look(ctx, c.cached)
	if err == nil && s.writes() {
		// Caches of several kinds are behind by different times. What is written from
		// them could take back what another replica has just written and serves with.
		o, s, err = c.look(ctx, c.live)
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing the webhook's certificates: %w", err)
	}
	err = c.act(ctx, o, s)
	c.report(ctx, o, s)
	switch {
	case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: conflictInterval}, nil // another replica was faster
	case err != nil:
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// conflictInterval lets the cache see what another replica wrote.
const conflictInterval = 200 * time.Millisecond

func (c *Certificates) look(ctx context.Context, w world) (observed, step, error) {
	o, err := c.observe(ctx, w)
	if err != nil {
		return o, step{}, err
	}
	return o, plan(o), nil
}

// observe reads the Secrets and the configurations. What does not exist is nil. The
// configurations come first, so that the Secret is never older than what was written
// from it.
func (c *Certificates) observe(ctx context.Context, w world) (observed, error) {
	o := observed{
		now: c.Clock.Now(), dnsNames: DNSNames(c.Namespace), issuer: c.Issuer, lifetimes: c.Lifetimes.withDefaults(),
		serving: c.serving.Load(),
	}
	if o.issuer == "" {
		o.issuer = SelfSigned
	}
	var err error
	if o.configurations, err = c.configurations(ctx, w.objects); err != nil {
		return o, err
	}
	if o.own, err = c.secret(ctx, w.objects, SecretName); err != nil {
		return o, err
	}
	if o.issuer == CertManager {
		if o.issued, err = c.secret(ctx, w.issued, IssuedSecretName); err != nil {
			return o, err
		}
	}
	o.trustedSince = c.sight(o)
	return o, nil
}

func (c *Certificates) secret(ctx context.Context, reader client.Reader, name string) (*corev1.Secret, error) {
	s := &corev1.Secret{}
	err := reader.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: name}, s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("getting secret %s: %w", name, err)
	}
	return s, nil
}

// configurations are both kinds. The validating one may be missing: nothing depends
// on it. Without the mutating one there is no installation yet, and none is returned.
func (c *Certificates) configurations(ctx context.Context, reader client.Reader) ([]client.Object, error) {
	var found []client.Object
	for _, configuration := range watched() {
		err := reader.Get(ctx, types.NamespacedName{Name: registration.ConfigurationName(c.Namespace)}, configuration)
		_, mutating := configuration.(*admissionv1.MutatingWebhookConfiguration)
		switch {
		case apierrors.IsNotFound(err) && mutating:
			return nil, nil
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("getting webhook configuration: %w", err)
		default:
			found = append(found, configuration)
		}
	}
	return found, nil
}

// watched are the kinds of the configurations.
func watched() []client.Object {
	return []client.Object{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}}
}

// sight returns since when the certificate that is to be served has been trusted.
func (c *Certificates) sight(o observed) time.Time {
	next := o.candidate()
	if !o.isTrusted(next) {
		c.sighting = sighting{}
		return time.Time{}
	}
	if leaf := sha256.Sum256(next.Leaf.Raw); c.sighting.leaf != leaf {
		c.sighting = sighting{leaf: leaf, at: o.now}
	}
	return c.sighting.at
}

// act does what the plan says. A crash between two writes is repaired by the next
// plan.
func (c *Certificates) act(ctx context.Context, o observed, s step) error {
	switch s.action {
	case actRenewAuthority, actRenewCertificate:
		data, err := newCertificates(o, s.action)
		if err != nil {
			return fmt.Errorf("making certificates: %w", err)
		}
		return c.write(ctx, o, s, data)
	case actAddAuthority:
		return c.write(ctx, o, s, withAuthority(o))
	case actTrust:
		return c.trust(ctx, o)
	case actServe:
		c.serving.Store(o.candidate())
	case actWait:
	}
	return nil
}

// write writes the Secret. The watch on it brings the next step.
func (c *Certificates) write(ctx context.Context, o observed, s step, data map[string][]byte) error {
	secret := &corev1.Secret{Type: corev1.SecretTypeOpaque}
	secret.Namespace, secret.Name = c.Namespace, SecretName
	if o.own != nil {
		secret = o.own.DeepCopy()
	}
	secret.Data = data
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	secret.Annotations[allowInjectionAnnotation] = "true"
	ctrl.LoggerFrom(ctx).Info("Writing webhook certificates", "reason", s.action)
	if o.own == nil {
		return c.Client.Create(ctx, secret)
	}
	return c.Client.Update(ctx, secret)
}

// trust writes the authorities into all webhooks of the configurations that are not
// cert-manager's to write.
func (c *Certificates) trust(ctx context.Context, o observed) error {
	for _, before := range untrusting(o) {
		after := before.DeepCopyObject().(client.Object)
		for _, bundle := range caBundles(after) {
			*bundle = o.own.Data[keyAuthority]
		}
		ctrl.LoggerFrom(ctx).Info("Writing webhook authorities", "configuration", fmt.Sprintf("%T", after))
		// A strategic merge changes the one field in the list of webhooks and leaves
		// alone what this build or this cache does not know.
		patch := client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})
		if err := c.Client.Patch(ctx, after, patch); err != nil {
			return fmt.Errorf("writing the caBundle of %T %s: %w", after, after.GetName(), err)
		}
	}
	return nil
}

// report says whether the API server can call this replica, and what it waits for.
func (c *Certificates) report(ctx context.Context, o observed, s step) {
	c.trusted.Store(o.isTrusted(c.serving.Load()))
	if before := c.reason.Swap(&s.reason); s.reason != "" && (before == nil || *before != s.reason) {
		ctrl.LoggerFrom(ctx).Info("Waiting with the webhook's certificate", "reason", s.reason)
	}
}

// errNoCertificate is the answer to connections before the first certificate.
var errNoCertificate = errors.New("the webhook has no certificate yet")

// GetCertificate returns the certificate to serve with, for tls.Config.
func (c *Certificates) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := c.serving.Load(); pair != nil {
		return pair, nil
	}
	return nil, errNoCertificate
}

// Ready returns why the API server could not call this replica, nil when it can.
func (c *Certificates) Ready() error {
	switch pair := c.serving.Load(); {
	case pair == nil:
		return c.because(errNoCertificate)
	case c.Clock.Now().After(pair.Leaf.NotAfter):
		return c.because(errors.New("the serving certificate has expired"))
	case !c.trusted.Load():
		return c.because(errors.New("the webhook configurations do not trust the certificate, or do not exist"))
	default:
		return nil
	}
}

func (c *Certificates) because(err error) error {
	if reason := c.reason.Load(); reason != nil && *reason != "" {
		return fmt.Errorf("%w: %s", err, *reason)
	}
	return err
}
