package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
)

var (
	pods        = schema.GroupResource{Resource: "pods"}
	deployments = schema.GroupResource{Group: "apps", Resource: "deployments"}
	namespaces  = schema.GroupResource{Resource: "namespaces"}
	roles       = schema.GroupResource{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}

	now = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
)

func item(gr schema.GroupResource, namespace, name string, mods ...func(*Item)) Item {
	i := Item{GroupResource: gr, Version: "v1", Preferred: true, Namespace: namespace, Name: name, Object: object(namespace, name)}
	for _, mod := range mods {
		mod(&i)
	}
	return i
}

func object(namespace, name string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"X","metadata":{"name":%q,"namespace":%q}}`, name, namespace)
}

func write(tb testing.TB, items ...Item) []byte {
	tb.Helper()
	g := NewWithT(tb)
	var b bytes.Buffer
	w, err := NewWriter(&b, clocktesting.NewFakePassiveClock(now))
	g.Expect(err).NotTo(HaveOccurred())
	for _, i := range items {
		g.Expect(w.Add(i)).To(Succeed())
	}
	g.Expect(w.Close()).To(Succeed())
	return b.Bytes()
}

// entry is a tar entry made by hand.
type entry struct {
	name string
	body string
	typ  byte   // tar.TypeReg when zero
	link string // target of a link
}

var version = entry{name: versionEntry, body: "1.1.0\n"}

func tarball(tb testing.TB, entries ...entry) []byte {
	tb.Helper()
	g := NewWithT(tb)
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Size: int64(len(e.body)), Typeflag: e.typ, Linkname: e.link, Mode: 0o755}
		if e.typ == 0 {
			h.Typeflag = tar.TypeReg
		}
		g.Expect(tw.WriteHeader(h)).To(Succeed())
		_, err := io.WriteString(tw, e.body)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(errors.Join(tw.Close(), zw.Close())).To(Succeed())
	return b.Bytes()
}

func extract(tb testing.TB, data []byte) *Extracted {
	tb.Helper()
	g := NewWithT(tb)
	e, err := Extract(bytes.NewReader(data), tb.TempDir(), Limits{})
	g.Expect(err).NotTo(HaveOccurred())
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

func itemNames(tb testing.TB, e *Extracted, gr schema.GroupResource) []string {
	tb.Helper()
	g := NewWithT(tb)
	var names []string
	for ref, err := range e.Items(gr) {
		g.Expect(err).NotTo(HaveOccurred())
		names = append(names, ref.String())
	}
	return names
}

func TestWriterEntries(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	data := write(t,
		item(pods, "shop", "db-0"),
		item(namespaces, "", "shop"),
		item(deployments, "shop", "web", func(i *Item) { i.Version = "v1beta1"; i.Preferred = false }),
	)

	zr, err := gzip.NewReader(bytes.NewReader(data))
	g.Expect(err).NotTo(HaveOccurred())
	tr := tar.NewReader(zr)
	var names []string
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		g.Expect(err).NotTo(HaveOccurred())
		names = append(names, h.Name)
		g.Expect(h.Typeflag).To(Equal(byte(tar.TypeReg)))
		g.Expect(h.Mode).To(Equal(int64(0o755)))
		g.Expect(h.ModTime).To(BeTemporally("==", now))
	}

	g.Expect(names).To(Equal([]string{
		"metadata/version",
		"resources/pods/namespaces/shop/db-0.json",
		"resources/pods/v1-preferredversion/namespaces/shop/db-0.json",
		"resources/namespaces/cluster/shop.json",
		"resources/namespaces/v1-preferredversion/cluster/shop.json",
		"resources/deployments.apps/namespaces/shop/web.json",
	}))
}

func TestWriterRefusesItems(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]Item{
		"a name with a slash":       item(pods, "shop", "a/b"),
		"a name that leads up":      item(pods, "shop", ".."),
		"no name":                   item(pods, "shop", ""),
		"a namespace that leads up": item(pods, "..", "a"),
		"a resource with a slash":   item(schema.GroupResource{Resource: "pods/status"}, "shop", "a"),
		"a name with NUL":           item(pods, "shop", "a\x00"),
		"a name of two lines":       item(pods, "shop", "a\nb"),
		"a name that is no text":    item(pods, "shop", "a\xff"),
		"a name too long for files": item(pods, "shop", strings.Repeat("n", maxElementBytes+1)),
		"no version":                item(pods, "shop", "a", func(i *Item) { i.Version = "" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			var b bytes.Buffer
			w, err := NewWriter(&b, clocktesting.NewFakePassiveClock(now))
			g.Expect(err).NotTo(HaveOccurred())

			g.Expect(w.Add(bad)).To(MatchError(ErrBadItem))

			g.Expect(w.Add(item(pods, "shop", "good"))).To(Succeed(), "the archive is still good")
			g.Expect(w.Close()).To(Succeed())
			g.Expect(itemNames(t, extract(t, b.Bytes()), pods)).To(Equal([]string{"pods shop/good"}))
		})
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	long := strings.Repeat("n", maxElementBytes)
	e := extract(t, write(t,
		item(pods, "shop", "web"), item(pods, "bank", "z"), item(pods, "shop", "db"), item(pods, "shop", long),
		item(roles, "", "system:node"), item(roles, "", "admin"),
		item(deployments, "shop", "web"),
	))

	g.Expect(e.Resources()).To(Equal([]schema.GroupResource{roles, deployments, pods}))
	g.Expect(e.Namespaces(pods)).To(Equal([]string{"bank", "shop"}))
	g.Expect(itemNames(t, e, pods)).To(Equal([]string{"pods bank/z", "pods shop/db", "pods shop/" + long, "pods shop/web"}))
	g.Expect(itemNames(t, e, roles)).To(Equal([]string{
		"clusterroles.rbac.authorization.k8s.io admin", "clusterroles.rbac.authorization.k8s.io system:node",
	}))
	g.Expect(itemNames(t, e, schema.GroupResource{Resource: "none"})).To(BeEmpty())

	u, err := e.Item(pods, "shop", long).Read()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(u.GetName()).To(Equal(long))
	_, err = e.Item(pods, "shop", "missing").Read()
	g.Expect(err).To(MatchError(fs.ErrNotExist))
	_, err = e.Item(pods, "..", "x").Read()
	g.Expect(err).To(MatchError(ErrBadItem))
}

func TestItemsCanBeLeftEarly(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	e := extract(t, write(t, item(pods, "a", "1"), item(pods, "a", "2"), item(pods, "b", "1")))
	n := 0

	for range e.Items(pods) {
		n++
		break
	}

	g.Expect(n).To(Equal(1))
}

func TestReadRefusesAnotherObject(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"of another namespace": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"kube-system"}}`,
		"of another name":      `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b","namespace":"shop"}}`,
		"without a kind":       `{"metadata":{"name":"a","namespace":"shop"}}`,
		"that is no JSON":      `{`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := extract(t, tarball(t, version, entry{name: "resources/pods/namespaces/shop/a.json", body: content}))

			_, err := e.Item(pods, "shop", "a").Read()

			NewWithT(t).Expect(err).To(MatchError(ErrCorrupt))
		})
	}
}

