package residency

import (
	"os"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestReadOnlyTakesOnlyWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	maps := `00400000-00800000 r-xp 00000000 fe:00 42 /podkeep
00800000-00c00000 r--p 00400000 fe:00 42 /podkeep
00c00000-00d00000 rw-p 00800000 fe:00 42 /podkeep
c000000000-c000400000 rw-p 00000000 00:00 0
7fff0000-7fff1000 r-xp 00000000 00:00 0 [vdso]
`
	got, err := readOnly(strings.NewReader(maps), "/podkeep")

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(Equal([]region{{0x400000, 0x800000}, {0x800000, 0xc00000}}))
}

func TestReleaseShrinksAndTheProgramGoesOn(t *testing.T) {
	g := NewWithT(t)
	before := fileBytes(g)

	g.Expect(Release()).To(Succeed())

	g.Expect(fileBytes(g)).To(BeNumerically("<", before))
}

func fileBytes(g *WithT) int {
	raw, err := os.ReadFile("/proc/self/status")
	g.Expect(err).NotTo(HaveOccurred())
	_, rest, found := strings.Cut(string(raw), "RssFile:")
	g.Expect(found).To(BeTrue())
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	g.Expect(err).NotTo(HaveOccurred())
	return kilobytes
}
