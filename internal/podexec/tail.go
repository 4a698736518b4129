package podexec

import (
	"fmt"
	"strings"
	"sync"
)

// tail keeps the end of what is written to it. It never fails: the other side must
// not stop for a full pipe.
type tail struct {
	limit int

	mu    sync.Mutex
	kept  []byte // guarded by mu
	total int64  // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += int64(len(p))
	t.kept = append(t.kept, p[max(0, len(p)-t.limit):]...)
	t.kept = t.kept[max(0, len(t.kept)-t.limit):]
	return len(p), nil
}

// String says how much is missing at the beginning. What is not text is left out:
// the output goes into JSON and logs.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.kept), ""))
	if missing := t.total - int64(len(t.kept)); missing > 0 {
		return fmt.Sprintf("(%d bytes before) %s", missing, text)
	}
	return text
}
