package webhook_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/rbac"
	"github.com/podkeep/podkeep/internal/gateconfig"
	"github.com/podkeep/podkeep/webhook"
	"github.com/podkeep/podkeep/webhook/registration"
	"github.com/podkeep/podkeep/webhook/serving"
)

const (
	installNamespace = "velero"
	patience         = 30 * time.Second
)

// TestAgainstAnAPIServer sends pods through a real API server: its selectors and
// CEL conditions, the certificates, the patches and the defaults it adds.
func TestAgainstAnAPIServer(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Skip("KUBEBUILDER_ASSETS is not set: it names the folder with kube-apiserver and etcd; make test sets it")
	}
	NewWithT(t).Expect(velerov1.AddToScheme(scheme.Scheme)).To(Succeed())
	config := startAPIServer(t)
	c := startWebhook(t, config)

	t.Run("both replicas would share one secret", func(t *testing.T) {
		g := NewWithT(t)
		secret := &corev1.Secret{}
		g.Expect(c.Get(t.Context(), client.ObjectKey{Namespace: installNamespace, Name: serving.SecretName}, secret)).To(Succeed())
		configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
		g.Expect(c.Get(t.Context(), client.ObjectKey{Name: registration.ConfigurationName(installNamespace)}, configuration)).To(Succeed())
		g.Expect(configuration.Webhooks).To(HaveEach(HaveField("ClientConfig.CABundle", Equal(secret.Data["ca.crt"]))))
	})
	t.Run("a restored pod gets the gate first", func(t *testing.T) { testGate(t, c) })
	t.Run("a pod of a finished restore starts", func(t *testing.T) { testFinished(t, c) })
	t.Run("a pod is stamped at CREATE and when its lists change", func(t *testing.T) { testStamp(t, c) })
	t.Run("a pod on a claim that is being restored waits", func(t *testing.T) { testGuard(t, c) })
	t.Run("a ConfigMap with an error gets an event", func(t *testing.T) { testConfigMap(t, c) })
	t.Run("what is broken is refused, and only that is looked at", func(t *testing.T) { testValidation(t, c) })
	t.Run("authors are warned", func(t *testing.T) { testWarnings(t, c, config) })
}

func testGate(t *testing.T, c client.Client) {
	t.Helper()
	g := NewWithT(t)
	namespace := newNamespace(t, c, nil)
	restore := newRestore(t, c, "active", velerov1.RestorePhaseInProgress)
	pod := newPod(namespace, "web-0")
	pod.Labels = map[string]string{velerov1.RestoreNameLabel: "active"}
	pod.Annotations = map[string]string{velerov1.RestoreVolumesAnnotation: "data"}
	pod.Spec.InitContainers = []corev1.Container{{Name: "seed", Image: "app"}, {Name: "restore-wait", Image: "old", Args: []string{"old-uid"}}}

	g.Expect(c.Create(t.Context(), pod)).To(Succeed())

	g.Expect(pod.Spec.InitContainers).To(HaveLen(2))
	gate := pod.Spec.InitContainers[0]
	g.Expect(gate.Name).To(Equal("restore-wait"))
	g.Expect(gate.Args).To(Equal([]string{string(restore.UID)}))
	g.Expect(pod.Spec.InitContainers[1].Name).To(Equal("seed"))

	// A copy of the admitted pod has the right gate already: nothing changes.
	again := newPod(namespace, "web-1")
	again.Labels, again.Annotations = pod.Labels, pod.Annotations
	again.Spec.InitContainers = pod.Spec.InitContainers
	g.Expect(c.Create(t.Context(), again)).To(Succeed())
	g.Expect(again.Spec.InitContainers).To(Equal(pod.Spec.InitContainers))

	wrong := newPod(namespace, "web-2")
	wrong.Labels = pod.Labels
	wrong.Annotations = map[string]string{velerov1.RestoreVolumesAnnotation: "logs"}
	err := c.Create(t.Context(), wrong)
	g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
	g.Expect(err).To(MatchError(ContainSubstring("fills volumes that the pod does not have: logs")))
}

func testFinished(t *testing.T, c client.Client) {
	t.Helper()
	g := NewWithT(t)
	namespace := newNamespace(t, c, nil)
	newRestore(t, c, "finished", velerov1.RestorePhaseCompleted)
	pod := newPod(namespace, "web-0")
	pod.Labels = map[string]string{velerov1.RestoreNameLabel: "finished"}
	pod.Annotations = map[string]string{velerov1.RestoreVolumesAnnotation: "data"}
	pod.Spec.InitContainers = []corev1.Container{{Name: "restore-wait", Image: "old", Args: []string{"old-uid"}}}

	g.Expect(c.Create(t.Context(), pod)).To(Succeed())

	g.Expect(pod.Spec.InitContainers).To(BeEmpty())
	g.Expect(pod.Annotations).NotTo(HaveKey(velerov1.RestoreVolumesAnnotation))
}

