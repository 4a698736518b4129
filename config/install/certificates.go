package install

import (
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/webhook/serving"
)

// Names of what cert-manager is given, beside serving.CertificateName.
const (
	// rootIssuer signs the authority with its own key.
	rootIssuer = "podkeep-webhook-root"

	// AuthorityName is the Certificate of the authority, the Secret with its key and
	// the Issuer that signs with it.
	AuthorityName = "podkeep-webhook-ca"

	// authorityCommonName tells it from the authority that the webhook makes itself.
	authorityCommonName = "podkeep-webhook-by-cert-manager"
)

// How long cert-manager's certificates last, and how long before their end they are
// renewed. What is served is signed by the authority, so it is renewed more often
// than the authority needs to overlap its successor.
const (
	day = 24 * time.Hour

	authorityDuration      = 10 * 365 * day
	authorityRenewBefore   = 365 * day
	certificateDuration    = 90 * day
	certificateRenewBefore = 30 * day
)

// certificateObjects are for cert-manager: an authority of our own and a certificate
// signed by it, so that the certificate can be renewed without anybody having to
// trust something new. The objects are without Go type, because the API server may
// not know their kinds and then no client should have to.
func certificateObjects(o Options) ([]client.Object, error) {
	if o.CertificateIssuer != serving.CertManager {
		return nil, nil
	}
	var objects []client.Object
	for _, obj := range []client.Object{
		issuer(o, rootIssuer, certmanagerv1.IssuerConfig{SelfSigned: &certmanagerv1.SelfSignedIssuer{}}),
		certificate(o, AuthorityName, authoritySpec()),
		issuer(o, AuthorityName, certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: AuthorityName}}),
		certificate(o, serving.CertificateName, certificateSpec(o)),
	} {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil, fmt.Errorf("converting %s: %w", obj.GetName(), err)
		}
		delete(fields, "status")
		objects = append(objects, &unstructured.Unstructured{Object: fields})
	}
	return objects, nil
}

// authoritySpec keeps its key when it is renewed, so that what it has signed before
// is trusted by those who have its successor, and the other way round.
func authoritySpec() certmanagerv1.CertificateSpec {
	return certmanagerv1.CertificateSpec{
		IsCA:        true,
		CommonName:  authorityCommonName,
		Duration:    &metav1.Duration{Duration: authorityDuration},
		RenewBefore: &metav1.Duration{Duration: authorityRenewBefore},
		SecretName:  AuthorityName,
		IssuerRef:   certmanagermeta.IssuerReference{Group: certmanagerv1.SchemeGroupVersion.Group, Kind: certmanagerv1.IssuerKind, Name: rootIssuer},
		PrivateKey: &certmanagerv1.CertificatePrivateKey{
			Algorithm: certmanagerv1.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: certmanagerv1.RotationPolicyNever,
		},
		RevisionHistoryLimit: ptr.To[int32](1),
	}
}

func certificateSpec(o Options) certmanagerv1.CertificateSpec {
	return certmanagerv1.CertificateSpec{
		DNSNames:    serving.DNSNames(o.Namespace),
		Usages:      []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageServerAuth},
		Duration:    &metav1.Duration{Duration: certificateDuration},
		RenewBefore: &metav1.Duration{Duration: certificateRenewBefore},
		SecretName:  serving.IssuedSecretName,
		IssuerRef:   certmanagermeta.IssuerReference{Group: certmanagerv1.SchemeGroupVersion.Group, Kind: certmanagerv1.IssuerKind, Name: AuthorityName},
		PrivateKey: &certmanagerv1.CertificatePrivateKey{
			Algorithm: certmanagerv1.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: certmanagerv1.RotationPolicyAlways,
		},
		RevisionHistoryLimit: ptr.To[int32](1),
	}
}

// OtherIssuerObjects are what an installation has for the issuer of the webhook's
// certificates that it does not use, in the order in which they would be created:
// what an installation with the other one leaves behind.
func OtherIssuerObjects(o Options) ([]client.Object, error) {
	o, err := o.withDefaults()
	if err != nil || o.CertificateIssuer == serving.CertManager {
		return nil, err
	}
	o.CertificateIssuer = serving.CertManager
	objects, err := certificateObjects(o)
	if err != nil {
		return nil, err
	}
	// cert-manager leaves the Secrets of Certificates that are deleted.
	secrets := []client.Object{secret(o.Namespace, AuthorityName, "", nil), secret(o.Namespace, serving.IssuedSecretName, "", nil)}
	return append(secrets, objects...), nil
}

func issuer(o Options, name string, config certmanagerv1.IssuerConfig) *certmanagerv1.Issuer {
	return &certmanagerv1.Issuer{
		TypeMeta:   metav1.TypeMeta{APIVersion: certmanagerv1.SchemeGroupVersion.String(), Kind: certmanagerv1.IssuerKind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.Namespace},
		Spec:       certmanagerv1.IssuerSpec{IssuerConfig: config},
	}
}

func certificate(o Options, name string, spec certmanagerv1.CertificateSpec) *certmanagerv1.Certificate {
	return &certmanagerv1.Certificate{
		TypeMeta:   metav1.TypeMeta{APIVersion: certmanagerv1.SchemeGroupVersion.String(), Kind: certmanagerv1.CertificateKind},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.Namespace},
		Spec:       spec,
	}
}

// injected leaves the caBundle of a webhook configuration to cert-manager, when that
// is the issuer. Without the annotation the webhook writes it.
func injected[O client.Object](o Options, configuration O) O {
	if o.CertificateIssuer == serving.CertManager {
		configuration.SetAnnotations(map[string]string{serving.InjectAnnotation: serving.InjectFrom(o.Namespace)})
	}
	return configuration
}
