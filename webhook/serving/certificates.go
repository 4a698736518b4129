// Package serving makes the certificates that the webhook serves with, when
// nobody else does: an authority of its own and a certificate for the Service, in
// one Secret, and the authority in the caBundles of the webhook's configurations.
//
// The certificates themselves are made and checked by cert-controller's rotator.
// Its controller is not used: that mounts the Secret, which takes the kubelet up
// to a minute after an install, watches all Secrets of the namespace, and ends
// the process to rotate. Here a reconciler watches one Secret by name, the server
// takes the certificate from memory, and an authority that is replaced stays
// trusted until it expires, so that replicas never serve what the API server does
// not trust.
package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/podkeep/podkeep/webhook/registration"
)

// SecretName is the Secret, in the install namespace, with the authority and the
// serving certificate. It is made when it does not exist.
const SecretName = "podkeep-webhook-certs"

// Certificates keeps the certificates valid. It runs in every replica: all serve,
// and who writes first wins.
type Certificates struct {
	Client client.Client
	Clock  clock.PassiveClock

	// Namespace is the install namespace.
	Namespace string

	serving atomic.Pointer[tls.Certificate] // nil: none yet
	trusted atomic.Bool                     // the caBundles have the authority
}

// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;update,resourceNames=podkeep-webhook-certs,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create,roleName=podkeep-webhook,namespace=velero
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,verbs=get;list;watch;patch,resourceNames=podkeep-velero,roleName=podkeep-webhook

// Reconcile makes one step towards a certificate that is valid and trusted.
func (c *Certificates) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing the webhook's certificates: %w", err)
	}
	s := plan(o)
	if err := c.act(ctx, o, s); err != nil {
		if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
			return ctrl.Result{RequeueAfter: conflictInterval}, nil // another replica was faster
		}
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// conflictInterval lets the cache see what another replica wrote.
const conflictInterval = 200 * time.Millisecond

// observe reads the Secret and the configurations. A Secret that does not exist is
// nil, a configuration that does not exist is left out.
func (c *Certificates) observe(ctx context.Context) (observed, error) {
	o := observed{now: c.Clock.Now(), dnsNames: dnsNames(c.Namespace)}
	secret := &corev1.Secret{}
	err := c.Client.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: SecretName}, secret)
	switch {
	case err == nil:
		o.secret = secret
	case !apierrors.IsNotFound(err):
		return o, fmt.Errorf("getting secret %s: %w", SecretName, err)
	}
	for _, kind := range registration.Kinds() {
		err := c.Client.Get(ctx, types.NamespacedName{Name: registration.ConfigurationName(c.Namespace)}, kind)
		switch {
		case err == nil:
			o.configurations = append(o.configurations, kind)
		case !apierrors.IsNotFound(err):
			return o, fmt.Errorf("getting webhook configuration: %w", err)
		}
	}
	return o, nil
}

// act does what the plan says. A crash between two writes is repaired by the next
// plan.
func (c *Certificates) act(ctx context.Context, o observed, s step) error {
	switch s.action {
	case actRenewAuthority, actRenewCertificate:
		return c.renew(ctx, o, s)
	case actTrust:
		if err := c.trust(ctx, o); err != nil {
			return err
		}
		return c.serve(o)
	case actServe:
		return c.serve(o)
	case actWaitForConfiguration:
		c.trusted.Store(false)
		return nil
	}
	return nil
}

// renew writes new certificates. The watch on the Secret brings the next step.
func (c *Certificates) renew(ctx context.Context, o observed, s step) error {
	secret := &corev1.Secret{Type: corev1.SecretTypeOpaque}
	secret.Namespace, secret.Name = c.Namespace, SecretName
	if o.secret != nil {
		secret = o.secret.DeepCopy()
	}
	data, err := newCertificates(o, s.action)
	if err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	secret.Data = data
	if o.secret == nil {
		ctrl.LoggerFrom(ctx).Info("Creating webhook certificates")
		return c.Client.Create(ctx, secret)
	}
	ctrl.LoggerFrom(ctx).Info("Renewing webhook certificates", "authority", s.action == actRenewAuthority)
	return c.Client.Update(ctx, secret)
}

// trust writes the authority into all webhooks of the configurations.
func (c *Certificates) trust(ctx context.Context, o observed) error {
	for _, old := range o.configurations {
		if trusts(old, o.secret.Data[keyAuthority]) {
			continue
		}
		configuration := old.DeepCopyObject().(client.Object)
		for _, endpoint := range registration.ClientConfigs(configuration) {
			endpoint.CABundle = o.secret.Data[keyAuthority]
		}
		ctrl.LoggerFrom(ctx).Info("Writing webhook authority", "kind", fmt.Sprintf("%T", configuration), "name", configuration.GetName())
		// A strategic merge changes the one field in the list of webhooks and leaves
		// alone what this build or this cache does not know.
		patch := client.StrategicMergeFrom(old, client.MergeFromWithOptimisticLock{})
		if err := c.Client.Patch(ctx, configuration, patch); err != nil {
			return fmt.Errorf("writing the caBundle of %T %s: %w", configuration, configuration.GetName(), err)
		}
	}
	return nil
}

// serve takes the certificate of the Secret into use.
func (c *Certificates) serve(o observed) error {
	pair, err := tls.X509KeyPair(o.secret.Data[keyCertificate], o.secret.Data[keyCertificateKey])
	if err != nil {
		return fmt.Errorf("reading the serving certificate: %w", err)
	}
	c.serving.Store(&pair)
	c.trusted.Store(true)
	return nil
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
	pair := c.serving.Load()
	switch {
	case pair == nil:
		return errNoCertificate
	case !c.trusted.Load():
		return errors.New("the webhook configuration does not trust the certificate yet, or does not exist")
	case pair.Leaf != nil && c.Clock.Now().After(pair.Leaf.NotAfter):
		return errors.New("the serving certificate has expired")
	default:
		return nil
	}
}

// SetupWithManager registers the reconciler in every replica.
func (c *Certificates) SetupWithManager(mgr ctrl.Manager) error {
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: c.Namespace, Name: SecretName}}
	same := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	// Nothing may exist yet, so nothing may call: the first request comes from here.
	first := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(request)
		return nil
	})
	builder := ctrl.NewControllerManagedBy(mgr).
		Named("webhook-certificates").
		Watches(&corev1.Secret{}, same).
		WatchesRawSource(first).
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false)})
	for _, kind := range registration.Kinds() {
		builder = builder.Watches(kind, same)
	}
	if err := builder.Complete(c); err != nil {
		return fmt.Errorf("setting up the webhook's certificates: %w", err)
	}
	return nil
}
