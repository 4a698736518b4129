package moverpod

import (
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/moverparts"
	"github.com/podkeep/podkeep/internal/nodeagentconfig"
)

// AgentContainer is the name of the node agent's container in its DaemonSet. A
// pod with one container may call it anything.
const AgentContainer = "node-agent"

// HostPodsVolume is the name of the node agent's hostPath volume with the
// kubelet's pods directory, as in Velero.
const HostPodsVolume = "host-pods"

// Template is what all mover pods of one node agent have in common.
type Template struct {
	Namespace string // of the install
	Node      string

	Image              string
	ImagePullPolicy    corev1.PullPolicy
	ImagePullSecrets   []corev1.LocalObjectReference
	ServiceAccountName string // "" means the namespace's default; its token is never mounted
	DNSPolicy          corev1.DNSPolicy
	DNSConfig          *corev1.PodDNSConfig
	Env                []corev1.EnvVar

	Labels            map[string]string
	Annotations       map[string]string
	Resources         corev1.ResourceRequirements
	PriorityClassName string
	Privileged        bool

	// Credentials is the key of the Secret for locations that name none; nil means
	// that such movers get no file and use the identity of their pod.
	Credentials *corev1.SecretKeySelector

	// RepositoryPassword is the key of the Secret with the password of the kopia
	// repositories.
	RepositoryPassword corev1.SecretKeySelector

	// StorageTimeout is how long one operation of the object storage is tried; 0
	// means the mover's default.
	StorageTimeout time.Duration
}

// TemplateFor derives the template from the node agent's own pod, which has all
// that a mover needs to start on the same node, and the settings. Credentials,
// RepositoryPassword and ServiceAccountName are the caller's to fill.
//
// The image is already on the node; the pull policy is IfNotPresent instead of
// Velero's Never, because a kubelet that verifies pull credentials refuses Never.
func TemplateFor(agent *corev1.Pod, s nodeagentconfig.Settings) (Template, error) {
	c := moverparts.Container(agent, AgentContainer)
	if c == nil {
		return Template{}, fmt.Errorf("pod %s/%s has no container %q", agent.Namespace, agent.Name, AgentContainer)
	}
	t := Template{
		Namespace:         agent.Namespace,
		Node:              agent.Spec.NodeName,
		Image:             c.Image,
		ImagePullPolicy:   corev1.PullIfNotPresent,
		ImagePullSecrets:  agent.Spec.ImagePullSecrets,
		DNSPolicy:         agent.Spec.DNSPolicy,
		DNSConfig:         agent.Spec.DNSConfig,
		Labels:            moverparts.Labels(agent),
		Annotations:       moverparts.Annotations(agent),
		Resources:         s.Resources,
		PriorityClassName: s.PriorityClassName,
		Privileged:        s.Privileged,
		Env:               moverparts.Environment(c),
	}
	// As in Velero, configured keys replace the inherited ones.
	if len(s.PodLabels) > 0 {
		t.Labels = maps.Clone(s.PodLabels)
	}
	if len(s.PodAnnotations) > 0 {
		t.Annotations = maps.Clone(s.PodAnnotations)
	}
	return t, nil
}

// HostPodsPath returns the directory of the node that the node agent sees as the
// kubelet's pods directory.
func HostPodsPath(agent *corev1.Pod) (string, error) {
	for _, v := range agent.Spec.Volumes {
		if v.Name == HostPodsVolume && v.HostPath != nil {
			return v.HostPath.Path, nil
		}
	}
	return "", fmt.Errorf("pod %s/%s has no hostPath volume %q", agent.Namespace, agent.Name, HostPodsVolume)
}
