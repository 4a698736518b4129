package apirequests

import (
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRequestsAreToldApart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, url    string
		verb, resource string
	}{
		"a list of the cluster":        {"GET", "/api/v1/configmaps?limit=20", "list", "configmaps"},
		"a further page of it":         {"GET", "/api/v1/configmaps?limit=500&continue=abc", "list-page", "configmaps"},
		"a list of a namespace":        {"GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/a/roles", "list", "roles.rbac.authorization.k8s.io"},
		"a list of namespaces":         {"GET", "/api/v1/namespaces", "list", "namespaces"},
		"a namespace":                  {"GET", "/api/v1/namespaces/a", "get", "namespaces"},
		"a namespace's subresource":    {"PUT", "/api/v1/namespaces/a/finalize", "update", "namespaces/finalize"},
		"an object":                    {"GET", "/api/v1/namespaces/a/pods/p", "get", "pods"},
		"a subresource":                {"POST", "/api/v1/namespaces/a/pods/p/exec", "create", "pods/exec"},
		"a watch":                      {"GET", "/apis/velero.io/v1/backups?watch=true", "watch", "backups.velero.io"},
		"a new object":                 {"POST", "/apis/velero.io/v1/namespaces/velero/restores", "create", "restores.velero.io"},
		"a patch":                      {"PATCH", "/apis/velero.io/v1/namespaces/velero/restores/r", "patch", "restores.velero.io"},
		"a deletion":                   {"DELETE", "/api/v1/namespaces/a/pods/p", "delete", "pods"},
		"a deletion of a collection":   {"DELETE", "/api/v1/namespaces/a/pods", "deletecollection", "pods"},
		"behind a proxy with a prefix": {"GET", "/k8s/clusters/c-1/api/v1/nodes/n", "get", "nodes"},
		"discovery":                    {method: "GET", url: "/apis/velero.io/v1"},
		"discovery of the core group":  {method: "GET", url: "/api/v1"},
		"health":                       {method: "GET", url: "/healthz"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			verb, resource, ok := parse(httptest.NewRequest(tc.method, tc.url, nil))

			g.Expect(verb).To(Equal(tc.verb))
			g.Expect(resource).To(Equal(tc.resource))
			g.Expect(ok).To(Equal(tc.verb != ""))
		})
	}
}

func TestCounterCountsWhatIsSent(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	registry := prometheus.NewRegistry()
	first, err := New(registry)
	g.Expect(err).NotTo(HaveOccurred())
	c, err := New(registry)
	g.Expect(err).NotTo(HaveOccurred(), "roles of one process share it")
	sent := 0
	send := c.Wrap(roundTripper(func(*http.Request) (*http.Response, error) { sent++; return nil, http.ErrServerClosed }))

	for range 2 {
		_, err := send.RoundTrip(httptest.NewRequest("GET", "/api/v1/pods", nil))
		g.Expect(err).To(MatchError(http.ErrServerClosed))
	}

	g.Expect(sent).To(Equal(2))
	g.Expect(testutil.ToFloat64(first.requests.WithLabelValues(VerbList, "pods"))).To(BeEquivalentTo(2))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
