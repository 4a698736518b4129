package itemlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/podkeep/podkeep/internal/layout"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func options(t *testing.T) Options {
	t.Helper()
	return Options{Dir: t.TempDir(), Clock: testingclock.NewFakePassiveClock(t0), Fields: []any{"backup", "velero/nightly"}}
}

// stored is what an upload of the log would keep.
func stored(g *WithT, l *Log) []byte {
	r, err := l.Open()
	g.Expect(err).NotTo(HaveOccurred())
	b, err := io.ReadAll(r)
	g.Expect(err).NotTo(HaveOccurred())
	return b
}

func unpack(g *WithT, b []byte) string {
	zr, err := gzip.NewReader(bytes.NewReader(b))
	g.Expect(err).NotTo(HaveOccurred())
	text, err := io.ReadAll(zr)
	g.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

func TestLines(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l, err := New(options(t))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(l.Close()).To(Succeed()) }()

	l.Info("Backing up volume", "pod", "app/web-0", "volume", "data")
	l.Warn(Entry{Namespace: "app", Resource: "pods", Name: "web-0", Message: "Volume is skipped", Err: errors.New(`not "running"`)})

	g.Expect(unpack(g, stored(g, l))).To(Equal(
		`time="2026-01-02T03:04:05Z" level=info msg="Backing up volume" pod=app/web-0 volume=data backup=velero/nightly` + "\n" +
			`time="2026-01-02T03:04:05Z" level=warning msg="Volume is skipped" namespace=app resource=pods name=web-0 error="not \"running\"" backup=velero/nightly` + "\n"))
}

func TestResults(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l, err := New(options(t))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(l.Close()).To(Succeed()) }()

	l.Warn(Entry{Namespace: "app", Resource: "pods", Name: "web-0", Message: "M", Err: errors.New("E")})
	l.Warn(Entry{Cluster: true, Message: "no PV"})
	l.Error(Entry{Message: "discovery"})
	l.ErrorOnce(Entry{Message: "discovery"})
	l.ErrorOnce(Entry{Namespace: "app", Message: "discovery"})

	g.Expect(l.Results()).To(Equal(layout.Results{
		Errors: layout.ResultSet{
			Velero:     []string{" message: /discovery"},
			Namespaces: map[string][]string{"app": {" message: /discovery"}},
		},
		Warnings: layout.ResultSet{
			Cluster:    []string{" message: /no PV"},
			Namespaces: map[string][]string{"app": {" resource: /pods name: /web-0 message: /M error: /E"}},
		},
	}))
	warnings, errs := l.Counts()
	g.Expect([]int{warnings, errs}).To(Equal([]int{2, 2}))
}

func TestResumeContinuesLinesAndResults(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	o := options(t)
	before, err := New(o)
	g.Expect(err).NotTo(HaveOccurred())
	before.Error(Entry{Namespace: "app", Message: "one"})
	interim := stored(g, before)
	results := before.Results()
	g.Expect(before.Close()).To(Succeed())

	after, err := Resume(o, bytes.NewReader(interim), results)
	g.Expect(err).NotTo(HaveOccurred())
	after.Info("two")
	after.Warn(Entry{Message: "three"})

	g.Expect(unpack(g, stored(g, after))).To(Equal(unpack(g, interim) +
		`time="2026-01-02T03:04:05Z" level=info msg="two" backup=velero/nightly` + "\n" +
		`time="2026-01-02T03:04:05Z" level=warning msg="three" backup=velero/nightly` + "\n"))
	warnings, errs := after.Counts()
	g.Expect([]int{warnings, errs}).To(Equal([]int{1, 1}))
	g.Expect(results.Warnings.Velero).To(BeEmpty(), "the caller's results are not changed")

	g.Expect(after.Close()).To(Succeed())
	left, err := os.ReadDir(o.Dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left).To(BeEmpty(), "a closed log leaves no scratch file")
}

func TestOpenSeesOnlyWhatWasWritten(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l, err := New(options(t))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(l.Close()).To(Succeed()) }()

	l.Info("one")
	first := stored(g, l)
	l.Info("two")

	g.Expect(unpack(g, first)).To(HaveSuffix("msg=\"one\" backup=velero/nightly\n"))
	g.Expect(unpack(g, stored(g, l))).To(ContainSubstring("two"))
}
