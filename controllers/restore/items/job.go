package items

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// controllerUIDLabels tie pods to the job they were made by; the restored job has
// another UID.
var controllerUIDLabels = []string{"controller-uid", batchv1.ControllerUidLabel}

// cleanJob leaves out finished jobs and removes the generated selector of the
// others. A job whose pods are restored keeps it, as one of its own: with a new
// one it would not adopt them, and do their work a second time.
func cleanJob(t Target, obj *unstructured.Unstructured) Reason {
	if isFinishedJob(obj) {
		return ReasonFinished
	}
	manual, _, _ := unstructured.NestedBool(obj.Object, "spec", "manualSelector") // missing is false
	hasPods := t.JobsWithPods[types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}]
	switch {
	case manual:
		return ""
	case hasPods:
		if spec, ok := obj.Object["spec"].(map[string]any); ok {
			spec["manualSelector"] = true
		}
		return ""
	}
	for _, label := range controllerUIDLabels {
		unstructured.RemoveNestedField(obj.Object, "spec", "selector", "matchLabels", label)
		unstructured.RemoveNestedField(obj.Object, "spec", "template", "metadata", "labels", label)
	}
	removeLabels(obj, controllerUIDLabels...)
	return ""
}

func isFinishedJob(obj *unstructured.Unstructured) bool {
	if field(obj.Object, "status", "completionTime") != "" {
		return true
	}
	for _, c := range list(obj.Object, "status", "conditions") {
		finished := field(c, "type") == string(batchv1.JobFailed) || field(c, "type") == string(batchv1.JobComplete)
		if finished && field(c, "status") == string(corev1.ConditionTrue) {
			return true
		}
	}
	return false
}
