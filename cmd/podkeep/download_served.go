package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/podkeep/podkeep/config/install"
)

// apiServer is where the API server is, and a client with the caller's rights.
type apiServer struct {
	base   *url.URL
	client *http.Client
}

// errNoProxy says that the caller may not use the API server's proxy.
var errNoProxy = errors.New("the API server's proxy is not for this user")

// isServed reports whether the server itself serves a file, and nobody has said how
// it is reached (docs/download.md).
func isServed(address *url.URL) bool {
	return address.Scheme == "http" && address.Host == fmt.Sprintf("localhost:%d", install.DownloadPort) && strings.HasPrefix(address.Path, "/download/")
}

// throughAPI reads a file that the server serves, by way of the API server. It
// returns errNoProxy to users without the right to do so: they have a port-forward,
// as users of Velero's client need it.
func (d *downloads) throughAPI(ctx context.Context, address *url.URL) (io.ReadCloser, error) {
	api, err := d.api()
	if err != nil {
		return nil, err
	}
	base := *api.base
	if base.Path == "" {
		base.Path = "/" // or the joined path would be relative
	}
	proxy := base.JoinPath("api/v1/namespaces", d.namespace, "services", "http:"+install.DownloadName+":http", "proxy", address.Path)
	body, err := d.fetch(ctx, api.client, proxy)
	if r, ok := errors.AsType[refusal](err); ok && r.code == http.StatusForbidden && strings.Contains(r.said, "services/proxy") {
		fmt.Fprintf(d.warn, "You may not use the API server's proxy; this works while you run: kubectl -n %s port-forward service/%s %d\n",
			d.namespace, install.DownloadName, install.DownloadPort)
		return nil, errNoProxy
	}
	return body, err
}
