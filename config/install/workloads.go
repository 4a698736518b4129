package install

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/podkeep/podkeep/internal/location"
)

func serverDeployment(o Options) *appsv1.Deployment {
	args := []string{"server", "--default-volumes-to-fs-backup=" + strconv.FormatBool(o.DefaultVolumesToFSBackup)}
	c := container(o, ServerName, append(args, o.ServerArgs...))
	c.Ports = append(c.Ports, corev1.ContainerPort{Name: "download", ContainerPort: DownloadPort})
	c.Resources = resources("100m", "128Mi", "1Gi")
	c.VolumeMounts = []corev1.VolumeMount{
		{Name: "scratch", MountPath: "/scratch"},
		{Name: CredentialsSecret, MountPath: credentialsDir, ReadOnly: true},
	}
	spec := podSpec(ServerName, c)
	spec.Volumes = []corev1.Volume{emptyDir("scratch"), secretVolume(CredentialsSecret)}
	addLocationVolume(o, &spec)
	// A filesystem location belongs to root, because movers write it as root.
	if o.Location != nil && location.IsFilesystem(o.Location.Provider) {
		runAsRoot(&spec)
	}
	d := deployment(o, ServerName, 1, spec)
	// Two servers never run at once for long: leader election holds the second
	// back, and a rollout need not wait for it.
	d.Spec.Template.Annotations = scrapeAnnotations()
	return d
}

// downloadService is where files of filesystem locations are served: by
// kubectl port-forward, by the API server's proxy, or behind an Ingress.
func downloadService(o Options) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: DownloadName, Namespace: o.Namespace},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"deploy": ServerName},
			Ports:    []corev1.ServicePort{{Name: "http", Port: DownloadPort, TargetPort: intstr.FromInt32(DownloadPort)}},
		},
	}
}

func nodeAgentDaemonSet(o Options) *appsv1.DaemonSet {
	args := []string{"node-agent"}
	if o.NodeAgentConfigMap != "" {
		args = append(args, "--node-agent-configmap="+o.NodeAgentConfigMap)
	}
	c := container(o, NodeAgentName, append(args, o.NodeAgentArgs...))
	c.Env = append(c.Env, fieldEnv("NODE_NAME", "spec.nodeName"))
	c.Resources = resources("50m", "48Mi", "256Mi")
	c.VolumeMounts = []corev1.VolumeMount{{
		Name: HostPodsVolume, MountPath: hostPodsDir, ReadOnly: true, MountPropagation: ptr.To(corev1.MountPropagationHostToContainer),
	}}
	spec := podSpec(NodeAgentName, c)
	// The kubelet keeps pod directories readable by root only.
	runAsRoot(&spec)
	spec.Containers[0].SecurityContext.Privileged = ptr.To(o.PrivilegedNodeAgent)
	if o.PrivilegedNodeAgent {
		spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	}
	spec.Volumes = []corev1.Volume{{Name: HostPodsVolume, VolumeSource: corev1.VolumeSource{
		HostPath: &corev1.HostPathVolumeSource{Path: o.KubeletRootDir + "/pods"},
	}}}
	labels := map[string]string{"name": NodeAgentName, "role": NodeAgentName, componentLabel: componentLabelValue}
	return &appsv1.DaemonSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet"},
		ObjectMeta: metav1.ObjectMeta{Name: NodeAgentName, Namespace: o.Namespace},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"name": NodeAgentName}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
}

// scrapeAnnotations are where Prometheus looks when it has no ServiceMonitor.
func scrapeAnnotations() map[string]string {
	return map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(metricsPort), "prometheus.io/path": "/metrics",
	}
}

func deployment(o Options, name string, replicas int32, spec corev1.PodSpec) *appsv1.Deployment {
	labels := map[string]string{"deploy": name, componentLabel: componentLabelValue}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: o.Namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(replicas),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"deploy": name}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec},
		},
	}
}

func container(o Options, name string, args []string) corev1.Container {
	return corev1.Container{
		Name:            name,
		Image:           o.Image,
		ImagePullPolicy: o.ImagePullPolicy,
		Command:         []string{"/podkeep"},
		Args:            args,
		Env:             []corev1.EnvVar{fieldEnv("VELERO_NAMESPACE", "metadata.namespace"), fieldEnv("POD_NAME", "metadata.name")},
		Ports:           []corev1.ContainerPort{{Name: "metrics", ContainerPort: metricsPort}},
		ReadinessProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(healthPort)}},
			PeriodSeconds: 1, FailureThreshold: 3,
		},
		LivenessProbe: &corev1.Probe{
			ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(healthPort)}},
			InitialDelaySeconds: 15, PeriodSeconds: 20, TimeoutSeconds: 5,
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			ReadOnlyRootFilesystem:   ptr.To(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

func podSpec(serviceAccount string, c corev1.Container) corev1.PodSpec {
	return corev1.PodSpec{
		ServiceAccountName: serviceAccount,
		Containers:         []corev1.Container{c},
		NodeSelector:       map[string]string{corev1.LabelOSStable: "linux"},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(nonRootUser), RunAsGroup: ptr.To(nonRootUser), FSGroup: ptr.To(nonRootUser),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

func runAsRoot(spec *corev1.PodSpec) {
	spec.SecurityContext.RunAsNonRoot = ptr.To(false)
	spec.SecurityContext.RunAsUser = ptr.To(int64(0))
	spec.SecurityContext.RunAsGroup = ptr.To(int64(0))
	spec.SecurityContext.FSGroup = nil
}

// addLocationVolume mounts the folder of a filesystem location at the same path
// that movers use.
func addLocationVolume(o Options, spec *corev1.PodSpec) {
	if o.Location == nil {
		return
	}
	cfg := o.Location.Config
	v := corev1.Volume{Name: locationVolume}
	switch {
	case cfg[location.ConfigFilesystemClaim] != "":
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: cfg[location.ConfigFilesystemClaim]}
	case cfg[location.ConfigFilesystemHostPath] != "":
		v.HostPath = &corev1.HostPathVolumeSource{Path: cfg[location.ConfigFilesystemHostPath], Type: ptr.To(corev1.HostPathDirectoryOrCreate)}
	default:
		return
	}
	spec.Volumes = append(spec.Volumes, v)
	c := &spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: locationVolume, MountPath: cfg[location.ConfigFilesystemPath]})
}

func fieldEnv(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func emptyDir(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

// secretVolume may be missing: with an identity that the cloud attaches to the
// pods there are no credentials.
func secretVolume(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: name, Optional: ptr.To(true)},
	}}
}

func resources(cpu, memory, memoryLimit string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memoryLimit)},
	}
}
