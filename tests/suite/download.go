package suite

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// RequestDownload asks an installation for the address of a file and returns the
// request when it has one.
func (c *Cluster) RequestDownload(t *testing.T, namespace string, target velerov1.DownloadTarget) *velerov1.DownloadRequest {
	t.Helper()
	r := &velerov1.DownloadRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: target.Name + "-"},
		Spec:       velerov1.DownloadRequestSpec{Target: target},
	}
	c.Apply(t, r)
	NewWithT(t).Eventually(func() (string, error) {
		err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(r), r)
		return r.Status.DownloadURL, err
	}, Short, tick).ShouldNot(BeEmpty(), func() string { return r.Name })
	return r
}

// Fetch reads an address as a client of Velero does: a GET request, and gzip is
// unpacked by the caller. It returns the text of gzip files, and other bodies as
// they are.
func Fetch(t *testing.T, address string) (status int, text string) {
	t.Helper()
	g := NewWithT(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	g.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	zr, err := gzip.NewReader(strings.NewReader(string(raw)))
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.EOF) {
		return response.StatusCode, string(raw)
	}
	g.Expect(err).NotTo(HaveOccurred())
	plain, err := io.ReadAll(zr)
	g.Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(plain)
}
