package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestLingerAnswersUntilNobodyCalls(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	fake := clocktesting.NewFakeClock(time.Unix(0, 0))
	s := &Server{Clock: fake, DrainTime: 10 * time.Second}
	asked, ask := context.WithCancel(t.Context())
	serving, stop := s.Linger(asked)
	defer stop()
	g.Expect(s.drain.begun.Load()).To(BeFalse())

	ask()
	g.Eventually(s.drain.begun.Load).Should(BeTrue())
	g.Expect(s.drain.leaving.Load()).To(BeFalse())

	g.Eventually(fake.HasWaiters).Should(BeTrue())
	fake.Step(5 * time.Second)
	g.Eventually(s.drain.leaving.Load).Should(BeTrue())
	g.Expect(serving.Err()).NotTo(HaveOccurred())

	g.Eventually(fake.HasWaiters).Should(BeTrue())
	fake.Step(5 * time.Second)
	g.Eventually(serving.Done()).Should(BeClosed())
}

func TestLingerEndsAtOnceWhenTheManagerHas(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := &Server{Clock: clocktesting.NewFakeClock(time.Unix(0, 0)), DrainTime: time.Hour}
	asked, ask := context.WithCancel(t.Context())
	serving, stop := s.Linger(asked)
	ask()

	stop()

	g.Expect(serving.Done()).To(BeClosed())
	g.Eventually(s.drain.begun.Load).Should(BeTrue())
	g.Consistently(s.drain.leaving.Load, "50ms").Should(BeFalse())
}

// TestLeavingMovesConnections has a client that keeps its connection: requests go on
// while it is made to make another.
func TestLeavingMovesConnections(t *testing.T) {
	t.Parallel()
	for version, http2 := range map[int]bool{1: false, 2: true} {
		t.Run("HTTP/"+strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := &Server{Clock: clocktesting.NewFakeClock(time.Unix(0, 0))}
			m, err := newMetrics(prometheus.NewRegistry())
			g.Expect(err).NotTo(HaveOccurred())
			var from []string
			port := httptest.NewUnstartedServer(s.serve("test", m, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				from = append(from, req.RemoteAddr)
			})))
			port.EnableHTTP2 = http2
			port.StartTLS()
			defer port.Close()
			call := func() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, port.URL, nil)
				g.Expect(err).NotTo(HaveOccurred())
				resp, err := port.Client().Do(req)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(resp.ProtoMajor).To(Equal(version))
				g.Expect(resp.Body.Close()).To(Succeed())
			}

			call()
			call()
			s.drain.leaving.Store(true)
			call()
			g.Eventually(func(g Gomega) { // the client of HTTP/2 reads the GOAWAY a moment later
				call()
				g.Expect(from[len(from)-1]).NotTo(Equal(from[0]))
			}).Should(Succeed())

			g.Expect(from[1]).To(Equal(from[0]))
			g.Expect(from[2]).To(Equal(from[0]))
			g.Expect(testutil.CollectAndCount(m.duration)).To(Equal(1))
		})
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	port := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(port.Close)
	leaf := leafOf(t, port.TLS)
	tests := map[string]struct {
		now    time.Time
		change func(*Server, *cacheStarter)

		want string // "" is ready
	}{
		"caches, a valid certificate and an open port": {},
		"caches that are not filled": {
			change: func(_ *Server, c *cacheStarter) { c.synced.Store(false) }, want: "the caches are not filled yet",
		},
		"a certificate from a file that has expired": {
			now: leaf.NotAfter.Add(time.Second), want: "the serving certificate has expired at ",
		},
		"a certificate that is not valid yet": {
			now: leaf.NotBefore.Add(-time.Second), want: "the serving certificate is not valid before ",
		},
		"a closed port": {
			change: func(s *Server, _ *cacheStarter) { s.Port = 1 }, want: "connecting to the webhook's own port",
		},
		"a replica that ends": {
			change: func(s *Server, _ *cacheStarter) { s.drain.begun.Store(true) }, want: "this replica is about to end",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			if tc.now.IsZero() {
				tc.now = leaf.NotBefore.Add(time.Hour)
			}
			s := &Server{Clock: clocktesting.NewFakeClock(tc.now), Port: portOf(t, port.URL)}
			caches := &cacheStarter{}
			caches.synced.Store(true)
			if tc.change != nil {
				tc.change(s, caches)
			}

			err := s.readyCheck(nil, caches)(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))

			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}

func leafOf(t *testing.T, c *tls.Config) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(c.Certificates[0].Certificate[0])
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return leaf
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	g := NewWithT(t)
	u, err := url.Parse(address)
	g.Expect(err).NotTo(HaveOccurred())
	port, err := strconv.Atoi(u.Port())
	g.Expect(err).NotTo(HaveOccurred())
	return port
}
