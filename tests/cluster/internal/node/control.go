package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/podkeep/podkeep/tests/cluster"
)

// The paths that the supervisor answers on its socket. All but pathStatus take
// a component's name as the rest of the path.
const (
	pathStatus = "/status"
	pathStart  = "/start/"
	pathKill   = "/kill/"
)

// serve answers on the socket until it cannot.
func (s *supervisor) serve(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listening for requests: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathStatus, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(s.status()); err != nil {
			log.Printf("Answering a status request: %v", err)
		}
	})
	mux.HandleFunc("POST "+pathStart+"{component}", s.forComponent(s.start))
	mux.HandleFunc("POST "+pathKill+"{component}", s.forComponent(s.kill))
	return http.Serve(listener, mux)
}

func (s *supervisor) forComponent(act func(name string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("component")
		if known := Components(s.config.Node); !slices.Contains(known, name) {
			http.Error(w, fmt.Sprintf("%q is no component: there are %s", name, strings.Join(known, ", ")), http.StatusNotFound)
			return
		}
		if err := act(name); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

// Client talks to the supervisor of a running node.
type Client struct {
	http http.Client
}

// NewClient returns a client for the node with that state folder. It does not
// connect yet.
func NewClient(state cluster.StateDir) *Client {
	return &Client{http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", state.ControlSocket())
		},
		DisableKeepAlives: true,
	}}}
}

// Status returns the status of the node.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	body, err := c.do(ctx, http.MethodGet, pathStatus)
	if err != nil {
		return status, fmt.Errorf("asking the node for its status: %w", err)
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return status, fmt.Errorf("reading the node's status: %w", err)
	}
	return status, nil
}

// Start starts a component; one that runs is left alone.
func (c *Client) Start(ctx context.Context, component string) error {
	if _, err := c.do(ctx, http.MethodPost, pathStart+component); err != nil {
		return fmt.Errorf("starting component %s: %w", component, err)
	}
	return nil
}

// Kill kills a component, which then stays away until Start.
func (c *Client) Kill(ctx context.Context, component string) error {
	if _, err := c.do(ctx, http.MethodPost, pathKill+component); err != nil {
		return fmt.Errorf("killing component %s: %w", component, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", strings.TrimSpace(string(body)))
	}
	return body, nil
}
