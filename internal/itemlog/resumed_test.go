package itemlog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/layout"
)

func pack(tb testing.TB, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	NewWithT(tb).Expect(errors.Join(err, w.Close())).To(Succeed())
	return b.Bytes()
}

func TestResumeLeavesDamagedLinesOut(t *testing.T) {
	t.Parallel()
	whole := pack(t, []byte("level=info msg=\"one\"\n"))
	checksum := bytes.Clone(whole)
	checksum[len(checksum)-6] ^= 0xff
	for name, tc := range map[string]struct {
		lines []byte
		want  string
	}{
		"what is not compressed":     {[]byte("level=info\n"), "it is damaged"},
		"half a file":                {whole[:len(whole)/2], "it is damaged"},
		"a file without its end":     {whole[:len(whole)-1], "it is damaged"},
		"a wrong checksum":           {checksum, "it is damaged"},
		"rubbish after the lines":    {append(bytes.Clone(whole), 0), "it is damaged"},
		"a bomb":                     {bytes.Repeat(pack(t, make([]byte, 64<<20)), 33), "more than"},
		"a file of more than it has": {make([]byte, maxResumedBytes+1), "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			o := options(t)
			results := layout.Results{Errors: layout.ResultSet{Velero: []string{" message: /before"}}}

			l, err := Resume(o, bytes.NewReader(tc.lines), results)

			g.Expect(err).NotTo(HaveOccurred())
			l.Info("two")
			text := unpack(g, stored(g, l))
			g.Expect(text).To(And(HavePrefix(`time="2026-01-02T03:04:05Z" level=warning msg="The log before this line is lost"`), ContainSubstring(tc.want), ContainSubstring("two")))
			g.Expect(l.Results().Errors).To(Equal(results.Errors), "the results go on")
			g.Expect(l.Results().Warnings.Velero).To(HaveLen(1))
			g.Expect(l.Close()).To(Succeed())
			left, err := os.ReadDir(o.Dir)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(left).To(BeEmpty())
		})
	}
}

func TestResumeSaysOnceThatLinesAreLost(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	first, err := Resume(options(t), strings.NewReader("damaged"), layout.Results{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = first.Close() })

	second, err := Resume(options(t), strings.NewReader("damaged"), first.Results())

	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = second.Close() })
	warnings, _ := second.Counts()
	g.Expect(warnings).To(Equal(1))
}

func TestResumeOfNothing(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	l, err := Resume(options(t), strings.NewReader(""), layout.Results{})

	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = l.Close() })
	warnings, _ := l.Counts()
	g.Expect(warnings).To(BeZero())
}

func TestResumePassesReadErrorsOn(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	broken := errors.New("connection broke")
	o := options(t)

	_, err := Resume(o, io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), layout.Results{})

	g.Expect(err).To(MatchError(broken))
	left, err := os.ReadDir(o.Dir)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left).To(BeEmpty())
}

// Nothing of a log is in memory.
func TestResumeTakesLittleMemory(t *testing.T) {
	g := NewWithT(t)
	lines := bytes.Repeat(pack(t, make([]byte, 16<<20)), 20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	l, err := Resume(options(t), bytes.NewReader(lines), layout.Results{})

	runtime.ReadMemStats(&after)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())
	g.Expect(after.TotalAlloc - before.TotalAlloc).To(BeNumerically("<", 4<<20))
}

// Whatever lies in the bucket, the log goes on and can be read.
func FuzzResume(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte("level=info\n"))
	f.Add(pack(f, []byte("level=info msg=one\n")))
	f.Add(append(pack(f, []byte("one\n")), pack(f, []byte("two\n"))...))
	f.Add(pack(f, []byte("level=info msg=one\n"))[:12])
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		g := NewWithT(t)
		l, err := Resume(options(t), bytes.NewReader(lines), layout.Results{})
		g.Expect(err).NotTo(HaveOccurred())
		l.Info("after")

		g.Expect(unpack(g, stored(g, l))).To(HaveSuffix(`msg="after" backup=velero/nightly` + "\n"))

		g.Expect(l.Close()).To(Succeed())
	})
}
