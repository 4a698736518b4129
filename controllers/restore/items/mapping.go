package items

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ImageRule replaces a part of image names.
type ImageRule struct {
	Old, New string
}

// imageDelimiter stands between the two parts of a rule (velero-facts §11.6).
const imageDelimiter = ","

// ParseImageRules reads the ConfigMap that changes image names: each value is
// "old,new", the keys give the order. What cannot be used is a problem that names
// its key; the other rules hold.
func ParseImageRules(data map[string]string) (rules []ImageRule, problems []string) {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		before, after, found := strings.Cut(data[key], imageDelimiter)
		rule := ImageRule{Old: strings.TrimSpace(before), New: strings.TrimSpace(after)}
		if !found || rule.Old == "" || rule.New == "" || strings.Contains(rule.New, imageDelimiter) {
			problems = append(problems, fmt.Sprintf("data.%s: Invalid value: %q: must be the old and the new part of image names, separated by one comma",
				key, data[key]))
			continue
		}
		rules = append(rules, rule)
	}
	return rules, problems
}

// podSpecs are where the kinds whose images are changed have their pod spec.
var podSpecs = map[schema.GroupKind][]string{
	{Kind: "Pod"}:                        {"spec"},
	{Kind: "ReplicationController"}:      {"spec", "template", "spec"},
	{Kind: "Deployment", Group: "apps"}:  {"spec", "template", "spec"},
	{Kind: "StatefulSet", Group: "apps"}: {"spec", "template", "spec"},
	{Kind: "DaemonSet", Group: "apps"}:   {"spec", "template", "spec"},
	{Kind: "ReplicaSet", Group: "apps"}:  {"spec", "template", "spec"},
	{Kind: "Job", Group: "batch"}:        {"spec", "template", "spec"},
	{Kind: "CronJob", Group: "batch"}:    {"spec", "jobTemplate", "spec", "template", "spec"},
}

// changeImages applies, to each image, the first rule that fits.
func (t Target) changeImages(obj *unstructured.Unstructured) {
	spec, ok := podSpecs[obj.GroupVersionKind().GroupKind()]
	if !ok || len(t.Images) == 0 {
		return
	}
	for _, containers := range []string{"initContainers", "containers"} {
		for _, c := range list(obj.Object, append(slices.Clone(spec), containers)...) {
			if image := field(c, "image"); image != "" {
				c["image"] = t.image(image)
			}
		}
	}
}

func (t Target) image(name string) string {
	for _, rule := range t.Images {
		if strings.Contains(name, rule.Old) {
			return strings.ReplaceAll(name, rule.Old, rule.New)
		}
	}
	return name
}

// classHolders returns the parts of an object that have a storage class.
func classHolders(obj *unstructured.Unstructured) []map[string]any {
	switch obj.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Kind: "PersistentVolume"}, schema.GroupKind{Kind: "PersistentVolumeClaim"}:
		return []map[string]any{obj.Object}
	case schema.GroupKind{Kind: "StatefulSet", Group: "apps"}:
		return list(obj.Object, "spec", "volumeClaimTemplates")
	default:
		return nil
	}
}

// NewClasses returns the storage classes that an object of the archive gets by
// the mapping, in place of others. They must exist.
func (t Target) NewClasses(archived *unstructured.Unstructured) []string {
	var classes []string
	if len(t.StorageClasses) == 0 {
		return nil
	}
	for _, holder := range classHolders(archived) {
		if class, ok := t.StorageClasses[classOf(holder)]; ok {
			classes = append(classes, class)
		}
	}
	return classes
}

// changeClasses gives an object the storage classes of the mapping.
func (t Target) changeClasses(obj *unstructured.Unstructured) {
	if len(t.StorageClasses) == 0 {
		return
	}
	for _, holder := range classHolders(obj) {
		class, ok := t.StorageClasses[classOf(holder)]
		if !ok {
			continue
		}
		if spec, isMap := holder["spec"].(map[string]any); isMap {
			spec["storageClassName"] = class
		}
		unstructured.RemoveNestedField(holder, "metadata", "annotations", corev1.BetaStorageClassAnnotation)
	}
}

// classOf is the storage class of a claim or volume, or "". Old objects have it in
// an annotation.
func classOf(holder map[string]any) string {
	if class := field(holder, "spec", "storageClassName"); class != "" {
		return class
	}
	return field(holder, "metadata", "annotations", corev1.BetaStorageClassAnnotation)
}
