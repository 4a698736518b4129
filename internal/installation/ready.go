package installation

import (
	"fmt"
	"strings"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// State is what an installation looks like. A nil object does not exist.
type State struct {
	Deployments map[string]*appsv1.Deployment
	DaemonSet   *appsv1.DaemonSet
	Location    *velerov1.BackupStorageLocation // nil also when none is installed
	WantBucket  bool                            // a location is installed and must be Available
	Pods        []corev1.Pod                    // of the install namespace
	// Certificates are those that cert-manager issues, by name.
	Certificates map[string]*certmanagerv1.Certificate
	// WebhooksTrusted is whether the API server has the webhooks' authority.
	WebhooksTrusted bool
}

// NotReady lists what is missing, one sentence each and in the order in which
// it should be mended; an empty list means that the installation works.
func NotReady(s State) []string {
	var missing []string
	for _, name := range sortedKeys(s.Certificates) {
		if m := certificateMissing(name, s.Certificates[name]); m != "" {
			missing = append(missing, m)
		}
	}
	for _, name := range sortedKeys(s.Deployments) {
		if m := deploymentMissing(name, s.Deployments[name]); m != "" {
			missing = append(missing, m+podTrouble(s.Pods, "deploy", name))
		}
	}
	if m := daemonSetMissing(s.DaemonSet); m != "" {
		missing = append(missing, m+podTrouble(s.Pods, "name", "node-agent"))
	}
	if !s.WebhooksTrusted {
		missing = append(missing, "the webhooks have no certificate yet")
	}
	if m := locationMissing(s); m != "" {
		missing = append(missing, m)
	}
	return missing
}

func deploymentMissing(name string, d *appsv1.Deployment) string {
	if d == nil {
		return fmt.Sprintf("Deployment %s does not exist", name)
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	switch {
	case d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < want:
		return fmt.Sprintf("Deployment %s is being rolled out", name)
	case d.Status.Replicas > d.Status.UpdatedReplicas: // those of before count as available, too
		return fmt.Sprintf("Deployment %s has %d pods of before", name, d.Status.Replicas-d.Status.UpdatedReplicas)
	case d.Status.AvailableReplicas < want:
		return fmt.Sprintf("Deployment %s has %d of %d pods ready", name, d.Status.AvailableReplicas, want)
	}
	return ""
}

func daemonSetMissing(d *appsv1.DaemonSet) string {
	if d == nil {
		return "DaemonSet node-agent does not exist"
	}
	want := d.Status.DesiredNumberScheduled
	switch {
	case d.Status.ObservedGeneration < d.Generation:
		return "DaemonSet node-agent is not rolled out"
	case want == 0:
		return "DaemonSet node-agent fits no node"
	case d.Status.UpdatedNumberScheduled < want || d.Status.NumberAvailable < want:
		return fmt.Sprintf("DaemonSet node-agent has %d of %d pods ready", d.Status.NumberAvailable, want)
	}
	return ""
}

func locationMissing(s State) string {
	switch {
	case !s.WantBucket:
		return ""
	case s.Location == nil:
		return "BackupStorageLocation default does not exist"
	case s.Location.Status.Phase == velerov1.BackupStorageLocationPhaseAvailable:
		return ""
	case s.Location.Status.Message != "":
		return s.Location.Status.Message
	default:
		return "BackupStorageLocation default is not validated yet"
	}
}

// podTrouble says why the pods of a workload do not run: the first reason that a
// container or the scheduler gives.
func podTrouble(pods []corev1.Pod, label, value string) string {
	for _, p := range pods {
		if p.Labels[label] != value {
			continue
		}
		if t := trouble(p); t != "" {
			return fmt.Sprintf(": pod %s: %s", p.Name, t)
		}
	}
	return ""
}

func trouble(p corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Message
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" {
			return strings.TrimSpace(w.Reason + " " + w.Message)
		}
		if t := c.State.Terminated; t != nil {
			return strings.TrimSpace(fmt.Sprintf("ended with exit code %d %s", t.ExitCode, t.Message))
		}
	}
	return ""
}