func TestExtractTakes(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]entry{
		"names that begin with ./ and folders": {{name: "./", typ: tar.TypeDir}, {name: "./resources/", typ: tar.TypeDir}, {name: "./metadata/version", body: "1\n"}, {name: "./resources/pods/namespaces/shop/a.json", body: string(object("shop", "a"))}},
		"a later minor version":                {{name: versionEntry, body: "1.9.3"}, {name: "resources/pods/namespaces/shop/a.json", body: string(object("shop", "a"))}},
		"unknown files beside the items":       {version, {name: "metadata/other", body: "x"}, {name: "README", body: "x"}, {name: "resources/pods/v1/namespaces/shop/b.json", body: "x"}, {name: "resources/pods/namespaces/shop/a.txt", body: "x"}, {name: "resources/pods/namespaces/shop/a.json", body: string(object("shop", "a"))}},
		"an item twice, the last counts":       {version, {name: "resources/pods/namespaces/shop/a.json", body: strings.Repeat("x", 500)}, {name: "resources/pods/namespaces/shop/a.json", body: string(object("shop", "a"))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			e := extract(t, tarball(t, entries...))

			g.Expect(itemNames(t, e, pods)).To(Equal([]string{"pods shop/a"}))
			_, err := e.Item(pods, "shop", "a").Read()
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

func TestExtractRefuses(t *testing.T) {
	t.Parallel()
	whole := write(t, item(pods, "shop", "a"), item(pods, "shop", "b"))
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 0xff
	checksum := bytes.Clone(whole)
	checksum[len(checksum)-6] ^= 0xff
	good := entry{name: "resources/pods/namespaces/shop/a.json", body: "{}"}

	tests := map[string]struct {
		data     []byte
		limits   Limits
		want     error
		wantText string
	}{
		"nothing":                      {data: nil, want: ErrCorrupt},
		"what is not compressed":       {data: []byte("a tar file? no"), want: ErrCorrupt},
		"half an archive":              {data: whole[:len(whole)/2], want: ErrCorrupt},
		"an archive without its end":   {data: whole[:len(whole)-4], want: ErrCorrupt},
		"a damaged byte":               {data: damaged, want: ErrCorrupt},
		"a wrong checksum":             {data: checksum, want: ErrCorrupt},
		"no version":                   {data: tarball(t, good), want: ErrVersion, wantText: "metadata/version is missing"},
		"another major version":        {data: tarball(t, entry{name: versionEntry, body: "2.0.0\n"}), want: ErrVersion, wantText: `"2.0.0"`},
		"a version that is no number":  {data: tarball(t, entry{name: versionEntry, body: "one"}), want: ErrVersion, wantText: `"one"`},
		"a path that leads out":        {data: tarball(t, version, entry{name: "resources/pods/namespaces/../../../../x.json", body: "x"}), want: ErrUnsafe, wantText: "../x.json"},
		"a path that begins above":     {data: tarball(t, version, entry{name: "../x", body: "x"}), want: ErrUnsafe},
		"a folder that leads out":      {data: tarball(t, version, entry{name: "../x/", typ: tar.TypeDir}), want: ErrUnsafe},
		"an absolute path":             {data: tarball(t, version, entry{name: "/etc/passwd", body: "x"}), want: ErrUnsafe, wantText: "/etc/passwd"},
		"a symbolic link":              {data: tarball(t, version, entry{name: "resources/pods", typ: tar.TypeSymlink, link: "/tmp"}), want: ErrUnsafe, wantText: "not a plain file"},
		"a hard link":                  {data: tarball(t, version, entry{name: "x", typ: tar.TypeLink, link: "/etc/passwd"}), want: ErrUnsafe},
		"a device":                     {data: tarball(t, version, entry{name: "x", typ: tar.TypeBlock}), want: ErrUnsafe},
		"more entries than allowed":    {data: whole, limits: Limits{MaxItems: 3}, want: ErrTooLarge, wantText: "3 entries"},
		"an entry beyond the limit":    {data: whole, limits: Limits{MaxItemBytes: 10}, want: ErrTooLarge, wantText: "more than 10"},
		"more bytes than the limit":    {data: whole, limits: Limits{MaxTotalBytes: 100}, want: ErrTooLarge, wantText: "100 bytes in all"},
		"more kinds than allowed":      {data: tarball(t, version, good, entry{name: "resources/secrets/cluster/a.json"}), limits: Limits{MaxResources: 1}, want: ErrTooLarge, wantText: "1 kinds"},
		"a name with a line break":     {data: tarball(t, version, entry{name: "resources/pods/namespaces/shop/a\nb.json"}), want: ErrUnsafe, wantText: `a\nb`},
		"a name with an escape":        {data: tarball(t, version, entry{name: "resources/pods/namespaces/shop/\x1b[2J.json"}), want: ErrUnsafe, wantText: `\x1b`},
		"a name that is no text":       {data: tarball(t, version, entry{name: "resources/pods/namespaces/shop/\xff.json"}), want: ErrUnsafe, wantText: `\xff`},
		"a name too long for files":    {data: tarball(t, version, entry{name: "resources/pods/namespaces/shop/" + strings.Repeat("x", 300) + ".json"}), want: ErrUnsafe, wantText: "250 bytes"},
		"a namespace too long":         {data: tarball(t, version, entry{name: "resources/pods/namespaces/" + strings.Repeat("x", 300) + "/a.json"}), want: ErrUnsafe, wantText: "250 bytes"},
		"a path of 100 000 bytes":      {data: tarball(t, version, entry{name: "resources/pods/namespaces/" + strings.Repeat("x", 100_000) + "/a.json"}), want: ErrUnsafe, wantText: "…"},
		"a folder of folders":          {data: tarball(t, version, entry{name: strings.Repeat("../", 5000) + "x"}), want: ErrUnsafe, wantText: "…"},
		"a fifo":                       {data: tarball(t, version, entry{name: "x", typ: tar.TypeFifo}), want: ErrUnsafe},
		"a backslash path upwards":     {data: tarball(t, version, entry{name: "..\\..\\x\x7f", body: "x"}), want: ErrUnsafe},
		"a path element that is a dot": {data: tarball(t, version, entry{name: "resources/./cluster/a.json"}), want: ErrUnsafe},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			parent := t.TempDir()
			dir := filepath.Join(parent, "scratch")
			g.Expect(os.Mkdir(dir, 0o700)).To(Succeed())

			_, err := Extract(bytes.NewReader(tc.data), dir, tc.limits)

			g.Expect(err).To(MatchError(tc.want))
			g.Expect(err).To(MatchError(ContainSubstring(tc.wantText)))
			g.Expect(filesUnder(t, parent)).To(Equal([]string{"scratch"}), "nothing is left, nothing else is touched")
		})
	}
}

func filesUnder(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		if name != "." {
			names = append(names, name)
		}
		return err
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return names
}

func TestExtractPassesReadErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection broke")
	half := bytes.NewReader(write(t, item(pods, "shop", "a"))[:100])

	_, err := Extract(io.MultiReader(half, iotest.ErrReader(broken)), t.TempDir(), Limits{})

	NewWithT(t).Expect(err).To(MatchError(broken))
}

