package suite

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// WebhookName is the name of the webhook's Deployment, and its pods' label "deploy".
const WebhookName = "podkeep-webhook"

// HostAddress is this machine as the cluster sees it (tests/cluster/README.md).
const HostAddress = "10.99.0.1"

// metricsPort is that of all parts of podkeep (config/install).
const metricsPort = 8085

// ExpectOneInstallation fails a test that would take the webhook of another
// installation for the first one's: namespaces with a policy are every installation's.
func (c *Cluster) ExpectOneInstallation(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	list, err := c.Clientset.AdmissionregistrationV1().MutatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{LabelSelector: "component=velero"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list.Items).To(HaveLen(1), "another installation is in the cluster; remove it with: podkeep uninstall -n NAMESPACE --confirm")
}

// WebhookPods returns the pods of the webhook, also those that end.
func (c *Cluster) WebhookPods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods := &corev1.PodList{}
	err := c.Client.List(t.Context(), pods, client.InNamespace(Namespace), client.MatchingLabels{"deploy": WebhookName})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return pods.Items
}

// Decisions returns how many admissions the replicas of the webhook have counted
// for one of its webhooks, whatever they decided.
func (c *Cluster) Decisions(t *testing.T, webhook string) float64 {
	t.Helper()
	g := NewWithT(t)
	sum := 0.0
	for _, p := range c.WebhookPods(t) {
		for line := range strings.Lines(podMetrics(t, p)) {
			if !strings.HasPrefix(line, "podkeep_webhook_decisions_total{") || !strings.Contains(line, fmt.Sprintf("webhook=%q", webhook)) {
				continue
			}
			fields := strings.Fields(line)
			n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			g.Expect(err).NotTo(HaveOccurred(), line)
			sum += n
		}
	}
	return sum
}

// podMetrics reads the metrics of a pod, which this machine can reach.
func podMetrics(t *testing.T, p corev1.Pod) string {
	t.Helper()
	g := NewWithT(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s:%d/metrics", p.Status.PodIP, metricsPort), nil)
	g.Expect(err).NotTo(HaveOccurred())
	resp, err := http.DefaultClient.Do(req)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(resp.Body.Close()).To(Succeed()) }()
	raw, err := io.ReadAll(resp.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return string(raw)
}
