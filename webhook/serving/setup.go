package serving

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/podkeep/podkeep/webhook/registration"
)

// CacheOptions are the Secret and the configurations of the install in namespace
// and nothing else of their kinds.
func CacheOptions(namespace string) map[client.Object]cache.ByObject {
	own := fields.OneTermEqualSelector(metav1.ObjectNameField, registration.ConfigurationName(namespace))
	options := map[client.Object]cache.ByObject{&corev1.Secret{}: onlySecret(namespace, SecretName)}
	for _, configuration := range watched() {
		options[configuration] = cache.ByObject{Field: own, Transform: slim}
	}
	return options
}

func onlySecret(namespace, name string) cache.ByObject {
	return cache.ByObject{
		Namespaces: map[string]cache.Config{namespace: {}},
		Field:      fields.OneTermEqualSelector(metav1.ObjectNameField, name),
	}
}

// slim drops what nothing is decided from. The annotations say who writes.
func slim(in any) (any, error) {
	if o, ok := in.(client.Object); ok {
		o.SetManagedFields(nil)
	}
	return in, nil
}

// SetupWithManager registers the reconciler in every replica. The manager's cache
// must have CacheOptions.
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
	c.cached = world{objects: mgr.GetClient()}
	c.live = world{objects: mgr.GetAPIReader(), issued: mgr.GetAPIReader()}
	b := ctrl.NewControllerManagedBy(mgr).
		Named("webhook-certificates").
		Watches(&corev1.Secret{}, same).
		WatchesRawSource(first).
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false)})
	for _, configuration := range watched() {
		b = b.Watches(configuration, same)
	}
	if c.Issuer == CertManager {
		issued, err := c.cacheIssued(mgr)
		if err != nil {
			return err
		}
		b = b.WatchesRawSource(source.Kind[client.Object](issued, &corev1.Secret{}, same))
	}
	if err := b.Complete(c); err != nil {
		return fmt.Errorf("setting up the webhook's certificates: %w", err)
	}
	return nil
}

// cacheIssued adds a cache of cert-manager's Secret. It is one of its own because a
// cache holds one selection of Secrets, and two names cannot be one selection.
func (c *Certificates) cacheIssued(mgr ctrl.Manager) (cache.Cache, error) {
	issued, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{&corev1.Secret{}: onlySecret(c.Namespace, IssuedSecretName)},
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache of cert-manager's certificate: %w", err)
	}
	if err := mgr.Add(issued); err != nil {
		return nil, fmt.Errorf("adding the cache of cert-manager's certificate: %w", err)
	}
	c.cached.issued = issued
	return issued, nil
}
