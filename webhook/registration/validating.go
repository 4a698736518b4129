package registration

import (
	"encoding/json"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/configmaps"
)

// Paths that the webhook serves for the validating configuration.
const (
	// ValidateConfigMapsPath refuses ConfigMaps that podkeep could not use.
	ValidateConfigMapsPath = "/validate-configmaps"

	// ValidateResourcesPath refuses storage locations, backups, restores and
	// schedules that could not work.
	ValidateResourcesPath = "/validate-resources"

	// WarningsPath tells the authors of pods and workloads what their annotations
	// do not do. It allows everything.
	WarningsPath = "/warn-authors"
)

// Names of the webhooks in the validating configuration.
const (
	ConfigMapsName        = "configmaps.validation.podkeep.io"
	ResourcesName         = "resources.validation.podkeep.io"
	PodWarningsName       = "pods.warnings.podkeep.io"
	WorkloadWarningsName  = "workloads.warnings.podkeep.io"
	NamespaceWarningsName = "namespaces.warnings.podkeep.io"
)

// ConfigMapNames are the ConfigMaps that components are told to read by their
// arguments.
type ConfigMapNames = configmaps.Names

// ValidatingConfiguration returns the validating configuration of the install in
// namespace, with an empty caBundle. Nothing in it ever stops an application, and
// all of it fails open: what it would have said is said again by the controllers.
func ValidatingConfiguration(namespace string, names ConfigMapNames) *admissionv1.ValidatingWebhookConfiguration {
	return &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: admissionv1.SchemeGroupVersion.String(),
			Kind:       "ValidatingWebhookConfiguration",
		},
		ObjectMeta: metav1.ObjectMeta{
			Name:   ConfigurationName(namespace),
			Labels: map[string]string{velerov1.ComponentLabel: velerov1.ComponentLabelValue},
		},
		Webhooks: []admissionv1.ValidatingWebhook{
			configMapsWebhook(namespace, names),
			resourcesWebhook(namespace),
			podWarningsWebhook(namespace),
			workloadWarningsWebhook(namespace),
			namespaceWarningsWebhook(namespace),
		},
	}
}

// configMapsWebhook sees ConfigMaps of the install namespace that are podkeep's,
// when they are written and when their content or what they are changes.
func configMapsWebhook(namespace string, names ConfigMapNames) admissionv1.ValidatingWebhook {
	w := newValidating(namespace, ConfigMapsName, ValidateConfigMapsPath)
	w.Rules = []admissionv1.RuleWithOperations{rule(corev1.GroupName, "configmaps")}
	w.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{inside(namespace)}
	w.MatchConditions = []admissionv1.MatchCondition{
		{Name: "content-changes", Expression: `request.operation == "CREATE" || ` +
			differs(".?data") + " || " + differs(".metadata.?labels")},
		{Name: "is-ours", Expression: oursCondition(names)},
	}
	return w
}

// Conditions that make a ConfigMap one of podkeep's.
const (
	labelled = `object.metadata.?labels[?"` + velerov1.ConfigLabel + `"].hasValue()`

	ofGate = `(object.metadata.?labels[?"` + velerov1.PluginConfigLabel + `"].hasValue() && ` +
		`object.metadata.?labels[?"` + velerov1.PodVolumeRestoreLabel + `"].orValue("") == "` + velerov1.RestoreItemActionKind + `")`

	// policyLike is a ConfigMap that looks like a volume policy, as for
	// configmaps.RolesOf.
	policyLike = `(object.?data.orValue({}).size() == 1 && object.data.exists(k, object.data[k].matches("` + configmaps.PolicyPattern + `")))`
)

func oursCondition(names ConfigMapNames) string {
	conditions := []string{labelled, ofGate, policyLike}
	if all := names.All(); len(all) > 0 {
		conditions = append(conditions, `object.metadata.?name.orValue("") in `+list(all))
	}
	return strings.Join(conditions, " || ")
}

// resourcesWebhook sees objects of velero.io that people write, while they can
// still change something: not those that controllers or a sync from the bucket
// write, and not those that are running or over.
func resourcesWebhook(namespace string) admissionv1.ValidatingWebhook {
	w := newValidating(namespace, ResourcesName, ValidateResourcesPath)
	w.Rules = []admissionv1.RuleWithOperations{
		rule(velerov1.SchemeGroupVersion.Group, "backupstoragelocations", "backups", "restores", "schedules"),
	}
	w.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{inside(namespace)}
	w.MatchConditions = []admissionv1.MatchCondition{
		{Name: "spec-changes", Expression: `request.operation == "CREATE" || ` + differs(".?spec")},
		{Name: "not-begun", Expression: `!(request.kind.kind in ["Backup", "Restore"]) || ` +
			`object.?status.?phase.orValue("") in ` + list([]string{"", string(velerov1.BackupPhaseNew)})},
	}
	return w
}