func testStamp(t *testing.T, c client.Client) {
	t.Helper()
	g := NewWithT(t)
	namespace := newNamespace(t, c, map[string]string{velerov1.FSBackupLabel: velerov1.FSBackupOptOut})
	var pod *corev1.Pod
	g.Eventually(func(g Gomega) { // the webhook learns of the namespace by a watch
		pod = newPod(namespace, "")
		pod.GenerateName = "web-"
		g.Expect(c.Create(t.Context(), pod)).To(Succeed())
		g.Expect(pod.Annotations).To(HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, "data"))
	}, patience).Should(Succeed())

	pod.Annotations[velerov1.VolumesToExcludeAnnotation] = "data"
	g.Expect(c.Update(t.Context(), pod)).To(Succeed())

	g.Expect(pod.Annotations).To(And(
		HaveKeyWithValue(velerov1.SelectedVolumesAnnotation, ""),
		HaveKeyWithValue(velerov1.SkippedVolumesAnnotation, ContainSubstring("data=ExcludedByPod")),
	))
}

func testGuard(t *testing.T, c client.Client) {
	t.Helper()
	g := NewWithT(t)
	restore := newRestore(t, c, "guarding", velerov1.RestorePhaseInProgress)
	namespace := newNamespace(t, c, map[string]string{velerov1.RestoringLabel: "guarding"})
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "data"}}
	claim.Labels = map[string]string{velerov1.RestoreNameLabel: "guarding"}
	claim.Annotations = map[string]string{velerov1.FilledByAnnotation: string(restore.UID)}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	g.Expect(c.Create(t.Context(), claim)).To(Succeed())
	create := func() (*corev1.Pod, error) {
		pod := newPod(namespace, "")
		pod.GenerateName = "db-"
		pod.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}
		return pod, c.Create(t.Context(), pod)
	}

	pod, err := create()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pod.Spec.InitContainers).To(HaveLen(1))
	g.Expect(pod.Spec.InitContainers[0].Args).To(Equal([]string{string(restore.UID)}), "no volume restore is needed to hold it")
	g.Expect(pod.Labels).To(HaveKeyWithValue(velerov1.GatedByLabel, string(restore.UID)))
	g.Expect(pod.Spec.Volumes).To(ContainElement(HaveField("DownwardAPI", Not(BeNil()))))

	claim.Labels[velerov1.RestoreIncompleteLabel] = "guarding"
	g.Expect(c.Update(t.Context(), claim)).To(Succeed())
	restore.Status.Phase = velerov1.RestorePhaseFailed
	g.Expect(c.Update(t.Context(), restore)).To(Succeed())
	g.Eventually(func() error { _, err := create(); return err }, patience).Should(
		MatchError(ContainSubstring(`restore "guarding" has left claim "data" without all of its data`)))

	delete(claim.Labels, velerov1.RestoreIncompleteLabel)
	g.Expect(c.Update(t.Context(), claim)).To(Succeed())
	g.Eventually(func(g Gomega) {
		pod, err := create()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(pod.Spec.InitContainers).To(BeEmpty())
	}, patience).Should(Succeed())
}

func testConfigMap(t *testing.T, c client.Client) {
	t.Helper()
	g := NewWithT(t)
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: "gate"}}
	configMap.Labels = map[string]string{
		velerov1.PluginConfigLabel: "", velerov1.PodVolumeRestoreLabel: velerov1.RestoreItemActionKind,
		velerov1.ConfigLabel: velerov1.ConfigUnchecked, // as if the webhook had been away
	}
	configMap.Data = map[string]string{gateconfig.KeyDeadline: "soon"}
	g.Expect(c.Create(t.Context(), configMap)).To(Succeed())

	g.Eventually(func(g Gomega) {
		list := &eventsv1.EventList{}
		g.Expect(c.List(t.Context(), list, client.InNamespace(installNamespace))).To(Succeed())
		g.Expect(list.Items).To(ContainElement(And(
			HaveField("Regarding.Name", "gate"), HaveField("Reason", "InvalidValue"), HaveField("Note", HavePrefix(`data.deadline: Invalid value: "soon"`)),
		)))
	}, patience).Should(Succeed())
}