func TestCloseRemovesTheDirectory(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	dir := t.TempDir()
	e, err := Extract(bytes.NewReader(write(t, item(pods, "shop", "a"))), dir, Limits{})
	g.Expect(err).NotTo(HaveOccurred())

	g.Expect(e.Close()).To(Succeed())
	g.Expect(e.Close()).To(Succeed(), "twice")

	g.Expect(filesUnder(t, dir)).To(BeEmpty())
}

// What cannot be an object is an error of that object, not of the archive.
func TestReadRefusesHostileItems(t *testing.T) {
	t.Parallel()
	begin := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop"},"x":`
	for name, tc := range map[string]struct {
		content string
		want    error
	}{
		"deep nesting":               {begin + strings.Repeat("[", 2000), ErrTooLarge},
		"deep and closed":            {begin + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}", ErrTooLarge},
		"many small values":          {begin + "[" + strings.Repeat("{},", 5_000_000) + "{}]}", ErrTooLarge},
		"one large field":            {begin + `"` + strings.Repeat("x", 9<<20) + `"}`, ErrTooLarge},
		"a list":                     {"[]", ErrCorrupt},
		"a list of objects":          {`{"apiVersion":"v1","kind":"List","items":[]}`, ErrCorrupt},
		"a name that is a number":    {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":1,"namespace":"shop"}}`, ErrCorrupt},
		"metadata that is a string":  {`{"apiVersion":"v1","kind":"Pod","metadata":"a"}`, ErrCorrupt},
		"a kind that is a list":      {`{"apiVersion":"v1","kind":["Pod"],"metadata":{"name":"a","namespace":"shop"}}`, ErrCorrupt},
		"NUL in the name":            {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a\u0000","namespace":"shop"}}`, ErrCorrupt},
		"nothing":                    {"", ErrCorrupt},
		"two objects":                {begin + "1}" + begin + "1}", ErrCorrupt},
		"bytes that are no text":     {"\xff\xfe\x00", ErrCorrupt},
		"a name of a thousand bytes": {`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"` + strings.Repeat("x", 100_000) + `","namespace":"shop"}}`, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			e := extract(t, tarball(t, version,
				entry{name: "resources/pods/namespaces/shop/a.json", body: tc.content},
				entry{name: "resources/pods/namespaces/shop/b.json", body: string(object("shop", "b"))}))

			_, err := e.Item(pods, "shop", "a").Read()

			g.Expect(err).To(MatchError(tc.want))
			g.Expect(len(err.Error())).To(BeNumerically("<", 2000))
			_, err = e.Item(pods, "shop", "b").Read()
			g.Expect(err).NotTo(HaveOccurred(), "the next item is not affected")
		})
	}
}

func TestNamesOfOneFolderAreBounded(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	e, err := Extract(bytes.NewReader(write(t, item(pods, "shop", "aaaaaaaa"), item(pods, "shop", "bbbbbbbb"))), t.TempDir(), Limits{MaxNameBytes: 10})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = e.Close() })

	for _, err = range e.Items(pods) {
	}

	g.Expect(err).To(And(MatchError(ErrTooLarge), MatchError(ContainSubstring("10 bytes"))))
}

