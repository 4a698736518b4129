package suite

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// FixturePassword opens the repositories of the fixture bucket.
const FixturePassword = "static-passw0rd"

// Fixture returns the path of a file of the fixtures that real Velero 1.18
// wrote, or skips the test when they are not there. They lie in the folder that
// PODKEEP_SHARED names, or in "shared" beside the repository.
func Fixture(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("PODKEEP_SHARED")
	if root == "" {
		root = filepath.Join(Root(), "..", "shared")
	}
	file := filepath.Join(root, "fixtures", "velero-1.18", name)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is missing: Velero's fixtures are not in this checkout; name their folder with PODKEEP_SHARED", file)
	}
	return file
}

// UnpackFixtureBucket writes the fixture bucket below dir.
func UnpackFixtureBucket(t *testing.T, dir string) {
	t.Helper()
	g := NewWithT(t)
	f, err := os.Open(Fixture(t, "bucket.tar.gz"))
	g.Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	gz, err := gzip.NewReader(f)
	g.Expect(err).NotTo(HaveOccurred())
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		g.Expect(err).NotTo(HaveOccurred())
		file := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag == tar.TypeDir {
			g.Expect(os.MkdirAll(file, 0o755)).To(Succeed())
			continue
		}
		g.Expect(os.MkdirAll(filepath.Dir(file), 0o755)).To(Succeed())
		out, err := os.Create(file)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = io.Copy(out, tr)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(out.Close()).To(Succeed())
	}
}

// expectedEntry is one line of expected-data.jsonl.
type expectedEntry struct {
	Path    string `json:"path"`
	Type    string `json:"type"` // -, d, l, p
	Mode    string `json:"mode"` // 0o644
	UID     uint32 `json:"uid"`
	GID     uint32 `json:"gid"`
	MtimeNS int64  `json:"mtime_ns"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Target  string `json:"target"`
}

// ExpectFixtureData compares a folder with expected-data.jsonl: volume data of
// pod shop/db-0 as Velero's backup shop-1 saw it. The fifo is not in the
// repository, and a modification time that the fixture leaves out is not
// compared.
func ExpectFixtureData(t *testing.T, dir string) {
	t.Helper()
	g := NewWithT(t)
	raw, err := os.ReadFile(Fixture(t, "expected-data.jsonl"))
	g.Expect(err).NotTo(HaveOccurred())
	entries, err := ReadTree(dir)
	g.Expect(err).NotTo(HaveOccurred())
	got := map[string]Entry{}
	for _, e := range entries {
		if e.Path != "." {
			got[e.Path] = e
		}
	}
	types := map[string]string{"-": "file", "d": "dir", "l": "symlink"}
	want := map[string]Entry{}
	for line := range strings.Lines(string(raw)) {
		var x expectedEntry
		g.Expect(json.Unmarshal([]byte(line), &x)).To(Succeed())
		if types[x.Type] == "" {
			continue
		}
		e := Entry{Path: x.Path, Type: types[x.Type], Mode: parseMode(g, x.Mode), UID: x.UID, GID: x.GID, MtimeNS: x.MtimeNS, Size: x.Size, SHA256: x.SHA256, Target: x.Target}
		if x.MtimeNS == 0 { // left out for links and directories
			e.MtimeNS = got[x.Path].MtimeNS
		}
		want[x.Path] = e
	}
	g.Expect(got).To(Equal(want))
}

func parseMode(g *WithT, text string) uint32 {
	var mode uint32
	for _, d := range strings.TrimPrefix(text, "0o") {
		g.Expect(d).To(And(BeNumerically(">=", '0'), BeNumerically("<=", '7')))
		mode = mode<<3 + uint32(d-'0')
	}
	return mode
}
