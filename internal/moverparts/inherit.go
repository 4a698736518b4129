package moverparts

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Keys that cloud providers put on the pods of an installation and that movers need
// as well (velero-facts §3.6).
var (
	inheritedLabels      = []string{"azure.workload.identity/use"}
	inheritedAnnotations = []string{"iam.amazonaws.com/role"}
)

// inheritedEnvironment is what movers take over: how to get out of the cluster.
var inheritedEnvironment = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

// Labels returns the labels of a pod that its movers take over.
func Labels(pod *corev1.Pod) map[string]string { return only(pod.Labels, inheritedLabels) }

// Annotations returns the annotations of a pod that its movers take over.
func Annotations(pod *corev1.Pod) map[string]string {
	return only(pod.Annotations, inheritedAnnotations)
}

// Environment returns the variables of a container that its movers take over.
func Environment(c *corev1.Container) []corev1.EnvVar {
	var env []corev1.EnvVar
	for _, e := range c.Env {
		if slices.Contains(inheritedEnvironment, e.Name) {
			env = append(env, e)
		}
	}
	return env
}

// Container returns the container of a name, the only one of a pod with one, or nil.
func Container(pod *corev1.Pod, name string) *corev1.Container {
	containers := pod.Spec.Containers
	if len(containers) == 1 {
		return &containers[0]
	}
	i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &containers[i]
}

func only(m map[string]string, keys []string) map[string]string {
	kept := map[string]string{}
	for _, key := range keys {
		if v, ok := m[key]; ok {
			kept[key] = v
		}
	}
	return kept
}
