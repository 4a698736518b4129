// Package apirequests counts what a process asks of the API server, by verb and
// kind, so that everybody can see what podkeep costs a cluster.
//
// It sees requests on the wire: neither reads from a cache nor requests that were
// never sent are counted, and a retry counts again. Requests that are for no
// resource (discovery, health) are left out. Called by cmd for every role; the
// benchmark on scale reads the counts.
package apirequests

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/podkeep/podkeep/internal/instruments"
)

// Name is the metric. Its labels are VerbLabel and ResourceLabel.
const Name = "podkeep_api_requests_total"

// Labels of the metric. A verb is one of Kubernetes', or VerbPage; a resource is
// "configmaps" or "roles.rbac.authorization.k8s.io", with its subresource as in
// "pods/exec".
const (
	VerbLabel     = "verb"
	ResourceLabel = "resource"
)

// The verbs of lists. A list is counted once; each further page of it is a
// request, too, and counted as that.
const (
	VerbList = "list"
	VerbPage = "list-page"
)

// Counter counts the requests of the transports that it wraps.
type Counter struct{ requests *prometheus.CounterVec }

// New registers the metric. One that is registered already is used again.
func New(registry prometheus.Registerer) (*Counter, error) {
	requests, err := instruments.Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: Name,
		Help: "Requests sent to the API server. list counts lists, list-page their pages after the first.",
	}, []string{VerbLabel, ResourceLabel}))
	return &Counter{requests: requests}, err
}

// Wrap returns a transport that counts and then does what t does (rest.Config,
// Wrap).
func (c *Counter) Wrap(t http.RoundTripper) http.RoundTripper {
	return transport{next: t, count: c.count}
}

func (c *Counter) count(r *http.Request) {
	if verb, resource, ok := parse(r); ok {
		c.requests.WithLabelValues(verb, resource).Inc()
	}
}

type transport struct {
	next  http.RoundTripper
	count func(*http.Request)
}

// RoundTrip counts a request and sends it.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.count(r)
	return t.next.RoundTrip(r)
}

// WrappedRoundTripper lets client-go look through (k8s.io/apimachinery/pkg/util/net).
func (t transport) WrappedRoundTripper() http.RoundTripper { return t.next }

// parse reads verb and resource from a request, as the API server does
// (k8s.io/apiserver/pkg/endpoints/request, RequestInfo). ok is false for requests
// that are for no resource.
func parse(r *http.Request) (verb, resource string, ok bool) {
	resource, name, ok := parsePath(r.URL.Path)
	if !ok {
		return "", "", false
	}
	query := r.URL.Query()
	switch r.Method {
	case http.MethodPost:
		return "create", resource, true
	case http.MethodPut:
		return "update", resource, true
	case http.MethodPatch:
		return "patch", resource, true
	case http.MethodDelete:
		if name == "" {
			return "deletecollection", resource, true
		}
		return "delete", resource, true
	case http.MethodGet:
	default:
		return "", "", false
	}
	switch {
	case query.Get("watch") == "true" || query.Get("watch") == "1":
		return "watch", resource, true
	case name != "":
		return "get", resource, true
	case query.Get("continue") != "":
		return VerbPage, resource, true
	default:
		return VerbList, resource, true
	}
}

// parsePath takes /api/v1/… and /apis/GROUP/VERSION/… apart. What is before them,
// as behind a proxy, is left out.
func parsePath(path string) (resource, name string, ok bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	group := ""
	for len(parts) > 0 && parts[0] != "api" && parts[0] != "apis" {
		parts = parts[1:]
	}
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = parts[1], parts[3:]
	default:
		return "", "", false
	}
	const namespaces = "namespaces"
	if parts[0] == namespaces && len(parts) > 2 && !isNamespaceSubresource(parts[2]) {
		parts = parts[2:] // what is in the namespace
	}
	resource = parts[0]
	if group != "" {
		resource += "." + group
	}
	if len(parts) > 1 {
		name = parts[1]
	}
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	return resource, name, true
}

func isNamespaceSubresource(s string) bool { return s == "status" || s == "finalize" }
