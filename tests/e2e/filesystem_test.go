package e2e

import (
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/tests/suite"
)

// TestFilesystemLocation runs an installation of its own that stores in a folder
// of the node.
func TestFilesystemLocation(t *testing.T) {
	t.Parallel()
	c := suite.Connect(t)
	g := NewWithT(t)
	const installation = "velero-folder"
	c.Install(t, installation, "a password", "--provider", "filesystem", "--backup-location-config", "fspath=/backups,hostPath=/srv/s3/folder")
	s := newShop(t, c)
	b := suite.NewBackup(s.namespace)
	b.Namespace = installation

	c.RunBackup(t, b)

	g.Expect(b.Status.Phase).To(Equal(velerov1.BackupPhaseCompleted), "%+v", b.Status)
	expectServed(t, c, b)
	target := s.namespace + "-copy"
	c.CleanNamespace(t, target)
	r := suite.NewRestore(b, target)
	r.Namespace = installation
	c.RunRestore(t, r)
	g.Expect(r.Status.Phase).To(Equal(velerov1.RestorePhaseCompleted), "%+v", r.Status)
	s.expectRestored(t, c, target)
}

// expectServed reads the log of a backup at the address that the server gives,
// through the API server, which is how the client does, and directly.
func expectServed(t *testing.T, c *suite.Cluster, b *velerov1.Backup) {
	t.Helper()
	g := NewWithT(t)
	const port = ":8087"
	r := c.RequestDownload(t, b.Namespace, velerov1.DownloadTarget{Kind: velerov1.DownloadTargetKindBackupLog, Name: b.Name})
	path, ok := strings.CutPrefix(r.Status.DownloadURL, "http://localhost"+port)
	g.Expect(ok).To(BeTrue(), r.Status.DownloadURL)

	service, err := c.Clientset.CoreV1().Services(b.Namespace).Get(t.Context(), "podkeep-download", metav1.GetOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	status, log := suite.Fetch(t, "http://"+service.Spec.ClusterIP+port+path)
	g.Expect(status).To(Equal(http.StatusOK), log)
	g.Expect(log).To(ContainSubstring(b.Name))

	proxied, err := c.Clientset.CoreV1().RESTClient().Get().
		AbsPath("/api/v1/namespaces", b.Namespace, "services/http:podkeep-download:http/proxy"+path).DoRaw(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(proxied).NotTo(BeEmpty())

	out, err := c.Podkeep(b.Namespace, "backup", "logs", b.Name)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(Equal(log), "the client unpacks it")

	status, _ = suite.Fetch(t, "http://"+service.Spec.ClusterIP+port+path[:len(path)-1])
	g.Expect(status).To(Equal(http.StatusForbidden), "an address that was guessed")
}
