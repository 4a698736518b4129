package archive

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	clocktesting "k8s.io/utils/clock/testing"
)

// The heap must not grow with the number of objects: compare heap-KiB of the
// sizes with each other.

func BenchmarkWriter(b *testing.B) {
	for _, objects := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(objects), func(b *testing.B) {
			for b.Loop() {
				writeMany(b, io.Discard, objects)
			}
		})
	}
}

func BenchmarkExtract(b *testing.B) {
	for _, objects := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(objects), func(b *testing.B) {
			var data bytes.Buffer
			writeMany(b, &data, objects)
			for b.Loop() {
				e, err := Extract(bytes.NewReader(data.Bytes()), b.TempDir(), Limits{})
				if err != nil {
					b.Fatal(err)
				}
				reportHeap(b)
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func writeMany(b *testing.B, to io.Writer, objects int) {
	b.Helper()
	w, err := NewWriter(to, clocktesting.NewFakePassiveClock(now))
	if err != nil {
		b.Fatal(err)
	}
	for i := range objects {
		if err := w.Add(item(pods, fmt.Sprintf("ns-%d", i%20), fmt.Sprintf("pod-%d", i))); err != nil {
			b.Fatal(err)
		}
	}
	reportHeap(b)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

func reportHeap(b *testing.B) {
	b.Helper()
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	b.ReportMetric(float64(stats.HeapAlloc)/1024, "heap-KiB")
}
