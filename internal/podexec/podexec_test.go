package podexec

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	utilexec "k8s.io/client-go/util/exec"
)

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		writes []string
		want   string
	}{
		"nothing":               {nil, ""},
		"less than the limit":   {[]string{"ab", "cd\n"}, "abcd"},
		"more in one write":     {[]string{"0123456789abcdef"}, "(8 bytes before) 89abcdef"},
		"more in many":          {[]string{"0123", "4567", "89ab", "cdef"}, "(8 bytes before) 89abcdef"},
		"half a character":      {[]string{"123456é"}, "123456é"},
		"half a character lost": {[]string{"é1234567"}, "(1 bytes before) 1234567"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			to := &tail{limit: 8}
			for _, w := range tc.writes {
				n, err := to.Write([]byte(w))
				g.Expect(n, err).To(Equal(len(w)))
			}
			g.Expect(to.String()).To(Equal(tc.want))
		})
	}
}

func TestTailDoesNotGrow(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	to := &tail{limit: MaxOutputBytes}
	chunk := []byte(strings.Repeat("x", 32<<10))
	for range 1000 {
		_, err := to.Write(chunk)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(cap(to.kept)).To(BeNumerically("<=", 4*MaxOutputBytes))
	g.Expect(to.total).To(Equal(int64(1000 * 32 << 10)))
}

func TestErrorsAreExplained(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	late, cancel := context.WithTimeoutCause(t.Context(), time.Nanosecond, &TimeoutError{Timeout: 30 * time.Second})
	defer cancel()
	<-late.Done()
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("the backup was canceled"))
	broken := errors.New("connection reset")

	g.Expect(explain(t.Context(), nil)).To(Succeed())
	g.Expect(explain(late, broken)).To(MatchError("timed out after 30s"))
	g.Expect(explain(stopped, broken)).To(MatchError("the backup was canceled"))
	g.Expect(explain(t.Context(), broken)).To(MatchError(broken))
	err := explain(late, utilexec.CodeExitError{Err: broken, Code: 3})
	g.Expect(err).To(MatchError("command ended with exit code 3"), "a command that has ended was not too late")
	var exit *ExitError
	g.Expect(errors.As(err, &exit)).To(BeTrue())
}

func TestRefusalIsAnError(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Method+" "+r.URL.Path+" "+strings.Join(r.URL.Query()["command"], " "), http.StatusForbidden)
	}))
	defer server.Close()
	e, err := New(&rest.Config{Host: server.URL})
	g.Expect(err).NotTo(HaveOccurred())

	_, err = e.Run(t.Context(), Command{Namespace: "a", Pod: "b", Container: "c", Args: []string{"x", "y"}, Timeout: time.Minute})

	g.Expect(err).To(MatchError(ContainSubstring("POST /api/v1/namespaces/a/pods/b/exec x y")), "SPDY is tried after the WebSocket")
}

func TestCommandThatNeverEndsIsLeft(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	e, err := New(&rest.Config{Host: server.URL})
	g.Expect(err).NotTo(HaveOccurred())

	_, err = e.Run(t.Context(), Command{Namespace: "a", Pod: "b", Container: "c", Args: []string{"x"}, Timeout: 10 * time.Millisecond})

	g.Expect(err).To(MatchError("timed out after 10ms"))
}
