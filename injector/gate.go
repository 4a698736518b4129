package injector

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// newGate builds the gate for a pod. volumes are sorted.
func newGate(pod *corev1.Pod, volumes []string, req GateRequest) corev1.Container {
	app := applicationOf(pod, volumes)
	c := corev1.Container{
		Name:    GateName,
		Image:   req.Config.Image,
		Command: slices.Clone(req.Config.Command),
		Args:    []string{string(req.RestoreUID)},
		Env: []corev1.EnvVar{
			fromField(namespaceVariable, "metadata.namespace"),
			fromField(podVariable, "metadata.name"),
		},
		Resources:       resources(pod, app, req.Config),
		SecurityContext: securityContext(pod, app, req.Config.SecurityContext),
	}
	if req.Config.Deadline > 0 {
		c.Env = append(c.Env, corev1.EnvVar{Name: DeadlineVariable, Value: req.Config.Deadline.String()})
	}
	for _, v := range volumes {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v, MountPath: MountRoot + v})
	}
	c.VolumeMounts = append(c.VolumeMounts, noticeMount())
	// Why a gate failed is the last that it prints; kubectl describe shows it.
	c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	return c
}

// applicationOf returns the container that the gate takes after: the first that
// mounts one of the volumes, otherwise the first. With that, a sidecar that another
// webhook puts in front of the application changes nothing.
func applicationOf(pod *corev1.Pod, volumes []string) corev1.Container {
	mounts := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return slices.Contains(volumes, m.Name) })
	}
	if i := slices.IndexFunc(pod.Spec.Containers, mounts); i >= 0 {
		return pod.Spec.Containers[i]
	}
	if len(pod.Spec.Containers) > 0 {
		return pod.Spec.Containers[0]
	}
	return corev1.Container{}
}

// fromField is a variable with a field of the pod. The API version is the one
// that the API server would fill in.
func fromField(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path},
	}}
}

// hasOnlyGate says whether want is the pod's first init container and its only
// gate.
func hasOnlyGate(pod *corev1.Pod, want corev1.Container) bool {
	containers := pod.Spec.InitContainers
	if len(containers) == 0 || !isSame(containers[0], want) {
		return false
	}
	return !slices.ContainsFunc(containers[1:], IsGate)
}

// isSame says whether a gate is what it should be. Not looked at is what the API
// server fills in, defaults of a LimitRange included, and mounts and variables that
// others add to every container, as long as they have nothing to do with the wait.
func isSame(got, want corev1.Container) bool {
	got = *got.DeepCopy()
	got.ImagePullPolicy = want.ImagePullPolicy
	got.TerminationMessagePath = want.TerminationMessagePath
	got.TerminationMessagePolicy = want.TerminationMessagePolicy
	got.Resources.Requests = only(got.Resources.Requests, want.Resources.Requests)
	got.Resources.Limits = only(got.Resources.Limits, want.Resources.Limits)
	got.VolumeMounts = slices.DeleteFunc(got.VolumeMounts, func(m corev1.VolumeMount) bool {
		return !strings.HasPrefix(m.MountPath, MountRoot) && m.Name != NoticeVolume
	})
	got.Env = slices.DeleteFunc(got.Env, func(e corev1.EnvVar) bool {
		return e.Name != namespaceVariable && e.Name != podVariable && e.Name != DeadlineVariable
	})
	if sc := got.SecurityContext; sc != nil && sc.ProcMount != nil && *sc.ProcMount == corev1.DefaultProcMount {
		sc.ProcMount = nil
	}
	return apiequality.Semantic.DeepEqual(got, want)
}
