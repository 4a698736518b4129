package progressview

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestScreen(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var s Screen

	g.Expect(s.Paint([]string{"one", "two"}, 80)).To(Equal("\rone\x1b[K\ntwo\x1b[K\n\x1b[J"), "the first frame")
	g.Expect(s.Paint([]string{"one", "two"}, 80)).To(BeEmpty(), "nothing has changed")
	g.Expect(s.Paint([]string{"1", "two", "three"}, 80)).To(Equal("\r\x1b[2A1\x1b[K\ntwo\x1b[K\nthree\x1b[K\n\x1b[J"), "over the last frame")
	g.Expect(s.Paint([]string{"one"}, 4)).To(Equal("\r\x1b[4Aone\x1b[K\n\x1b[J"), "three has wrapped into two rows")
	g.Expect(s.Paint(nil, 4)).To(Equal("\r\x1b[1A\x1b[J"), "an empty frame")
}
