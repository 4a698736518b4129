package objectstore

import (
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
)

func TestGuard(t *testing.T) {
	t.Run("a request that stalls is canceled and says so", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			guard := newGuard(t.Context(), time.Minute)
			defer guard.stop()

			<-guard.ctx.Done()

			g.Expect(guard.explain(guard.ctx.Err())).To(MatchError(ErrUnavailable))
			g.Expect(guard.explain(nil)).To(Succeed(), "it was done in the last moment")
		})
	})
	t.Run("progress postpones the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			guard := newGuard(t.Context(), time.Minute)
			defer guard.stop()

			for range 5 {
				time.Sleep(50 * time.Second)
				guard.progress()
			}

			g.Expect(guard.ctx.Err()).NotTo(HaveOccurred())
		})
	})
	t.Run("a caller that gives up is not a stall", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := NewWithT(t)
			guard := newGuard(t.Context(), time.Minute)

			guard.stop()
			<-guard.ctx.Done()

			g.Expect(guard.explain(guard.ctx.Err())).NotTo(MatchError(ErrUnavailable))
		})
	})
}
