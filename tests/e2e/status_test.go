package e2e

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// TestServerStatus asks what Velero's "version" and "plugin get" ask.
func TestServerStatus(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	r := &velerov1.ServerStatusRequest{ObjectMeta: metav1.ObjectMeta{Namespace: suite.Namespace, GenerateName: "velero-cli-"}}
	c.Apply(t, r)
	t.Cleanup(func() { c.Remove(t, r) })

	g.Eventually(func() (velerov1.ServerStatusRequestPhase, error) {
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)
		return r.Status.Phase, err
	}, suite.Short).Should(Equal(velerov1.ServerStatusRequestPhaseProcessed))

	g.Expect(r.Status.ServerVersion).NotTo(BeEmpty())
	g.Expect(r.Status.Plugins).To(ContainElement(velerov1.PluginInfo{Name: "velero.io/pod-volume-restore", Kind: "RestoreItemAction"}))
}
