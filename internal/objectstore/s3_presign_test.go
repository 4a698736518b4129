package objectstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
)

func TestPresign(t *testing.T) {
	t.Parallel()
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = asked || r.URL.Query().Has("location")
		_, _ = io.WriteString(w, `<LocationConstraint>eu-west-3</LocationConstraint>`)
	}))
	t.Cleanup(server.Close)
	tests := []struct {
		name       string
		mod        func(*location.Location)
		wantPrefix string
		wantRegion string
		wantAsked  bool
	}{
		{"the server's own address", func(*location.Location) {}, server.URL + "/podkeep/root/backups/a/a-logs.gz?", "us-east-1", false},
		{
			"the public address signs for its host", func(l *location.Location) { l.Config[location.ConfigPublicURL] = "https://s3.example.com:8443/" },
			"https://s3.example.com:8443/podkeep/root/backups/a/a-logs.gz?", "us-east-1", false,
		},
		{
			"the region of a public address is asked where the server reaches the storage",
			func(l *location.Location) {
				l.Config[location.ConfigPublicURL] = "https://unreachable.invalid"
				delete(l.Config, location.ConfigRegion)
			},
			"https://unreachable.invalid/podkeep/root/backups/a/a-logs.gz?", "eu-west-3", true,
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			asked = false
			l := s3Location(t, server.URL, s3TestSecret)
			l.Prefix = "root"
			tc.mod(&l)

			address, err := openStore(t, l).Presign(t.Context(), "backups/a/a-logs.gz", 10*time.Minute)

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(address).To(HavePrefix(tc.wantPrefix))
			u, err := url.Parse(address)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(u.Query().Get("X-Amz-Expires")).To(Equal("600"))
			g.Expect(u.Query().Get("X-Amz-Credential")).To(ContainSubstring("/" + tc.wantRegion + "/s3/"))
			g.Expect(asked).To(Equal(tc.wantAsked))
		})
	}
}

func TestPresignOfAFolder(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	_, err := filesystemAt(t, t.TempDir(), "").Presign(t.Context(), "a", time.Minute)

	g.Expect(err).To(MatchError(errors.ErrUnsupported))
}

// What spec.config says about writing arrives as headers, for small objects and
// for those in parts.
func TestPutOptions(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config map[string]string
		want   map[string]string
	}{
		"nothing is asked for":   {nil, map[string]string{"X-Amz-Server-Side-Encryption": "", "X-Amz-Tagging": "", "X-Amz-Trailer": ""}},
		"encryption of the S3":   {map[string]string{"serverSideEncryption": "AES256"}, map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}},
		"encryption with a key":  {map[string]string{"kmsKeyId": "alias/k"}, map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/k"}},
		"tags":                   {map[string]string{"tagging": "a=1&b=2"}, map[string]string{"X-Amz-Tagging": "a=1&b=2"}},
		"explicitly no checksum": {map[string]string{"checksumAlgorithm": ""}, map[string]string{"X-Amz-Checksum-Algorithm": ""}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			var headers []http.Header
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				switch {
				case r.Method == http.MethodPut && !r.URL.Query().Has("partNumber"), r.URL.Query().Has("uploads"):
					headers = append(headers, r.Header)
					_, _ = io.WriteString(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
				case r.URL.Query().Has("uploadId"):
					w.Header().Set("ETag", `"e"`)
					_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><Bucket>podkeep</Bucket><ETag>e</ETag></CompleteMultipartUploadResult>`)
				}
			}))
			t.Cleanup(server.Close)
			l := s3Location(t, server.URL, s3TestSecret)
			for k, v := range tc.config {
				l.Config[k] = v
			}
			s := openStore(t, l)

			g.Expect(s.Put(t.Context(), "small", strings.NewReader("x"))).To(Succeed())
			g.Expect(s.Put(t.Context(), "large", strings.NewReader(strings.Repeat("x", 2<<20)))).To(Succeed())

			g.Expect(headers).To(HaveLen(2))
			for _, h := range headers {
				for key, value := range tc.want {
					g.Expect(h.Get(key)).To(Equal(value), key)
				}
			}
		})
	}
}

// A real server checks what it is sent.
func TestS3Checksums(t *testing.T) {
	t.Parallel()
	url := s3ServerURL(t)
	for _, algorithm := range []string{"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			l := s3Location(t, url, s3TestSecret)
			l.Prefix = "test/" + rand.Text()
			l.Config[location.ConfigChecksumAlgorithm] = algorithm
			l.Config[location.ConfigTagging] = "team=a"
			s := openStore(t, l)
			t.Cleanup(func() { empty(context.WithoutCancel(t.Context()), t, s) })
			large := strings.Repeat("x", 17<<20)

			g.Expect(s.Put(t.Context(), "small", strings.NewReader("small"))).To(Succeed())
			g.Expect(s.Put(t.Context(), "large", strings.NewReader(large))).To(Succeed())

			for key, want := range map[string]string{"small": "small", "large": large} {
				body, err := s.Get(t.Context(), key)
				g.Expect(err).NotTo(HaveOccurred())
				content, err := io.ReadAll(body)
				g.Expect(errors.Join(err, body.Close())).To(Succeed())
				g.Expect(string(content) == want).To(BeTrue(), key)
			}
		})
	}
}

func TestOpenRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for key, value := range map[string]string{
		"checksumAlgorithm": "MD5", "serverSideEncryption": "x", "tagging": "=", "publicUrl": "ftp://x",
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			l := s3Location(t, "http://127.0.0.1:1", s3TestSecret)
			l.Config[key] = value

			_, err := objectstore.Open(t.Context(), l)

			g := NewWithT(t)
			g.Expect(err).To(MatchError(objectstore.ErrInvalidConfig))
			g.Expect(err).To(MatchError(ContainSubstring(key)))
		})
	}
}
