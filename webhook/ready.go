package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/podkeep/podkeep/webhook/serving"
)

// dialTimeout bounds a connection to this process itself.
const dialTimeout = 5 * time.Second

// readyCheck is ready when the server listens with a certificate that is valid and
// that the API server trusts, and answers from full caches. Before that, the API
// server would get errors, or answers from half of the facts. A replica that is
// about to end is not ready, although it still answers.
func (s *Server) readyCheck(certificates *serving.Certificates, caches *cacheStarter) func(*http.Request) error {
	return func(req *http.Request) error {
		switch {
		case s.drain.begun.Load():
			return errors.New("this replica is about to end")
		case !caches.synced.Load():
			return errors.New("the caches are not filled yet")
		}
		if certificates != nil {
			if err := certificates.Ready(); err != nil {
				return err
			}
		}
		return s.checkServed(req.Context())
	}
}

// checkServed connects to the port as the API server does, and looks at what is
// served there: with certificates from files nothing else would notice one that has
// expired.
func (s *Server) checkServed(ctx context.Context) error {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{Timeout: dialTimeout},
		// Whether it is trusted is for the API server to say; here it is about dates.
		Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13},
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("localhost", strconv.Itoa(s.Port)))
	if err != nil {
		return fmt.Errorf("connecting to the webhook's own port: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	leaf := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	switch now := s.Clock.Now(); {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the serving certificate has expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the serving certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	default:
		return nil
	}
}
