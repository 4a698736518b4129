package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
)

// apiServerTimeout is generous: 8 s are usual, more while both cores compile.
const apiServerTimeout = 2 * time.Minute

// errNotStarting ends the boot of a node that has failed already.
var errNotStarting = errors.New("the node has failed")

// boot starts the components in their order.
func (s *supervisor) boot(ctx context.Context) {
	err := s.bootAll(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.fail("", err.Error()) // after a component's end, that stays the failure
	case s.phase == Starting:
		s.phase = Running
		log.Print("Running")
	}
}

func (s *supervisor) bootAll(ctx context.Context) error {
	if err := s.startAll(beforeAPI(s.config.Node)); err != nil {
		return err
	}
	if err := s.awaitAPI(ctx); err != nil {
		return fmt.Errorf("waiting for the API server: %w", err)
	}
	return s.startAll(afterAPI(s.config.Node))
}

func (s *supervisor) startAll(names []string) error {
	for _, name := range names {
		if err := s.start(name); err != nil {
			return err
		}
	}
	return nil
}

// awaitAPI waits until the API server says it is ready, which includes the
// roles that the other components need.
func (s *supervisor) awaitAPI(ctx context.Context) error {
	ca, err := os.ReadFile(s.config.State.PKI("ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, apiServerTimeout)
	defer cancel()
	var last error
	for {
		if last = ready(ctx, client); last == nil {
			return nil
		}
		if s.status().Phase != Starting {
			return errNotStarting
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", apiServerTimeout, last)
		case <-time.After(pollInterval):
		}
	}
}

func ready(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, cluster.APIServer+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
