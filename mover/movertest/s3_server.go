package movertest

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/wire"
)

// S3Bucket is the only bucket of an S3Server.
const S3Bucket = "backups"

// S3Server is as much of S3 as kopia needs, in memory. It does not check
// signatures, and counts requests.
type S3Server struct {
	*httptest.Server

	// Deny makes it refuse all credentials.
	Deny bool

	mu       sync.Mutex
	objects  map[string][]byte // guarded by mu
	requests []string          // guarded by mu
}

// NewS3Server starts a server that ends with the test.
func NewS3Server(tb testing.TB) *S3Server {
	tb.Helper()
	s := &S3Server{objects: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	tb.Cleanup(s.Close)
	return s
}

// NewS3Repository names a repository in the server's bucket.
func NewS3Repository(tb testing.TB, s *S3Server) wire.Repository {
	tb.Helper()
	r := NewRepository(tb)
	r.Location = location.Location{
		Name: "default", Provider: location.ProviderAWS, Bucket: S3Bucket, Prefix: "prefix",
		Config: map[string]string{location.ConfigS3URL: s.URL, location.ConfigRegion: "us-east-1"},
	}
	dir := tb.TempDir()
	WriteFile(tb, dir, "cloud", "[default]\naws_access_key_id = key\naws_secret_access_key = secret\n")
	r.Location.CredentialsFile = dir + "/cloud"
	return r
}

// TakeRequests returns the requests since the last call.
func (s *S3Server) TakeRequests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.requests
	s.requests = nil
	return taken
}

func (s *S3Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("prefix"))
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case s.Deny:
		refuse(w, http.StatusForbidden, "InvalidAccessKeyId")
	case bucket != S3Bucket:
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case key == "":
		s.list(w, r.URL.Query().Get("prefix"))
	default:
		s.object(w, r, key, body)
	}
}

func (s *S3Server) object(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	content, ok := s.objects[key]
	w.Header().Set("ETag", `"etag"`)
	w.Header().Set("Last-Modified", time.Unix(1_600_000_000, 0).UTC().Format(http.TimeFormat))
	switch {
	case r.Method == http.MethodPut:
		s.objects[key] = body
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !ok:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	default:
		http.ServeContent(w, r, "", time.Unix(1_600_000_000, 0), bytes.NewReader(content))
	}
}

type listing struct {
	XMLName  xml.Name `xml:"ListBucketResult"`
	Name     string
	Prefix   string
	KeyCount int
	MaxKeys  int
	Contents []listed
}

type listed struct {
	Key          string
	LastModified string
	ETag         string
	Size         int
}

func (s *S3Server) list(w http.ResponseWriter, prefix string) {
	l := listing{Name: S3Bucket, Prefix: prefix, MaxKeys: 1000}
	for key, content := range s.objects {
		if strings.HasPrefix(key, prefix) {
			l.Contents = append(l.Contents, listed{Key: key, LastModified: "2026-01-01T00:00:00.000Z", ETag: `"etag"`, Size: len(content)})
		}
	}
	slices.SortFunc(l.Contents, func(a, b listed) int { return strings.Compare(a.Key, b.Key) })
	l.KeyCount = len(l.Contents)
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(l)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

// readBody undoes the signed chunks that clients send over plain HTTP.
func readBody(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	var content bytes.Buffer
	for in := bufio.NewReader(r.Body); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || n == 0 {
			return content.Bytes(), err
		}
		if _, err := io.CopyN(&content, in, n); err != nil {
			return nil, err
		}
		if _, err := in.Discard(len("\r\n")); err != nil {
			return nil, err
		}
	}
}