// podWarningsWebhook sees pods that people write with annotations of backups, in
// namespaces without a policy. In the others the selection webhook warns.
func podWarningsWebhook(namespace string) admissionv1.ValidatingWebhook {
	w := newWarning(namespace, PodWarningsName)
	w.Rules = []admissionv1.RuleWithOperations{rule(corev1.GroupName, "pods")}
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
		Key: velerov1.FSBackupLabel, Operator: metav1.LabelSelectorOpDoesNotExist,
	})
	w.MatchConditions = append(w.MatchConditions,
		admissionv1.MatchCondition{Name: "not-a-mirror-pod", Expression: notMirror},
		admissionv1.MatchCondition{Name: "annotations-change", Expression: annotationsChange},
		admissionv1.MatchCondition{Name: "is-annotated", Expression: annotated("object.?metadata")})
	return w
}

// workloadWarningsWebhook sees workloads whose pods have annotations of backups.
func workloadWarningsWebhook(namespace string) admissionv1.ValidatingWebhook {
	w := newWarning(namespace, WorkloadWarningsName)
	w.Rules = workloads()
	w.MatchConditions = append(w.MatchConditions,
		admissionv1.MatchCondition{Name: "spec-changes", Expression: specChanges},
		admissionv1.MatchCondition{Name: "is-annotated", Expression: anyAnnotated})
	return w
}

// namespaceWarningsWebhook sees the other workloads of namespaces whose policy
// takes every volume: some of theirs may be out of reach.
func namespaceWarningsWebhook(namespace string) admissionv1.ValidatingWebhook {
	w := newWarning(namespace, NamespaceWarningsName)
	w.Rules = workloads()
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
		Key: velerov1.FSBackupLabel, Operator: metav1.LabelSelectorOpIn, Values: []string{velerov1.FSBackupOptOut},
	})
	w.MatchConditions = append(w.MatchConditions,
		admissionv1.MatchCondition{Name: "spec-changes", Expression: specChanges},
		admissionv1.MatchCondition{Name: "is-not-annotated", Expression: "!(" + anyAnnotated + ")"})
	return w
}

// writtenByPeople leaves out what controllers make from templates: their authors
// were warned when they wrote the template.
const writtenByPeople = `!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))`

var (
	specChanges = `request.operation == "CREATE" || ` + differs(".?spec")

	// anyAnnotated looks where workloads have the annotations of their pods, CronJobs
	// deeper than the others, and StatefulSets those of their claims.
	anyAnnotated = annotated("object.?spec.?template.?metadata") + " || " +
		annotated("object.?spec.?jobTemplate.?spec.?template.?metadata") + " || " + claimsAnnotated

	claimsAnnotated = fmt.Sprintf(
		"object.?spec.?volumeClaimTemplates.orValue([]).exists(c, c.?metadata.?annotations[?%q].hasValue())", velerov1.ClaimFSBackupAnnotation)
)

// annotated is true when the metadata at path has an annotation of backups.
func annotated(path string) string {
	var found []string
	for _, key := range []string{velerov1.VolumesToBackupAnnotation, velerov1.VolumesToExcludeAnnotation} {
		found = append(found, fmt.Sprintf("%s.?annotations[?%q].hasValue()", path, key))
	}
	return strings.Join(found, " || ")
}

// differs is true when the field at path is not what it was.
func differs(path string) string {
	return fmt.Sprintf("object%[1]s.orValue({}) != oldObject%[1]s.orValue({})", path)
}

// list writes texts as a list of CEL, which has the literals of JSON.
func list(texts []string) string {
	data, err := json.Marshal(texts)
	if err != nil {
		return "[]" // texts can always be encoded
	}
	return string(data)
}

// workloads are the kinds in which people write templates of pods.
func workloads() []admissionv1.RuleWithOperations {
	return []admissionv1.RuleWithOperations{
		rule(appsv1.GroupName, "daemonsets", "deployments", "replicasets", "statefulsets"),
		rule(batchv1.GroupName, "cronjobs", "jobs"),
	}
}

// newWarning is what webhooks that only warn have in common.
func newWarning(namespace, name string) admissionv1.ValidatingWebhook {
	w := newValidating(namespace, name, WarningsPath)
	w.NamespaceSelector.MatchExpressions = []metav1.LabelSelectorRequirement{outside(namespace)}
	w.MatchConditions = []admissionv1.MatchCondition{{Name: "written-by-people", Expression: writtenByPeople}}
	return w
}

// newValidating is what all validating webhooks have in common.
func newValidating(namespace, name, path string) admissionv1.ValidatingWebhook {
	return admissionv1.ValidatingWebhook{
		Name:                    name,
		ClientConfig:            clientConfig(namespace, path),
		FailurePolicy:           ptr.To(admissionv1.Ignore),
		MatchPolicy:             ptr.To(admissionv1.Equivalent),
		NamespaceSelector:       &metav1.LabelSelector{},
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To(timeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
	}
}

// rule is for the objects that people create and update; DELETE is never matched.
func rule(group string, resources ...string) admissionv1.RuleWithOperations {
	return admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule: admissionv1.Rule{
			APIGroups:   []string{group},
			APIVersions: []string{"v1"},
			Resources:   resources,
			Scope:       ptr.To(admissionv1.NamespacedScope),
		},
	}
}

// inside matches the install namespace and no other.
func inside(namespace string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: []string{namespace},
	}
}