// zeros is a tar file without an end: entries of zeros, whose sizes and names are
// all right.
func zeros(t *testing.T, entryBytes int64, entries int) []byte {
	t.Helper()
	g := NewWithT(t)
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	g.Expect(err).NotTo(HaveOccurred())
	tw := tar.NewWriter(zw)
	content := make([]byte, entryBytes)
	for i := range entries {
		g.Expect(tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("resources/pods/v1-preferredversion/cluster/%d.json", i), Size: entryBytes, Typeflag: tar.TypeReg})).To(Succeed())
		_, err := tw.Write(content)
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Expect(errors.Join(tw.Close(), zw.Close())).To(Succeed())
	return b.Bytes()
}

func TestBombIsRefusedByItsRatio(t *testing.T) {
	g := NewWithT(t)
	data := zeros(t, 30<<20, 40)
	dir := t.TempDir()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	_, err := Extract(bytes.NewReader(data), dir, Limits{})

	runtime.ReadMemStats(&after)
	g.Expect(err).To(And(MatchError(ErrTooLarge), MatchError(ContainSubstring("200 times"))))
	g.Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<", 8<<20), "allocated in all")
	g.Expect(filesUnder(t, dir)).To(BeEmpty())
}

// Memory does not grow with the number of entries.
func TestManyTinyEntriesTakeLittleMemory(t *testing.T) {
	g := NewWithT(t)
	const entries = 100_000
	data := zeros(t, 0, entries)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	_, err := Extract(bytes.NewReader(data), t.TempDir(), Limits{MaxItems: entries - 1})

	runtime.ReadMemStats(&after)
	g.Expect(err).To(MatchError(ErrTooLarge))
	g.Expect(after.TotalAlloc-before.TotalAlloc).To(BeNumerically("<", 1500*entries), "garbage included, per entry")
	g.Expect(after.HeapAlloc).To(BeNumerically("<", before.HeapAlloc+64<<20))
}

