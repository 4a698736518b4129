package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/podkeep/podkeep/tests/suite"
)

// meshLabel is on the namespaces of a mesh; its value says which.
const meshLabel = "podkeep.io/test-mesh"

// Containers of the mesh, in their order.
var meshInit = []string{"mesh-init", "mesh-proxy"}

// serveMesh serves a webhook that does what those of service meshes do: an init
// container before all others, a sidecar that starts next and stays, a container in
// front of the application that runs as another user, and a variable for every
// container. It returns what a configuration needs to call it.
func serveMesh(t *testing.T) admissionregistrationv1.WebhookClientConfig {
	t.Helper()
	g := NewWithT(t)
	certificate, key, err := cert.GenerateSelfSignedCertKey(suite.HostAddress, []net.IP{net.ParseIP(suite.HostAddress)}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	pair, err := tls.X509KeyPair(certificate, key)
	g.Expect(err).NotTo(HaveOccurred())
	listener, err := net.Listen("tcp", net.JoinHostPort(suite.HostAddress, "0"))
	g.Expect(err).NotTo(HaveOccurred())
	server := httptest.NewUnstartedServer(&admission.Webhook{Handler: admission.HandlerFunc(func(_ context.Context, req admission.Request) admission.Response {
		pod := &corev1.Pod{}
		if err := json.Unmarshal(req.Object.Raw, pod); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		addMesh(pod)
		raw, err := json.Marshal(pod)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		return admission.PatchResponseFromRaw(req.Object.Raw, raw)
	})})
	g.Expect(server.Listener.Close()).To(Succeed())
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://" + listener.Addr().String() + "/"), CABundle: certificate}
}

// addMesh leaves a pod alone that has it all.
func addMesh(pod *corev1.Pod) {
	sh := func(name, script string) corev1.Container {
		return corev1.Container{
			Name: name, Image: suite.Image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sh", "-c", script},
			SecurityContext: &corev1.SecurityContext{RunAsUser: ptr.To[int64](1337)},
		}
	}
	if !slices.Contains(containerNames(pod.Spec.InitContainers), meshInit[0]) {
		proxy := sh(meshInit[1], "sleep 1000000")
		proxy.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		pod.Spec.InitContainers = slices.Insert(pod.Spec.InitContainers, 0, sh(meshInit[0], "true"), proxy)
		pod.Spec.Containers = slices.Insert(pod.Spec.Containers, 0, sh("mesh-agent", "sleep 1000000"))
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if !slices.ContainsFunc(containers[i].Env, func(e corev1.EnvVar) bool { return e.Name == "MESH" }) {
				containers[i].Env = append(containers[i].Env, corev1.EnvVar{Name: "MESH", Value: "on"})
			}
		}
	}
}

func containerNames(containers []corev1.Container) []string {
	var names []string
	for _, c := range containers {
		names = append(names, c.Name)
	}
	return names
}

// newMesh registers the mesh for a namespace that it makes. Its name decides whether
// it is called before podkeep or after.
func newMesh(t *testing.T, c *suite.Cluster, name string, again admissionregistrationv1.ReinvocationPolicyType) string {
	t.Helper()
	ns := c.NewNamespace(t, "mesh")
	labelNamespace(t, c, ns, meshLabel, ns)
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-" + ns},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "inject.mesh.example.com", ClientConfig: serveMesh(t), ReinvocationPolicy: &again,
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{meshLabel: ns}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			SideEffects: ptr.To(admissionregistrationv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
			FailurePolicy: ptr.To(admissionregistrationv1.Fail),
		}},
	}
	c.Apply(t, configuration)
	t.Cleanup(func() { c.Remove(t, configuration) })
	NewWithT(t).Eventually(func(g Gomega) { // until the API server knows of it
		pod := suite.Pod(ns, "probe")
		g.Expect(c.Client.Create(t.Context(), pod, client.DryRunAll)).To(Succeed())
		g.Expect(containerNames(pod.Spec.InitContainers)).To(Equal(meshInit))
	}, suite.Short).Should(Succeed())
	return ns
}
