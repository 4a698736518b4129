package items

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Annotations that controllers of Kubernetes put on claims and volumes
// (k8s.io/component-helpers/storage/volume).
const (
	bindCompletedAnnotation          = "pv.kubernetes.io/bind-completed"
	boundByControllerAnnotation      = "pv.kubernetes.io/bound-by-controller"
	provisionedByAnnotation          = "pv.kubernetes.io/provisioned-by"
	storageProvisionerAnnotation     = "volume.kubernetes.io/storage-provisioner"
	betaStorageProvisionerAnnotation = "volume.beta.kubernetes.io/storage-provisioner"
	selectedNodeAnnotation           = "volume.kubernetes.io/selected-node"
)

// cleanVolume frees the volume from its old claim and reserves it for the new
// one.
func cleanVolume(t Target, obj *unstructured.Unstructured) Reason {
	removeAnnotations(obj, boundByControllerAnnotation)
	for _, name := range []string{"uid", "resourceVersion"} {
		unstructured.RemoveNestedField(obj.Object, "spec", "claimRef", name)
	}
	raw, _, _ := unstructured.NestedFieldNoCopy(obj.Object, "spec", "claimRef") // missing: nothing to map
	if ref, ok := raw.(map[string]any); ok {
		ref["namespace"] = t.Namespaces.Target(field(ref, "namespace"))
	}
	return ""
}

// cleanClaim removes the traces of binding and, unless the volume is kept, the
// volume itself together with what would fill or choose another one.
func cleanClaim(t Target, obj *unstructured.Unstructured) Reason {
	removeAnnotations(obj, bindCompletedAnnotation, boundByControllerAnnotation, selectedNodeAnnotation,
		storageProvisionerAnnotation, betaStorageProvisionerAnnotation, velerov1.FilledByAnnotation)
	removeLabels(obj, velerov1.RestoreIncompleteLabel)
	volume := field(obj.Object, "spec", "volumeName")
	if volume == "" || t.KeptVolumes[volume] {
		return ""
	}
	for _, name := range []string{"volumeName", "dataSource", "dataSourceRef"} {
		unstructured.RemoveNestedField(obj.Object, "spec", name)
	}
	class, set, _ := unstructured.NestedString(obj.Object, "spec", "storageClassName") // set and empty: no class on purpose
	if !set || class != "" {
		unstructured.RemoveNestedField(obj.Object, "spec", "selector") // provisioners refuse selectors
	}
	return ""
}

// ClaimOf returns the namespace and name of the claim that a volume of an archive
// was bound to; ok is false when it was bound to none.
func ClaimOf(pv *corev1.PersistentVolume) (namespace, name string, ok bool) {
	if pv.Spec.ClaimRef == nil {
		return "", "", false
	}
	return pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name, true
}
