package install

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// webhookGraceSeconds is for a webhook that ends: 10 s in which it still answers
// (--drain-time), 20 s for what is open then, and some to spare.
const webhookGraceSeconds = 45

// webhookDeployment fails closed for restored pods, so somebody always answers: a
// replica goes when its successor is ready, and the two avoid each other's node and
// zone where there are several.
func webhookDeployment(o Options) *appsv1.Deployment {
	args := []string{
		"webhook", "--default-volumes-to-fs-backup=" + strconv.FormatBool(o.DefaultVolumesToFSBackup), "--gate-image=" + o.Image,
		"--webhook-certs=" + string(o.CertificateIssuer),
	}
	args = append(args, configMapArgs(o)...)
	c := container(o, WebhookName, append(args, o.WebhookArgs...))
	c.Ports = append(c.Ports, corev1.ContainerPort{Name: "webhook", ContainerPort: webhookPort})
	c.Resources = resources("50m", "48Mi", "256Mi")
	spec := podSpec(WebhookName, c)
	spec.TerminationGracePeriodSeconds = ptr.To[int64](webhookGraceSeconds)
	spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{
		spread(corev1.LabelHostname), spread(corev1.LabelTopologyZone),
	}
	d := deployment(o, WebhookName, webhookReplicas, spec)
	d.Spec.Strategy = appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxUnavailable: ptr.To(intstr.FromInt32(0)),
			MaxSurge:       ptr.To(intstr.FromInt32(1)),
		},
	}
	d.Spec.Template.Annotations = scrapeAnnotations()
	return d
}

// spread is a wish, not a rule: a cluster of one node has two replicas too. It is
// about the replicas of one revision, or those of the last would be in the way of
// those of the next.
func spread(topology string) corev1.TopologySpreadConstraint {
	return corev1.TopologySpreadConstraint{
		MaxSkew:           1,
		TopologyKey:       topology,
		WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector:     &metav1.LabelSelector{MatchLabels: map[string]string{"deploy": WebhookName}},
		MatchLabelKeys:    []string{appsv1.DefaultDeploymentUniqueLabelKey},
	}
}

// webhookBudget lets a drain of nodes take one replica at a time. One that is not
// ready may always go: it answers nobody, and the next node may be what it needs.
func webhookBudget(o Options) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: policyv1.SchemeGroupVersion.String(), Kind: "PodDisruptionBudget"},
		ObjectMeta: metav1.ObjectMeta{Name: WebhookName, Namespace: o.Namespace},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable:             ptr.To(intstr.FromInt32(1)),
			Selector:                   &metav1.LabelSelector{MatchLabels: map[string]string{"deploy": WebhookName}},
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
		},
	}
}

func webhookService(o Options) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: WebhookName, Namespace: o.Namespace},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"deploy": WebhookName},
			Ports: []corev1.ServicePort{
				{Name: "webhook", Port: 443, TargetPort: intstr.FromInt32(webhookPort)},
				{Name: "metrics", Port: metricsPort, TargetPort: intstr.FromInt32(metricsPort)},
			},
		},
	}
}