// An archive of a stranger may be refused, but nothing outside of the directory
// is touched, and what is taken can be read.
func FuzzExtract(f *testing.F) {
	f.Add(write(f, item(pods, "shop", "a"), item(roles, "", "system:x")))
	f.Add(tarball(f, version, entry{name: "../x", body: "x"}))
	f.Add(tarball(f, version, entry{name: "resources/pods", typ: tar.TypeSymlink, link: "/"}))
	f.Add(tarball(f, version, entry{name: "resources/pods/cluster/a\n\x1b.json"}, entry{name: "/etc/passwd"}))
	f.Add(tarball(f, version, entry{name: "x", typ: tar.TypeLink, link: "/etc/passwd"}))
	f.Add(tarball(f, version, entry{name: "resources/pods/cluster/a.json", body: strings.Repeat("[", 500)}))
	f.Add(tarball(f, version, entry{name: "resources/pods/cluster/" + strings.Repeat("x", 260) + ".json"}))
	f.Add(tarball(f, entry{name: versionEntry, body: "2"}))
	f.Add([]byte("\x1f\x8b"))
	f.Add(tarball(f, version, entry{name: "resources/a/cluster/b.json"}, entry{name: "resources/a/cluster/b.json/c.json"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := NewWithT(t)
		parent := t.TempDir()
		dir := filepath.Join(parent, "scratch")
		g.Expect(os.Mkdir(dir, 0o700)).To(Succeed())

		e, err := Extract(bytes.NewReader(data), dir, Limits{MaxItems: 100, MaxItemBytes: 1 << 16, MaxTotalBytes: 1 << 20})
		if err != nil {
			g.Expect(errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnsafe) || errors.Is(err, ErrVersion) || errors.Is(err, ErrTooLarge)).To(BeTrue(), err.Error())
		} else {
			for _, gr := range e.Resources() {
				for ref, err := range e.Items(gr) {
					g.Expect(err).NotTo(HaveOccurred())
					_, _ = ref.Read()
				}
			}
			g.Expect(e.Close()).To(Succeed())
		}

		g.Expect(filesUnder(t, parent)).To(Equal([]string{"scratch"}))
	})
}
