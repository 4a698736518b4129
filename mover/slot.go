package mover

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/podkeep/podkeep/internal/wire"
)

const (
	// slotPollInterval is far below what starting a container takes; a file of a
	// downward API volume is replaced by a rename, so reading it is atomic.
	slotPollInterval = 20 * time.Millisecond

	// staleAfter is the wait after which a repository is read anew: other movers
	// may have added to it.
	staleAfter = time.Minute
)

// waitForSlot says that the mover is prepared, and returns when it may move
// data. It returns how long that took.
func waitForSlot(ctx context.Context, slotFile string, r *reporter) (time.Duration, error) {
	start := r.out.Clock.Now()
	r.message(wire.Message{Type: wire.MessagePrepared})

	for slotFile != "" && !isGranted(slotFile) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-r.out.Clock.After(slotPollInterval):
		}
	}
	r.message(wire.Message{Type: wire.MessageStarted})
	return r.out.Clock.Since(start), ctx.Err()
}

// isGranted takes a file that cannot be read as one that is not there yet.
func isGranted(slotFile string) bool {
	content, err := os.ReadFile(slotFile)
	return err == nil && strings.TrimSpace(string(content)) == wire.SlotGranted
}
