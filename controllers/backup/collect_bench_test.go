package backup

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	testingclock "k8s.io/utils/clock/testing"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/itemlog"
)

// BenchmarkOutput writes backups of more and more items. "live-KiB" is the heap
// that is still reachable after the last item, before the files are closed: it
// must not grow with the number of items, beyond their names.
func BenchmarkOutput(b *testing.B) {
	for _, items := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("items=%d", items), func(b *testing.B) {
			g := NewWithT(b)
			var live uint64
			for b.Loop() {
				live = writeItems(b.Context(), g, b.TempDir(), items)
			}
			b.ReportMetric(float64(live)/1024, "live-KiB")
		})
	}
}

// writeItems returns the bytes that are live when the items have been written.
func writeItems(ctx context.Context, g *WithT, dir string, items int) uint64 {
	clk := testingclock.NewFakePassiveClock(t0)
	log, err := itemlog.New(itemlog.Options{Dir: dir, Clock: clk})
	g.Expect(err).NotTo(HaveOccurred())
	out, err := newOutput(dir, clk, log, &progress{clock: clk, patched: t0})
	g.Expect(err).NotTo(HaveOccurred())
	res := coreResource("configmaps", "ConfigMap", true)

	before := liveBytes()
	for i := range items {
		u := item("v1", "ConfigMap", "app", fmt.Sprintf("settings-%06d", i),
			withLabel(velerov1.FSBackupLabel, "x"), withField(strings.Repeat("x", 1024), "data", "file"))
		g.Expect(out.add(ctx, res, u)).To(Succeed())
		if i%largestPage == 0 {
			log.Info("Skipping item", "name", u.GetName())
		}
	}
	after := liveBytes()

	g.Expect(out.finish()).To(Succeed())
	g.Expect(out.Close()).To(Succeed())
	g.Expect(log.Close()).To(Succeed())
	return after - min(before, after)
}

func liveBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
