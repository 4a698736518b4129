package items

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Same reports whether an object of the cluster is what a restore would create:
// both are compared in prepared form, without the labels of restores. Nothing is
// changed.
func (t Target) Same(prepared, existing *unstructured.Unstructured) bool {
	there, reason := t.inPlace().Prepare(existing)
	if reason != "" {
		return false
	}
	return equality.Semantic.DeepEqual(essence(prepared), essence(there))
}

// inPlace prepares objects of the cluster, which have their final names, classes
// and images.
func (t Target) inPlace() Target {
	return Target{KeptVolumes: t.KeptVolumes, PreserveNodePorts: t.PreserveNodePorts, JobsWithPods: t.JobsWithPods}
}

// Update returns an object of the cluster in the form in which it is compared,
// and what it must become to be what a restore would create, with the labels of
// the restore. The difference is the patch. Nothing is changed.
//
// ok is false for an existing object that no restore would create: its controller
// decides about it.
func (t Target) Update(prepared, existing *unstructured.Unstructured) (from, to *unstructured.Unstructured, ok bool) {
	there, reason := t.inPlace().Prepare(existing)
	if reason != "" {
		return nil, nil, false
	}
	from, to = essence(there), essence(prepared)
	setLabels(to, t.labels())
	return from, to, true
}

// essence is the part of a prepared object that a user decides about. Which
// volume a claim is bound to is the cluster's affair.
func essence(obj *unstructured.Unstructured) *unstructured.Unstructured {
	c := obj.DeepCopy()
	removeLabels(c, velerov1.BackupNameLabel, velerov1.RestoreNameLabel)
	removeAnnotations(c, velerov1.RestoreVolumesAnnotation, velerov1.InstallationAnnotation, velerov1.FilledByAnnotation)
	if c.GetKind() == "PersistentVolumeClaim" {
		unstructured.RemoveNestedField(c.Object, "spec", "volumeName")
	}
	return c
}

// MergeServiceAccount returns the existing service account with the Secrets,
// image pull secrets, labels and annotations of the restored one that it lacks;
// changed is false when it lacks none. Kubernetes makes the account "default" of
// a new namespace, so it often is there first. The arguments are not changed.
func MergeServiceAccount(existing, restored *unstructured.Unstructured) (merged *unstructured.Unstructured, changed bool) {
	merged = existing.DeepCopy()
	for _, references := range []string{"secrets", "imagePullSecrets"} {
		changed = addMissing(merged, restored, references) || changed
	}
	own := restored.DeepCopy()
	removeLabels(own, velerov1.BackupNameLabel, velerov1.RestoreNameLabel) // it is not the restore's
	labels, more := union(merged.GetLabels(), own.GetLabels())
	annotations, evenMore := union(merged.GetAnnotations(), restored.GetAnnotations())
	merged.SetLabels(labels)
	merged.SetAnnotations(annotations)
	return merged, changed || more || evenMore
}

func addMissing(to, from *unstructured.Unstructured, references string) bool {
	names := map[string]bool{}
	var all []any
	for _, ref := range list(to.Object, references) {
		names[field(ref, "name")] = true
		all = append(all, ref)
	}
	before := len(all)
	for _, ref := range list(from.Object, references) {
		if !names[field(ref, "name")] {
			all = append(all, ref)
		}
	}
	if len(all) == before {
		return false
	}
	to.Object[references] = all
	return true
}

func union(to, from map[string]string) (all map[string]string, changed bool) {
	for key, value := range from {
		if _, ok := to[key]; ok {
			continue
		}
		if to == nil {
			to = map[string]string{}
		}
		to[key] = value
		changed = true
	}
	return to, changed
}
