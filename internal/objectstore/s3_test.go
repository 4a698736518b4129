package objectstore_test

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
	"github.com/podkeep/podkeep/internal/objectstore/objectstoretest"
)

// The S3 server for the conformance suite: its endpoint is in this variable, and
// it has this bucket and these keys.
const (
	s3URLVariable = "PODKEEP_TEST_S3_URL"
	s3TestBucket  = "podkeep"
	s3TestKey     = "podkeep"
	s3TestSecret  = "podkeep-secret"
)

func s3Location(t *testing.T, url, secret string) location.Location {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cloud")
	content := fmt.Sprintf("[default]\naws_access_key_id=%s\naws_secret_access_key=%s\n", s3TestKey, secret)
	NewWithT(t).Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed())
	return location.Location{
		Provider:        location.ProviderAWS,
		Bucket:          s3TestBucket,
		Config:          map[string]string{location.ConfigS3URL: url, location.ConfigRegion: "us-east-1"},
		CredentialsFile: file,
	}
}

func openStore(t *testing.T, l location.Location) objectstore.Store {
	t.Helper()
	s, err := objectstore.Open(t.Context(), l)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return s
}

func s3ServerURL(t *testing.T) string {
	t.Helper()
	url := os.Getenv(s3URLVariable)
	if url == "" {
		t.Skipf("skipped: %s is not set to the URL of an S3 server with bucket %s", s3URLVariable, s3TestBucket)
	}
	return url
}

func TestS3(t *testing.T) {
	t.Parallel()
	url := s3ServerURL(t)
	objectstoretest.Run(t, func(t *testing.T) objectstore.Store {
		t.Helper()
		l := s3Location(t, url, s3TestSecret)
		l.Prefix = "test/" + rand.Text()
		s := openStore(t, l)
		t.Cleanup(func() { empty(context.WithoutCancel(t.Context()), t, s) })
		return s
	})
}

func empty(ctx context.Context, t *testing.T, s objectstore.Store) {
	t.Helper()
	keys, err := s.List(ctx, "")
	if err != nil {
		t.Errorf("cleaning up: %v", err)
	}
	for _, key := range keys {
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	}
}

func TestS3ServerRefuses(t *testing.T) {
	t.Parallel()
	url := s3ServerURL(t)
	wrongKey := s3Location(t, url, "wrong")
	noBucket := s3Location(t, url, s3TestSecret)
	noBucket.Bucket = "no-such-bucket"

	for name, tc := range map[string]struct {
		location location.Location
		want     error
	}{
		"a wrong key is access denied": {wrongKey, objectstore.ErrAccessDenied},
		"a missing bucket is named":    {noBucket, objectstore.ErrBucketNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectAllCallsFail(t, openStore(t, tc.location), tc.want)
		})
	}
}

// expectAllCallsFail expects the same class of error from every call.
func expectAllCallsFail(t *testing.T, s objectstore.Store, want error) {
	t.Helper()
	g := NewWithT(t)
	_, err := s.CommonPrefixes(t.Context(), "")
	g.Expect(err).To(MatchError(want), "CommonPrefixes")
	_, err = s.List(t.Context(), "a/")
	g.Expect(err).To(MatchError(want), "List")
	_, err = s.Exists(t.Context(), "a")
	g.Expect(err).To(MatchError(want), "Exists")
	_, err = s.Get(t.Context(), "a")
	g.Expect(err).To(MatchError(want), "Get")
	g.Expect(s.Put(t.Context(), "a", strings.NewReader("x"))).To(MatchError(want), "Put")
	g.Expect(s.Delete(t.Context(), "a")).To(MatchError(want), "Delete")
}

// answering is an S3 server that gives one answer to everything.
func answering(t *testing.T, status int, code string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>because</Message></Error>", code)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestS3ClassifiesAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status     int
		code       string
		want       error
		wantReason string
	}{
		"an unknown key":      {http.StatusForbidden, "InvalidAccessKeyId", objectstore.ErrAccessDenied, velerov1.ReasonAccessDenied},
		"a wrong secret":      {http.StatusForbidden, "SignatureDoesNotMatch", objectstore.ErrAccessDenied, velerov1.ReasonAccessDenied},
		"no right":            {http.StatusForbidden, "AccessDenied", objectstore.ErrAccessDenied, velerov1.ReasonAccessDenied},
		"no bucket":           {http.StatusNotFound, "NoSuchBucket", objectstore.ErrBucketNotFound, velerov1.ReasonBucketNotFound},
		"a broken server":     {http.StatusBadGateway, "Whatever", objectstore.ErrUnavailable, velerov1.ReasonStorageUnavailable},
		"a server under load": {http.StatusServiceUnavailable, "SlowDown", objectstore.ErrUnavailable, velerov1.ReasonStorageUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := openStore(t, s3Location(t, answering(t, tc.status, tc.code), s3TestSecret))

			_, err := s.CommonPrefixes(t.Context(), "")

			g.Expect(err).To(MatchError(tc.want))
			g.Expect(objectstore.Reason(err)).To(Equal(tc.wantReason))
			g.Expect(err).To(MatchError(ContainSubstring("s3://" + s3TestBucket)))
		})
	}
}

func TestS3WithoutServer(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	url := "http://" + listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())

	expectAllCallsFail(t, openStore(t, s3Location(t, url, s3TestSecret)), objectstore.ErrUnavailable)
}

func TestS3WithCallersDeadline(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	s := openStore(t, s3Location(t, server.URL, s3TestSecret))

	_, err := s.CommonPrefixes(ctx, "")

	g.Expect(err).To(MatchError(context.Canceled))
	g.Expect(err).NotTo(MatchError(objectstore.ErrUnavailable), "the caller gave up, not the storage")
}

func TestS3ObjectCutOff(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 08:00:00 GMT")
		_, _ = w.Write([]byte("half"))
	}))
	t.Cleanup(server.Close)
	s := openStore(t, s3Location(t, server.URL, s3TestSecret))

	body, err := s.Get(t.Context(), "a")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = io.ReadAll(body)

	g.Expect(err).To(MatchError(objectstore.ErrUnavailable))
	g.Expect(body.Close()).To(Succeed())
}

func TestS3TLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `<ListBucketResult><CommonPrefixes><Prefix>backups/</Prefix></CommonPrefixes></ListBucketResult>`)
	}))
	t.Cleanup(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})

	for name, tc := range map[string]struct {
		mod  func(*location.Location)
		want error
	}{
		"an unknown authority is refused": {func(*location.Location) {}, objectstore.ErrUnavailable},
		"the location's CA is trusted":    {func(l *location.Location) { l.CACert = certificate }, nil},
		"insecureSkipTLSVerify is obeyed": {func(l *location.Location) { l.Config[location.ConfigInsecureSkipTLSVerify] = "true" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			l := s3Location(t, server.URL, s3TestSecret)
			tc.mod(&l)

			prefixes, err := openStore(t, l).CommonPrefixes(t.Context(), "")

			if tc.want != nil {
				g.Expect(err).To(MatchError(tc.want))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(prefixes).To(Equal([]string{"backups/"}))
		})
	}
}
