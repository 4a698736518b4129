package mover

import (
	"sync"
)

// maxSamples is how many names a finding keeps; a termination message has room
// for about as many.
const maxSamples = 20

// finding counts something and keeps the first names of it.
type finding struct {
	mu    sync.Mutex
	count int64    // guarded by mu
	names []string // guarded by mu
}

// add counts one more; name is for people.
func (f *finding) add(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if len(f.names) < maxSamples {
		f.names = append(f.names, name)
	}
}

func (f *finding) get() (int64, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, append([]string(nil), f.names...)
}
