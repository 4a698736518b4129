package items

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// automanagedLabel marks the APIServices that the API server keeps by itself
	// (k8s.io/kube-aggregator, pkg/controllers/autoregister).
	automanagedLabel = "kube-aggregator.kubernetes.io/automanaged"

	// ownWebhooks is what the names of podkeep's webhooks end with.
	ownWebhooks = ".podkeep.io"
)

// cleanAPIService leaves out the ones that the API server makes.
func cleanAPIService(_ Target, obj *unstructured.Unstructured) Reason {
	if _, automanaged := obj.GetLabels()[automanagedLabel]; automanaged {
		return ReasonManaged
	}
	return ""
}

// cleanWebhooks leaves out podkeep's own, which would call a podkeep that is not
// there and stop the restore, and gives the others side effects that v1 takes.
func cleanWebhooks(_ Target, obj *unstructured.Unstructured) Reason {
	webhooks := list(obj.Object, "webhooks")
	if slices.ContainsFunc(webhooks, func(w map[string]any) bool { return strings.HasSuffix(field(w, "name"), ownWebhooks) }) {
		return ReasonNotRestorable
	}
	for _, w := range webhooks {
		switch admissionv1.SideEffectClass(field(w, "sideEffects")) {
		case admissionv1.SideEffectClassNone, admissionv1.SideEffectClassNoneOnDryRun:
		default:
			w["sideEffects"] = string(admissionv1.SideEffectClassNone)
		}
	}
	return ""
}

// cleanDefinition turns preserveUnknownFields, which v1 refuses, into what it
// means there: each version's schema keeps what it does not know.
func cleanDefinition(_ Target, obj *unstructured.Unstructured) Reason {
	preserves, _, _ := unstructured.NestedBool(obj.Object, "spec", "preserveUnknownFields") // missing is false
	if !preserves {
		return ""
	}
	unstructured.RemoveNestedField(obj.Object, "spec", "preserveUnknownFields")
	for _, version := range list(obj.Object, "spec", "versions") {
		raw, _, _ := unstructured.NestedFieldNoCopy(version, "schema", "openAPIV3Schema") // missing: v1 refuses the version
		if schema, ok := raw.(map[string]any); ok {
			schema["x-kubernetes-preserve-unknown-fields"] = true
		}
	}
	return ""
}
