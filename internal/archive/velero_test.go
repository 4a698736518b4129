package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
)

const (
	sharedVariable  = "PODKEEP_SHARED"
	sharedDefault   = "../../../shared" // beside the repository
	fixtureBucket   = "fixtures/velero-1.18/bucket.tar.gz"
	fixtureContents = "backups/shop-1/shop-1.tar.gz"
)

// veleroArchive returns an item archive that real Velero wrote.
func veleroArchive(t *testing.T) []byte {
	t.Helper()
	g := NewWithT(t)
	shared := os.Getenv(sharedVariable)
	if shared == "" {
		shared = sharedDefault
	}
	file, err := os.Open(filepath.Join(shared, fixtureBucket))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("skipped: the fixtures are not here; set %s to the folder that has %s", sharedVariable, fixtureBucket)
	}
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = file.Close() }()

	zr, err := gzip.NewReader(file)
	g.Expect(err).NotTo(HaveOccurred())
	tr := tar.NewReader(zr)
	for {
		header, err := tr.Next()
		g.Expect(err).NotTo(HaveOccurred(), "%s has no %s", fixtureBucket, fixtureContents)
		if strings.TrimPrefix(header.Name, "./") == fixtureContents {
			content, err := io.ReadAll(tr)
			g.Expect(err).NotTo(HaveOccurred())
			return content
		}
	}
}

func TestExtractVelerosArchive(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	e := extract(t, veleroArchive(t))

	g.Expect(e.Resources()).To(ContainElements(
		pods, namespaces, schema.GroupResource{Group: "apps", Resource: "statefulsets"},
		schema.GroupResource{Resource: "persistentvolumes"}, schema.GroupResource{Resource: "persistentvolumeclaims"},
	))
	g.Expect(itemNames(t, e, pods)).To(ContainElement("pods shop/db-0"))
	for _, gr := range e.Resources() {
		for ref, err := range e.Items(gr) {
			g.Expect(err).NotTo(HaveOccurred())
			_, err := ref.Read()
			g.Expect(err).NotTo(HaveOccurred(), ref.String())
		}
	}
}

// podkeep writes the same entries as Velero, when it is given the same objects.
func TestWriterWritesWhatVeleroWrites(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	want := entriesOf(t, veleroArchive(t))
	var b bytes.Buffer
	w, err := NewWriter(&b, clocktesting.NewFakePassiveClock(now))
	g.Expect(err).NotTo(HaveOccurred())

	for _, e := range want {
		if p, ok := parsePath(e.name); ok {
			version := "v1" // the preferred one of every group in the fixture
			g.Expect(w.Add(Item{GroupResource: p.resource, Version: version, Preferred: true, Namespace: p.namespace, Name: p.name, Object: []byte(e.body)})).To(Succeed())
		}
	}
	g.Expect(w.Close()).To(Succeed())

	g.Expect(entriesOf(t, b.Bytes())).To(Equal(want))
}

func entriesOf(t *testing.T, data []byte) []entry {
	t.Helper()
	g := NewWithT(t)
	zr, err := gzip.NewReader(bytes.NewReader(data))
	g.Expect(err).NotTo(HaveOccurred())
	tr := tar.NewReader(zr)
	var entries []entry
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		g.Expect(err).NotTo(HaveOccurred())
		body, err := io.ReadAll(tr)
		g.Expect(err).NotTo(HaveOccurred())
		entries = append(entries, entry{name: h.Name, body: string(body), typ: h.Typeflag})
	}
}
