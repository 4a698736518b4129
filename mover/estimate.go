package mover

import (
	"context"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	"k8s.io/utils/clock"
)

// estimateDelay spares small volumes the walk: they are done before anybody
// sees a progress bar.
const estimateDelay = time.Second

// estimate walks a volume and reports its growing size. It is only for the
// progress bar, so it counts what it can and never fails.
func estimate(ctx context.Context, clk clock.Clock, root kopiafs.Directory, report func(bytes int64)) {
	select {
	case <-ctx.Done():
		return
	case <-clk.After(estimateDelay):
	}
	if total := sizeOf(ctx, root); ctx.Err() == nil {
		report(total)
	}
}

func sizeOf(ctx context.Context, dir kopiafs.Directory) int64 {
	it, err := dir.Iterate(ctx)
	if err != nil {
		return 0
	}
	defer it.Close()

	var total int64
	for {
		entry, err := it.Next(ctx)
		if err != nil || entry == nil {
			return total
		}
		switch e := entry.(type) {
		case kopiafs.Directory:
			total += sizeOf(ctx, e)
		case kopiafs.File:
			total += e.Size()
		}
		entry.Close()
	}
}
