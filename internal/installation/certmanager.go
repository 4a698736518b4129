package installation

import (
	"context"
	"fmt"
	"slices"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/serving"
)

// Labels of cert-manager's Deployments; its chart and its manifests set them.
const (
	nameLabel      = "app.kubernetes.io/name"
	componentLabel = "app.kubernetes.io/component"
)

// FindCertManager asks the cluster what it has of cert-manager. configuration is the
// name of the installation's webhook configuration.
func (i Installer) FindCertManager(ctx context.Context, configuration string) (CertManager, error) {
	found := CertManager{Asked: true}
	kind := certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateKind)
	switch _, err := i.Client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version); {
	case err == nil:
		found.Served = true
	case !meta.IsNoMatchError(err):
		return found, fmt.Errorf("looking for cert-manager: %w", err)
	}
	hooks, err := get(ctx, i.Client, "", configuration, &admissionv1.MutatingWebhookConfiguration{})
	switch {
	case err != nil:
		return found, err
	case hooks != nil && hooks.Annotations[serving.InjectAnnotation] != "":
		found.Installed = serving.CertManager
	case hooks != nil:
		found.Installed = serving.SelfSigned
	}
	if !found.Served {
		return found, nil
	}
	if found.Controller, err = i.isAvailable(ctx, "cert-manager", "controller"); err != nil {
		return found, err
	}
	found.Injector, err = i.isAvailable(ctx, "cainjector", "cainjector")
	return found, err
}

func (i Installer) isAvailable(ctx context.Context, name, component string) (bool, error) {
	list := &appsv1.DeploymentList{}
	if err := i.Client.List(ctx, list, client.MatchingLabels{nameLabel: name, componentLabel: component}); err != nil {
		return false, fmt.Errorf("listing Deployments of cert-manager: %w", err)
	}
	return slices.ContainsFunc(list.Items, func(d appsv1.Deployment) bool { return d.Status.AvailableReplicas > 0 }), nil
}

// certificateMissing says what keeps a Certificate of cert-manager from being
// issued; "" when it is.
func certificateMissing(name string, c *certmanagerv1.Certificate) string {
	if c == nil {
		return fmt.Sprintf("Certificate %s does not exist", name)
	}
	for _, condition := range c.Status.Conditions {
		switch {
		case condition.Type != certmanagerv1.CertificateConditionReady:
		case condition.Status == certmanagermeta.ConditionTrue:
			return ""
		default:
			return fmt.Sprintf("Certificate %s is not ready: %s", name, condition.Message)
		}
	}
	return fmt.Sprintf("Certificate %s is not looked at by cert-manager yet", name)
}

// certificate reads a Certificate without a Go client for it; nil when it does not
// exist, or its kind does not.
func (i Installer) certificate(ctx context.Context, ns, name string) (*certmanagerv1.Certificate, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateKind))
	err := i.Client.Get(ctx, client.ObjectKey{Namespace: ns, Name: name}, u)
	if ignoreNoKind(err) != nil {
		return nil, fmt.Errorf("getting Certificate %s: %w", name, err)
	}
	if u.GetUID() == "" { // nothing was read
		return nil, nil
	}
	c := &certmanagerv1.Certificate{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, c); err != nil {
		return nil, fmt.Errorf("reading Certificate %s: %w", name, err)
	}
	return c, nil
}

// Issued is what an installation has for its certificates.
type Issued struct {
	Namespace string
	Issuer    serving.Issuer
	Webhook   string          // Deployment of the webhook
	Others    []client.Object // what the other issuer needs, to be removed with SelfSigned
}

// ForgetOtherIssuer removes what the issuer of before has left, once no replica of
// the webhook can be using it: keys, and authorities that need not be trusted any
// more. The installation must be ready. It does nothing when nothing is left.
func (i Installer) ForgetOtherIssuer(ctx context.Context, in Issued) error {
	own, err := get(ctx, i.Client, in.Namespace, serving.SecretName, &corev1.Secret{})
	if err != nil || own == nil {
		return err
	}
	others, err := i.existing(ctx, in.Others)
	if err != nil || (len(others) == 0 && serving.WithoutOther(own, in.Issuer) == nil) {
		return err
	}
	fmt.Fprintln(i.Out, "waiting: replicas of the webhook with the certificate of before are ending")
	if err := i.waitNoneEnding(ctx, in); err != nil {
		return err
	}
	if err := i.Remove(ctx, others); err != nil {
		return err
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error { return i.forgetKeys(ctx, in) })
}

func (i Installer) forgetKeys(ctx context.Context, in Issued) error {
	own, err := get(ctx, i.Client, in.Namespace, serving.SecretName, &corev1.Secret{})
	if err != nil || own == nil {
		return err
	}
	after := serving.WithoutOther(own, in.Issuer)
	if after == nil {
		return nil
	}
	if err := i.Client.Update(ctx, after); err != nil {
		return fmt.Errorf("removing keys of before from Secret %s: %w", serving.SecretName, err)
	}
	fmt.Fprintf(i.Out, "Secret/%s: keys of before removed\n", serving.SecretName)
	return nil
}

func (i Installer) existing(ctx context.Context, objects []client.Object) ([]client.Object, error) {
	var found []client.Object
	for _, obj := range objects {
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(obj.GetObjectKind().GroupVersionKind())
		err := i.Client.Get(ctx, client.ObjectKeyFromObject(obj), m)
		switch {
		case err == nil:
			found = append(found, obj)
		case ignoreNoKind(err) != nil:
			return nil, fmt.Errorf("looking for %s: %w", describe(obj), err)
		}
	}
	return found, nil
}

// waitNoneEnding returns when no pod of the webhook is being deleted.
func (i Installer) waitNoneEnding(ctx context.Context, in Issued) error {
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		if err := i.Client.List(ctx, pods, client.InNamespace(in.Namespace), client.MatchingLabels{"deploy": in.Webhook}); err != nil {
			return false, err
		}
		ending := slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return !p.DeletionTimestamp.IsZero() })
		return !ending, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the end of webhook pods: %w", err)
	}
	return nil
}
