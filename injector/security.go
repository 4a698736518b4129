package injector

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

const (
	// gateUser is the user of a gate that must not be root but that nobody gives a
	// user: that of Velero's default.
	gateUser = 1000

	// rootUser is the user of a gate in a pod that says nothing about its user.
	rootUser = 0
)

// rootCapabilities are what root needs to work in folders of other users:
// DAC_OVERRIDE to look into them and to remove the marker, FOWNER to do so in
// folders with the sticky bit and to give the folder its time back.
func rootCapabilities() []corev1.Capability { return []corev1.Capability{"DAC_OVERRIDE", "FOWNER"} }

// securityContext returns the security context of the gate: the configured one,
// otherwise a copy of that of the application, otherwise a default.
//
// What the gate needs is to see its marker and to remove it, that is, the rights
// of the application on its own volumes. A copy gives it the application's user,
// and so does a user at the level of the pod, which the gate inherits.
func securityContext(pod *corev1.Pod, app corev1.Container, configured *corev1.SecurityContext) *corev1.SecurityContext {
	if configured != nil {
		return configured.DeepCopy()
	}
	if app.SecurityContext != nil {
		return startable(pod, app.SecurityContext.DeepCopy())
	}
	return defaultContext(pod)
}

// startable gives a user to a context that forbids root without naming one. The
// application then runs as the user of its image; the gate's image has none, and
// the kubelet would refuse to start it.
func startable(pod *corev1.Pod, sc *corev1.SecurityContext) *corev1.SecurityContext {
	if user, nonRoot := identity(pod, sc); nonRoot && user == nil {
		sc.RunAsUser = ptr.To[int64](gateUser)
	}
	return sc
}

// defaultContext is for pods whose application has no security context.
//
//	pod's user      pod forbids root   gate
//	set, not root   –                  inherits the user
//	not set         yes                user 1000, as in Velero
//	not set, root   no                 root with rootCapabilities and no others
//
// The last row differs from Velero, where the gate is user 1000 here as well. The
// application may run as root, or as the user of its image, which is not known
// here. User 1000 could not remove its marker from a folder of root, and in a
// folder with mode 0700 it would not even see it and wait for ever. Root with
// these capabilities passes the "baseline" Pod Security Standard; a pod of this
// row cannot be in a namespace that enforces "restricted".
func defaultContext(pod *corev1.Pod) *corev1.SecurityContext {
	sc := &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	user, nonRoot := identity(pod, sc)
	switch {
	case user != nil && *user != rootUser:
	case nonRoot:
		sc.RunAsUser = ptr.To[int64](gateUser)
		sc.RunAsNonRoot = ptr.To(true)
	default:
		sc.RunAsUser = ptr.To[int64](rootUser)
		sc.Capabilities.Add = rootCapabilities()
	}
	return sc
}

// identity returns the user that a container with this context has, nil for that
// of its image, and whether it must not be root. The container's own values go
// before the pod's.
func identity(pod *corev1.Pod, sc *corev1.SecurityContext) (user *int64, nonRoot bool) {
	user, must := sc.RunAsUser, sc.RunAsNonRoot
	if p := pod.Spec.SecurityContext; p != nil {
		if user == nil {
			user = p.RunAsUser
		}
		if must == nil {
			must = p.RunAsNonRoot
		}
	}
	return user, ptr.Deref(must, false)
}
