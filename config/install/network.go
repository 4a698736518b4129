package install

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// networkPolicies close the ports of podkeep's pods that nobody needs to reach.
//
// They say which ports, and not who: the API server calls from an address that no
// selector describes (a control plane elsewhere, a tunnel, the node), and so does
// who collects metrics. Ways out are left open for the same reason: they lead to
// the API server and to the storage.
func networkPolicies(o Options) []*networkingv1.NetworkPolicy {
	deploy := func(name string) metav1.LabelSelector {
		return metav1.LabelSelector{MatchLabels: map[string]string{"deploy": name}}
	}
	return []*networkingv1.NetworkPolicy{
		networkPolicy(o, ServerName, deploy(ServerName), metricsPort, healthPort, DownloadPort),
		networkPolicy(o, NodeAgentName, metav1.LabelSelector{MatchLabels: map[string]string{"name": NodeAgentName}}, metricsPort, healthPort),
		networkPolicy(o, WebhookName, deploy(WebhookName), webhookPort, metricsPort, healthPort),
		networkPolicy(o, "podkeep-movers", hasLabel(velerov1.MoverNodeLabel)),
		networkPolicy(o, "podkeep-maintenance", hasLabel(velerov1.RepositoryNameLabel)),
	}
}

// networkPolicy lets traffic in to these ports only, and none without them.
func networkPolicy(o Options, name string, pods metav1.LabelSelector, ports ...int32) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.Namespace},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: pods,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		},
	}
	if len(ports) == 0 {
		return p
	}
	rule := networkingv1.NetworkPolicyIngressRule{}
	for _, port := range ports {
		rule.Ports = append(rule.Ports, networkingv1.NetworkPolicyPort{Protocol: ptr.To(corev1.ProtocolTCP), Port: ptr.To(intstr.FromInt32(port))})
	}
	p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{rule}
	return p
}

func hasLabel(key string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpExists}}}
}
