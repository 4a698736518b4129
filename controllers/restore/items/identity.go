package items

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rootCAConfigMap is published in every namespace by Kubernetes.
const rootCAConfigMap = "kube-root-ca.crt"

// cleanSecret leaves out the token Secrets that old clusters made for every
// service account. One that a user made is emptied: the cluster fills it with a
// token of its own.
func cleanSecret(_ Target, obj *unstructured.Unstructured) Reason {
	if corev1.SecretType(field(obj.Object, "type")) != corev1.SecretTypeServiceAccountToken {
		return ""
	}
	if hasTokenPrefix(obj.GetName(), obj.GetAnnotations()[corev1.ServiceAccountNameKey]) {
		return ReasonManaged
	}
	removeAnnotations(obj, corev1.ServiceAccountUIDKey)
	for _, key := range []string{corev1.ServiceAccountTokenKey, corev1.ServiceAccountRootCAKey, corev1.ServiceAccountNamespaceKey} {
		unstructured.RemoveNestedField(obj.Object, "data", key)
	}
	return ""
}

// cleanServiceAccount removes the references to Secrets that cleanSecret leaves
// out.
func cleanServiceAccount(_ Target, obj *unstructured.Unstructured) Reason {
	keep(obj.Object, func(ref map[string]any) bool {
		return !hasTokenPrefix(field(ref, "name"), obj.GetName())
	}, "secrets")
	return ""
}

func cleanConfigMap(_ Target, obj *unstructured.Unstructured) Reason {
	if obj.GetName() == rootCAConfigMap {
		return ReasonManaged
	}
	return ""
}

// cleanRoleBinding gives the subjects their new namespaces.
func cleanRoleBinding(t Target, obj *unstructured.Unstructured) Reason {
	for _, subject := range list(obj.Object, "subjects") {
		if field(subject, "kind") == rbacv1.ServiceAccountKind && field(subject, "namespace") != "" {
			subject["namespace"] = t.Namespaces.Target(field(subject, "namespace"))
		}
	}
	return ""
}
