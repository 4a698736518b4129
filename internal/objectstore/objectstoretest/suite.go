// Package objectstoretest holds what every object store promises, as one test
// suite. A store passes it against its real storage.
package objectstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/objectstore"
)

// Run tests the stores that open returns. Each call of open returns an empty
// store of its own.
func Run(t *testing.T, open func(t *testing.T) objectstore.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, objectstore.Store){
		"what was put is got":                              putGet,
		"an empty object is an object":                     putEmpty,
		"a large object of unknown size arrives whole":     putLarge,
		"put replaces":                                     putReplaces,
		"a body that fails leaves no object":               putFails,
		"a body that fails late leaves the old object":     putFailsLate,
		"a canceled put leaves no object":                  putCanceled,
		"get of a missing object is ErrNotFound":           getMissing,
		"exists tells objects from folders":                exists,
		"a version changes when the object does":           version,
		"list returns the keys that begin with the prefix": list,
		"list pages": listMany,
		"common prefixes are folders of one level":    commonPrefixes,
		"delete removes the object and empty folders": deleteObject,
		"delete of a missing object succeeds":         deleteMissing,
		"bad keys are refused":                        badKeys,
		"an address opens one object":                 presign,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func put(t *testing.T, s objectstore.Store, key, content string) {
	t.Helper()
	NewWithT(t).Expect(s.Put(t.Context(), key, strings.NewReader(content))).To(Succeed())
}

func get(t *testing.T, s objectstore.Store, key string) string {
	t.Helper()
	g := NewWithT(t)
	body, err := s.Get(t.Context(), key)
	g.Expect(err).NotTo(HaveOccurred())
	content, err := io.ReadAll(body)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(body.Close()).To(Succeed())
	return string(content)
}

func putGet(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)

	put(t, s, "backups/a/a.tar.gz", "content")
	put(t, s, "backups/a/ä ö+%&.json", "unusual")

	g.Expect(get(t, s, "backups/a/a.tar.gz")).To(Equal("content"))
	g.Expect(get(t, s, "backups/a/ä ö+%&.json")).To(Equal("unusual"))
}

func putEmpty(t *testing.T, s objectstore.Store) {
	t.Helper()
	put(t, s, "empty", "")

	NewWithT(t).Expect(get(t, s, "empty")).To(BeEmpty())
}

func putLarge(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	const size = 17<<20 + 1 // more than one part
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(rand.Uint32())
	}

	err := s.Put(t.Context(), "large", iotest.OneByteReader(bytes.NewReader(content[:1])))
	g.Expect(err).NotTo(HaveOccurred())
	// No Len, no Seek: the store cannot know the size.
	err = s.Put(t.Context(), "large", struct{ io.Reader }{bytes.NewReader(content)})
	g.Expect(err).NotTo(HaveOccurred())

	g.Expect(get(t, s, "large") == string(content)).To(BeTrue(), "content differs")
}

func putReplaces(t *testing.T, s objectstore.Store) {
	t.Helper()
	put(t, s, "a/b", "a longer old content")
	put(t, s, "a/b", "new")

	NewWithT(t).Expect(get(t, s, "a/b")).To(Equal("new"))
}

var errBody = errors.New("body broke")

func putFails(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)

	err := s.Put(t.Context(), "a/b", io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errBody)))

	g.Expect(err).To(MatchError(errBody))
	g.Expect(s.Exists(t.Context(), "a/b")).To(BeFalse())
	g.Expect(s.List(t.Context(), "")).To(BeEmpty())
}

func putFailsLate(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	put(t, s, "a/b", "old")
	half := bytes.NewReader(make([]byte, 20<<20)) // some parts have been sent

	err := s.Put(t.Context(), "a/b", io.MultiReader(half, iotest.ErrReader(errBody)))

	g.Expect(err).To(MatchError(errBody))
	g.Expect(get(t, s, "a/b")).To(Equal("old"))
	g.Expect(s.List(t.Context(), "")).To(Equal([]string{"a/b"}))
}

