// Package registration is the webhook configurations of podkeep, mutating and
// validating: which objects the API server sends to the webhook, where to, and what
// happens when nobody answers.
//
// It is pure and the only place of these names and selectors: install writes what
// it returns, the webhook serves its paths, tests compare both. The caBundle is
// left empty; the webhook's certificates fill it in. The rules and why they are
// as they are stand in docs/webhook.md.
package registration

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Paths that the webhook serves.
const (
	// SelectionPath stamps the selection of volumes on pods.
	SelectionPath = "/mutate-selection"

	// GatePath puts the gate into restored pods.
	GatePath = "/gate-restored-pods"

	// GuardPath keeps other pods off claims that are being restored.
	GuardPath = "/guard-restoring-namespaces"
)

const (
	// ServiceName is the Service of the webhook, in the install namespace.
	ServiceName = "podkeep-webhook"

	// ServicePort is the port of the Service.
	ServicePort int32 = 443

	// timeoutSeconds bounds a call. Answers come from caches within milliseconds;
	// 5 s leave room for one read of the API on a busy server.
	timeoutSeconds int32 = 5
)

// Names of the webhooks in the configuration. The API server calls them in this
// order.
const (
	SelectionName = "selection.podkeep.io"
	GateName      = "gate.podkeep.io"
	GuardName     = "guard.podkeep.io"
)

// ConfigurationName is the name of both configurations of the install in namespace.
func ConfigurationName(namespace string) string { return "podkeep-" + namespace }

// Kinds returns an empty object of each kind of configuration, mutating first.
func Kinds() []client.Object {
	return []client.Object{&admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}}
}

// Configurations returns the configurations of the install in namespace, one of
// each kind in the order of Kinds, with empty caBundles.
func Configurations(namespace string, names ConfigMapNames) []client.Object {
	return []client.Object{Configuration(namespace), ValidatingConfiguration(namespace, names)}
}

// ClientConfigs returns how the webhooks of a configuration are called, to read and
// to write; nil for an object of another kind.
func ClientConfigs(configuration client.Object) []*admissionv1.WebhookClientConfig {
	var configs []*admissionv1.WebhookClientConfig
	switch c := configuration.(type) {
	case *admissionv1.MutatingWebhookConfiguration:
		for i := range c.Webhooks {
			configs = append(configs, &c.Webhooks[i].ClientConfig)
		}
	case *admissionv1.ValidatingWebhookConfiguration:
		for i := range c.Webhooks {
			configs = append(configs, &c.Webhooks[i].ClientConfig)
		}
	}
	return configs
}

// Conditions in CEL that a request must meet to be sent at all. They save the
// call, and the handlers check the same again.
const (
	// notMirror leaves out mirror pods: they show what a kubelet runs already, and
	// changing them breaks the kubelet's book-keeping.
	notMirror = `!("` + corev1.MirrorPodAnnotationKey + `" in object.metadata.?annotations.orValue({}))`

	// annotationsChange leaves out updates of a pod that leave its annotations as
	// they are, which are nearly all.
	annotationsChange = `request.operation == "CREATE" || ` +
		`object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({})`
)

// restoredBy leaves out pods that the restore of another installation makes: the
// two would take turns removing each other's gate.
func restoredBy(namespace string) string {
	return fmt.Sprintf(`object.metadata.?annotations.orValue({})[?%q].orValue(%q) == %q`,
		velerov1.InstallationAnnotation, namespace, namespace)
}

// Configuration returns the mutating configuration of the install in namespace,
// with an empty caBundle.
func Configuration(namespace string) *admissionv1.MutatingWebhookConfiguration {
	return &admissionv1.MutatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: admissionv1.SchemeGroupVersion.String(),
			Kind:       "MutatingWebhookConfiguration",
		},
		ObjectMeta: metav1.ObjectMeta{
			Name:   ConfigurationName(namespace),
			Labels: map[string]string{velerov1.ComponentLabel: velerov1.ComponentLabelValue},
		},
		Webhooks: []admissionv1.MutatingWebhook{
			selectionWebhook(namespace),
			gateWebhook(namespace),
			guardWebhook(namespace),
		},
	}
}

// selectionWebhook fails open: a backup tool must never stop an application from
// starting, and the backup computes a selection that is missing.
func selectionWebhook(namespace string) admissionv1.MutatingWebhook {
	w := newWebhook(namespace, SelectionName, SelectionPath)
	w.FailurePolicy = ptr.To(admissionv1.Ignore)
	w.Rules[0].Operations = []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, exists(velerov1.FSBackupLabel))
	w.MatchConditions = append(w.MatchConditions, admissionv1.MatchCondition{Name: "annotations-change", Expression: annotationsChange})
	return w
}

// gateWebhook fails closed: a restored pod must never start on empty volumes. It
// sees no other pods.
func gateWebhook(namespace string) admissionv1.MutatingWebhook {
	w := newWebhook(namespace, GateName, GatePath)
	w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{exists(velerov1.RestoreNameLabel)}}
	w.MatchConditions = append(w.MatchConditions, admissionv1.MatchCondition{Name: "own-restore", Expression: restoredBy(namespace)})
	return w
}

// guardWebhook fails closed, in namespaces that are labelled for the time of a
// restore only.
func guardWebhook(namespace string) admissionv1.MutatingWebhook {
	w := newWebhook(namespace, GuardName, GuardPath)
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, exists(velerov1.RestoringLabel))
	w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: velerov1.RestoreNameLabel, Operator: metav1.LabelSelectorOpDoesNotExist},
	}}
	return w
}

// newWebhook is what all webhooks have in common: pods at CREATE, outside the
// namespaces that must work when podkeep does not, fail closed.
func newWebhook(namespace, name, path string) admissionv1.MutatingWebhook {
	return admissionv1.MutatingWebhook{
		Name:         name,
		ClientConfig: clientConfig(namespace, path),
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule: admissionv1.Rule{
				APIGroups:   []string{corev1.GroupName},
				APIVersions: []string{"v1"},
				Resources:   []string{"pods"},
				Scope:       ptr.To(admissionv1.NamespacedScope),
			},
		}},
		FailurePolicy:           ptr.To(admissionv1.Fail),
		MatchPolicy:             ptr.To(admissionv1.Equivalent),
		NamespaceSelector:       &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{outside(namespace)}},
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To(timeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
		ReinvocationPolicy:      ptr.To(admissionv1.IfNeededReinvocationPolicy),
		MatchConditions:         []admissionv1.MatchCondition{{Name: "not-a-mirror-pod", Expression: notMirror}},
	}
}

func clientConfig(namespace, path string) admissionv1.WebhookClientConfig {
	return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{
		Namespace: namespace,
		Name:      ServiceName,
		Path:      ptr.To(path),
		Port:      ptr.To(ServicePort),
	}}
}

// outside excludes the namespaces that are never matched: podkeep must be able to
// start without itself, and so must the cluster.
func outside(namespace string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{
		Key:      corev1.LabelMetadataName,
		Operator: metav1.LabelSelectorOpNotIn,
		Values:   []string{namespace, metav1.NamespaceSystem, corev1.NamespaceNodeLease},
	}
}

func exists(key string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpExists}
}
