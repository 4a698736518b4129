// Package progress prints what a long command does, with the time since its
// start, so that a reader sees that it is alive and what takes long.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Printer prints lines such as "[ 12s] building containerd v2.2.9". It may be
// used from several goroutines.
type Printer struct {
	mu    sync.Mutex
	out   io.Writer
	now   func() time.Time
	start time.Time
}

// New returns a Printer whose time starts now.
func New(out io.Writer, now func() time.Time) *Printer {
	return &Printer{out: out, now: now, start: now()}
}

// Printf prints one line.
func (p *Printer) Printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := p.now().Sub(p.start).Seconds()
	fmt.Fprintf(p.out, "[%3.0fs] %s\n", elapsed, fmt.Sprintf(format, args...))
}
