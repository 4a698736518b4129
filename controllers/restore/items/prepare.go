package items

import (
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Reasons why one object is not restored.
const (
	// ReasonMirrorPod is a pod that a kubelet made from a file.
	ReasonMirrorPod Reason = "MirrorPod"

	// ReasonFinished is a pod or job that has done its work; restored, it would do
	// it again.
	ReasonFinished Reason = "Finished"

	// ReasonManaged is an object that a controller of Kubernetes makes anew from
	// other restored objects.
	ReasonManaged Reason = "Managed"
)

// Target is what objects are prepared for.
type Target struct {
	// BackupName and RestoreName label every restored object.
	BackupName, RestoreName string

	// Namespaces gives objects their namespace.
	Namespaces Namespaces

	// KeptVolumes are the names of the persistent volumes that their claims stay
	// bound to. Claims of other volumes lose spec.volumeName, so that a volume is
	// provisioned.
	KeptVolumes map[string]bool

	// PreserveNodePorts lets services keep all node ports, not only those that a
	// user asked for.
	PreserveNodePorts bool

	// StorageClasses gives claims and volumes another storage class, by its name in
	// the backup. nil changes none.
	StorageClasses map[string]string

	// Images changes the names of images. The first rule that fits an image counts.
	Images []ImageRule

	// JobsWithPods are the jobs, by their names in the backup, that have pods among
	// the restored ones.
	JobsWithPods map[types.NamespacedName]bool
}

// serverSetMetadata is what the API server or a controller writes into the
// metadata of every object.
var serverSetMetadata = []string{
	"generateName", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
	"deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "managedFields",
}

// kindRules are the rules of kinds that need more than the common ones. A rule
// changes the object, which is a copy, or says why it is not restored.
var kindRules = map[schema.GroupKind]func(Target, *unstructured.Unstructured) Reason{
	{Kind: "Namespace"}:                                cleanNamespace,
	{Kind: "PersistentVolume"}:                         cleanVolume,
	{Kind: "PersistentVolumeClaim"}:                    cleanClaim,
	{Kind: "Pod"}:                                      cleanPod,
	{Kind: "Service"}:                                  cleanService,
	{Kind: "Endpoints"}:                                cleanEndpoints,
	{Kind: "EndpointSlice", Group: "discovery.k8s.io"}: cleanEndpointSlice,
	{Kind: "Secret"}:                                   cleanSecret,
	{Kind: "ServiceAccount"}:                           cleanServiceAccount,
	{Kind: "ConfigMap"}:                                cleanConfigMap,
	{Kind: "RoleBinding", Group: "rbac.authorization.k8s.io"}:                       cleanRoleBinding,
	{Kind: "ClusterRoleBinding", Group: "rbac.authorization.k8s.io"}:                cleanRoleBinding,
	{Kind: "Job", Group: "batch"}:                                                   cleanJob,
	{Kind: "APIService", Group: "apiregistration.k8s.io"}:                           cleanAPIService,
	{Kind: "MutatingWebhookConfiguration", Group: "admissionregistration.k8s.io"}:   cleanWebhooks,
	{Kind: "ValidatingWebhookConfiguration", Group: "admissionregistration.k8s.io"}: cleanWebhooks,
	{Kind: "CustomResourceDefinition", Group: "apiextensions.k8s.io"}:               cleanDefinition,
}

// Prepare returns the object in the form in which it is created, or the reason
// why it is not. The argument is not changed.
func (t Target) Prepare(archived *unstructured.Unstructured) (*unstructured.Unstructured, Reason) {
	obj := archived.DeepCopy()
	if rule, ok := kindRules[obj.GroupVersionKind().GroupKind()]; ok { // first: rules read what is removed below
		if reason := rule(t, obj); reason != "" {
			return nil, reason
		}
	}
	t.changeClasses(obj)
	t.changeImages(obj)
	t.clean(obj)
	setLabels(obj, t.labels())
	return obj, ""
}

// Label sets the labels that every restored object has, should somebody have taken
// them off a prepared one.
func (t Target) Label(obj *unstructured.Unstructured) { setLabels(obj, t.labels()) }

// labels are those of every restored object.
func (t Target) labels() map[string]string {
	return map[string]string{
		velerov1.BackupNameLabel:  velerov1.ValidLabelValue(t.BackupName),
		velerov1.RestoreNameLabel: velerov1.ValidLabelValue(t.RestoreName),
	}
}

// clean applies the rules that hold for every kind.
func (t Target) clean(obj *unstructured.Unstructured) {
	unstructured.RemoveNestedField(obj.Object, "status")
	for _, field := range serverSetMetadata {
		unstructured.RemoveNestedField(obj.Object, "metadata", field)
	}
	if ns := obj.GetNamespace(); ns != "" {
		obj.SetNamespace(t.Namespaces.Target(ns))
	}
}

// SetLabel sets one label of a prepared object.
func SetLabel(obj *unstructured.Unstructured, key, value string) {
	setLabels(obj, map[string]string{key: value})
}

// SetAnnotation sets one annotation of a prepared object.
func SetAnnotation(obj *unstructured.Unstructured, key, value string) {
	all := obj.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	obj.SetAnnotations(all)
}

func setLabels(obj *unstructured.Unstructured, labels map[string]string) {
	all := obj.GetLabels()
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, labels)
	obj.SetLabels(all)
}

// removeAnnotations removes keys, and the whole map when nothing is left, so that
// golden files and comparisons do not depend on empty maps.
func removeAnnotations(obj *unstructured.Unstructured, keys ...string) {
	left := obj.GetAnnotations()
	for _, key := range keys {
		delete(left, key)
	}
	if len(left) == 0 {
		left = nil
	}
	obj.SetAnnotations(left)
}

func removeLabels(obj *unstructured.Unstructured, keys ...string) {
	left := obj.GetLabels()
	for _, key := range keys {
		delete(left, key)
	}
	if len(left) == 0 {
		left = nil
	}
	obj.SetLabels(left)
}

// cleanNamespace gives the namespace its new name. Its marks of an earlier
// restore and the server's finalizer go.
func cleanNamespace(t Target, obj *unstructured.Unstructured) Reason {
	obj.SetName(t.Namespaces.Target(obj.GetName()))
	removeLabels(obj, velerov1.RestoringLabel, "kubernetes.io/metadata.name")
	unstructured.RemoveNestedField(obj.Object, "spec")
	return ""
}

// field returns a string field, "" when it is missing or no string.
func field(obj map[string]any, path ...string) string {
	s, _, _ := unstructured.NestedString(obj, path...) // a wrong type is "missing" here: the server judges it
	return s
}

// maps of a list field; elements that are no maps are left out.
func list(obj map[string]any, path ...string) []map[string]any {
	raw, _, _ := unstructured.NestedFieldNoCopy(obj, path...) // as above
	elements, _ := raw.([]any)
	var found []map[string]any
	for _, e := range elements {
		if m, ok := e.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}

// keep filters a list field in place; without elements the field goes.
func keep(obj map[string]any, wanted func(map[string]any) bool, path ...string) {
	var left []any
	for _, e := range list(obj, path...) {
		if wanted(e) {
			left = append(left, e)
		}
	}
	if len(left) == 0 {
		unstructured.RemoveNestedField(obj, path...)
		return
	}
	parent, _, _ := unstructured.NestedFieldNoCopy(obj, path[:len(path)-1]...) // it is there: list found elements in it
	if m, ok := parent.(map[string]any); ok {
		m[path[len(path)-1]] = left
	}
}

func hasTokenPrefix(name, account string) bool {
	return account != "" && strings.HasPrefix(name, account+"-token-")
}