func putCanceled(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(bytes.NewReader(make([]byte, 2<<20)), readFunc(func([]byte) (int, error) {
		cancel()
		return 0, ctx.Err()
	}))

	err := s.Put(ctx, "a/b", body)

	g.Expect(err).To(MatchError(context.Canceled))
	g.Expect(s.Exists(t.Context(), "a/b")).To(BeFalse())
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func getMissing(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	put(t, s, "a/b", "x")

	for _, key := range []string{"missing", "a", "a/c", "a/b/c"} {
		_, err := s.Get(t.Context(), key)
		g.Expect(err).To(MatchError(objectstore.ErrNotFound), key)
		g.Expect(err).To(MatchError(ContainSubstring(key)), "the error names the key")
	}
}

func exists(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	put(t, s, "a/b", "x")

	g.Expect(s.Exists(t.Context(), "a/b")).To(BeTrue())
	g.Expect(s.Exists(t.Context(), "a")).To(BeFalse())
	g.Expect(s.Exists(t.Context(), "a/b/c")).To(BeFalse())
	g.Expect(s.Exists(t.Context(), "b")).To(BeFalse())
}

func version(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	put(t, s, "a/b", "one")

	first, err := s.Version(t.Context(), "a/b")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(first).NotTo(BeEmpty())
	g.Expect(s.Version(t.Context(), "a/b")).To(Equal(first))
	put(t, s, "a/b", "two")
	g.Expect(s.Version(t.Context(), "a/b")).NotTo(Equal(first))
	g.Expect(s.Version(t.Context(), "a/c")).To(BeEmpty())
}

func list(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	for _, key := range []string{"backups/b/2", "backups/b/1", "backups/a/1", "backups/a-b/1", "restores/a/1"} {
		put(t, s, key, "x")
	}

	g.Expect(s.List(t.Context(), "backups/b/")).To(Equal([]string{"backups/b/1", "backups/b/2"}))
	g.Expect(s.List(t.Context(), "backups/a")).To(Equal([]string{"backups/a-b/1", "backups/a/1"}))
	g.Expect(s.List(t.Context(), "")).To(HaveLen(5))
	g.Expect(s.List(t.Context(), "none/")).To(BeEmpty())
}

func listMany(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	const n = 1100 // S3 pages by 1000
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf("many/%04d", i)
		put(t, s, want[i], "")
	}

	g.Expect(s.List(t.Context(), "many/")).To(Equal(want))
}

func commonPrefixes(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	for _, key := range []string{"loose", "backups/a/1", "backups/a/b/2", "backups/b/1", "backups/loose", "kopia/ns/p"} {
		put(t, s, key, "x")
	}

	g.Expect(s.CommonPrefixes(t.Context(), "")).To(Equal([]string{"backups/", "kopia/"}))
	g.Expect(s.CommonPrefixes(t.Context(), "backups/")).To(Equal([]string{"backups/a/", "backups/b/"}))
	g.Expect(s.CommonPrefixes(t.Context(), "restores/")).To(BeEmpty())
	_, err := s.CommonPrefixes(t.Context(), "backups")
	g.Expect(err).To(MatchError(objectstore.ErrBadKey))
}

func deleteObject(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	put(t, s, "backups/a/1", "x")
	put(t, s, "backups/b/1", "x")

	g.Expect(s.Delete(t.Context(), "backups/a/1")).To(Succeed())

	g.Expect(s.Exists(t.Context(), "backups/a/1")).To(BeFalse())
	g.Expect(s.CommonPrefixes(t.Context(), "backups/")).To(Equal([]string{"backups/b/"}))
}

func deleteMissing(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	put(t, s, "a/b", "x")

	g.Expect(s.Delete(t.Context(), "a")).To(Succeed())
	g.Expect(s.Delete(t.Context(), "missing/x")).To(Succeed())

	g.Expect(s.Exists(t.Context(), "a/b")).To(BeTrue())
}

func badKeys(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	for _, key := range []string{"", ".", "/a", "../a", "a/../b", "a//b", "a/", "a/."} {
		_, getErr := s.Get(t.Context(), key)
		_, existsErr := s.Exists(t.Context(), key)

		g.Expect(s.Put(t.Context(), key, strings.NewReader("x"))).To(MatchError(objectstore.ErrBadKey), key)
		g.Expect(getErr).To(MatchError(objectstore.ErrBadKey), key)
		g.Expect(existsErr).To(MatchError(objectstore.ErrBadKey), key)
		g.Expect(s.Delete(t.Context(), key)).To(MatchError(objectstore.ErrBadKey), key)
	}
	_, err := s.List(t.Context(), "../")
	g.Expect(err).To(MatchError(objectstore.ErrBadKey))
}

// presign allows a store to have no addresses.
func presign(t *testing.T, s objectstore.Store) {
	t.Helper()
	g := NewWithT(t)
	put(t, s, "backups/a/ä ö+%&.gz", "content")

	address, err := s.Presign(t.Context(), "backups/a/ä ö+%&.gz", time.Minute)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	g.Expect(err).NotTo(HaveOccurred())
	missing, err := s.Presign(t.Context(), "backups/a/missing", time.Minute)
	g.Expect(err).NotTo(HaveOccurred(), "the object need not exist")

	status, content := fetch(t, address)
	g.Expect(status).To(Equal(http.StatusOK), content)
	g.Expect(content).To(Equal("content"))
	status, _ = fetch(t, missing)
	g.Expect(status).To(Equal(http.StatusNotFound))
	status, _ = fetch(t, strings.Replace(address, "backups/a/", "backups/b/", 1))
	g.Expect(status).To(Equal(http.StatusForbidden), "an address of one object opens no other")
}

func fetch(t *testing.T, address string) (status int, content string) {
	t.Helper()
	g := NewWithT(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	g.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(body)
}
