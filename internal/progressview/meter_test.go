package progressview

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestMeterMeasuresTheLastSeconds(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	m := NewMeter()
	observe := func(seconds float64, done int64) int64 {
		m.Observe(at(seconds), shop(moving("shop/web-0", "data", done)))
		return m.Rate("shop/web-0 data")
	}

	g.Expect(observe(0, 100*mebibyte)).To(BeZero(), "one sample is no rate")
	g.Expect(observe(2, 120*mebibyte)).To(Equal(int64(10 * mebibyte)))
	g.Expect(observe(4, 160*mebibyte)).To(Equal(int64(15 * mebibyte)))
	g.Expect(observe(8, 160*mebibyte)).To(Equal(int64(40*mebibyte/6)), "the window begins at its last sample before")
	g.Expect(observe(20, 160*mebibyte)).To(BeZero(), "what stands still has no rate")
	g.Expect(observe(21, 10*mebibyte)).To(BeZero(), "what begins again has no rate yet")
}

func TestMeterForgetsWhatDoesNotMove(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	m := measured(mixed())
	g.Expect(m.Total()).To(Equal(int64(40 * mebibyte)))

	m.Observe(at(5), shop(completed("shop/web-0", "data"), completed("shop/web-6d4b75cb6d-hx7bk-with-a-long-name", "uploads")))

	g.Expect(m.Total()).To(BeZero())
}