// startAPIServer starts etcd and kube-apiserver with the configuration of the
// webhook in place. The API server calls Services by their endpoints, because
// there is no Service network.
func startAPIServer(t *testing.T) *rest.Config {
	t.Helper()
	g := NewWithT(t)
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "config", "crd", "bases")}, ErrorIfCRDPathMissing: true}
	env.ControlPlane.GetAPIServer().Configure().Set("enable-aggregator-routing", "true").Set("disable-admission-plugins", "ServiceAccount")
	config, err := env.Start()
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(env.Stop()).To(Succeed()) })
	return config
}

// startWebhook runs the webhook and returns a client when it is ready.
func startWebhook(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	g := NewWithT(t)
	c, err := client.New(config, client.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	address, port := freeAddress(t)
	g.Expect(c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: installNamespace}})).To(Succeed())
	createService(t, c, address, port)
	for _, configuration := range registration.Configurations(installNamespace, configMapNames) {
		g.Expect(c.Create(t.Context(), configuration)).To(Succeed())
	}

	mgr, err := ctrl.NewManager(leastPrivileged(t, c, config), ctrl.Options{
		Cache: webhook.CacheOptions(installNamespace), HealthProbeBindAddress: "127.0.0.1:0", Metrics: metricsserver.Options{BindAddress: "0"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	server := &webhook.Server{Namespace: installNamespace, DefaultGateImage: "registry.example.com/podkeep:v1", Port: int(port), ConfigMaps: configMapNames}
	g.Expect(server.SetupWithManager(mgr)).To(Succeed())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() { cancel(); g.Expect(<-done).To(Succeed()) })

	// The first pod that the gate answers for shows that everything is in place.
	g.Eventually(func() error {
		pod := newPod("default", "")
		pod.GenerateName = "probe-"
		pod.Labels = map[string]string{velerov1.RestoreNameLabel: "none"}
		return c.Create(ctx, pod)
	}, patience, 50*time.Millisecond).Should(Succeed())
	return c
}

// leastPrivileged returns a configuration with the generated roles of the webhook
// and no other rights.
func leastPrivileged(t *testing.T, c client.Client, config *rest.Config) *rest.Config {
	t.Helper()
	g := NewWithT(t)
	objects, err := rbac.Objects(rbac.Identity{Component: rbac.Webhook, Namespace: installNamespace, ServiceAccount: "podkeep-webhook"})
	g.Expect(err).NotTo(HaveOccurred())
	for _, o := range objects {
		g.Expect(c.Create(t.Context(), o)).To(Succeed())
	}
	limited := rest.CopyConfig(config)
	limited.Impersonate.UserName = "system:serviceaccount:" + installNamespace + ":podkeep-webhook"
	return limited
}

// freeAddress returns an address of this machine that an EndpointSlice may have,
// and a free port.
func freeAddress(t *testing.T) (string, int32) {
	t.Helper()
	g := NewWithT(t)
	addresses, err := net.InterfaceAddrs()
	g.Expect(err).NotTo(HaveOccurred())
	for _, a := range addresses {
		ip, ok := a.(*net.IPNet)
		if !ok || ip.IP.To4() == nil || !ip.IP.IsGlobalUnicast() {
			continue
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(ip.IP.String(), "0"))
		g.Expect(err).NotTo(HaveOccurred())
		defer listener.Close()
		return ip.IP.String(), int32(listener.Addr().(*net.TCPAddr).Port)
	}
	t.Skip("this machine has no address but loopback")
	return "", 0
}

func createService(t *testing.T, c client.Client, address string, port int32) {
	t.Helper()
	g := NewWithT(t)
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: registration.ServiceName}}
	service.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: registration.ServicePort}}
	g.Expect(c.Create(t.Context(), service)).To(Succeed())
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: registration.ServiceName}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: registration.ServiceName}
	slice.AddressType = discoveryv1.AddressTypeIPv4
	slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}}
	slice.Ports = []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(port), Protocol: ptr.To(corev1.ProtocolTCP)}}
	g.Expect(c.Create(t.Context(), slice)).To(Succeed())
}

// newNamespace makes a namespace of its own for a test.
func newNamespace(t *testing.T, c client.Client, labels map[string]string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "shop-", Labels: labels}}
	NewWithT(t).Expect(c.Create(t.Context(), namespace)).To(Succeed())
	return namespace.Name
}

func newRestore(t *testing.T, c client.Client, name string, phase velerov1.RestorePhase) *velerov1.Restore {
	t.Helper()
	restore := &velerov1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: installNamespace, Name: name}}
	restore.Status.Phase = phase
	NewWithT(t).Expect(c.Create(t.Context(), restore)).To(Succeed())
	return restore
}

// newPod builds a pod with a volume, data.
func newPod(namespace, name string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	pod.Spec.Containers = []corev1.Container{{
		Name: "app", Image: "app", VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
	}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	return pod
}
