package webhook

import (
	"context"
	"net/http"
	"sync/atomic"
)

// drain is how a replica ends without refusing anybody: it is not ready any more,
// then it asks those who are still connected to connect elsewhere, and only then
// it closes its port. All that time it answers.
type drain struct {
	begun   atomic.Bool // not ready any more
	leaving atomic.Bool // connections are told to go
}

// Linger returns the context that the manager must run with: it ends DrainTime
// after ctx does. The returned function ends it at once and must be called.
//
// A replica that is told to end is taken out of the Service by the cluster, which
// takes some moments to reach every node, and the API server keeps connections that
// it has, whatever the Service says. Half of the time is for the first. Then every
// answer is the last of its connection, so that the next request makes a new one, to
// another replica, and nothing is lost. Closing the port comes last: what
// http.Server.Shutdown does to a connection that is idle loses a request that is just
// being sent.
func (s *Server) Linger(ctx context.Context) (context.Context, context.CancelFunc) {
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		s.drain.begun.Store(true)
		if s.pause(serving) {
			s.drain.leaving.Store(true)
			s.pause(serving)
		}
		end()
	})
	return serving, func() {
		forget()
		end()
	}
}

// pause waits for half of the time to drain. It returns false when ctx ends before.
func (s *Server) pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-s.Clock.After(s.DrainTime / 2):
		return true
	}
}

// serve is around the handler of a webhook: it measures the whole answer, and in a
// replica that leaves it ends the connection.
func (s *Server) serve(name string, m *metrics, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := s.Clock.Now()
		if s.drain.leaving.Load() {
			// The API server speaks HTTP/1.1 to webhooks (k8s.io/apiserver,
			// pkg/util/webhook). In HTTP/2 net/http sends a GOAWAY instead of this header.
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, req)
		m.took(name, s.Clock.Since(began))
	})
}
