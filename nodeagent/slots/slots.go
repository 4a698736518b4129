// Package slots says which movers of a node may exist and which of them may move
// data.
//
// A mover holds a slot, or it waits: either it is still being prepared, or it is
// ready and stands in line. Slots go to ready movers first, in the order in which
// they became ready, so that a slot never waits for a pod to start; a mover that
// nobody competes with gets one when it is made. The number of waiting movers is
// bounded too.
//
// The Ledger lives in one process and is safe for concurrent use. It is rebuilt
// from the mover pods at start (Adopt); between, it is ahead of every cache,
// which is why nobody counts pods. It makes no pods and writes no annotations:
// its methods return who may go on, and the caller looks at those again.
package slots

import (
	"slices"
	"sync"
)

// Standing is how a mover stands.
type Standing int

// The standings, from nothing to everything.
const (
	Unknown   Standing = iota // not in the ledger
	Preparing                 // may exist, not ready yet
	Ready                     // stands in line for a slot
	Granted                   // may move data
)

// Ledger accounts for the movers of one node, which are known by keys of type K.
type Ledger[K comparable] struct {
	slots int
	queue int

	mu      sync.Mutex
	movers  map[K]Standing // guarded by mu
	line    []K            // ready movers, first come first; guarded by mu
	refused []K            // wait for room in the queue, first come first; guarded by mu
}

// New returns a ledger for a node on which at most slots movers move data and at
// most queue more wait. Both are at least 1.
func New[K comparable](slots, queue int) *Ledger[K] {
	return &Ledger[K]{slots: max(slots, 1), queue: max(queue, 1), movers: map[K]Standing{}}
}

// Adopt enters a mover that exists already, as it stands, also when that is more
// than the ledger would allow. It changes nothing for a mover it knows.
func (l *Ledger[K]) Adopt(key K, granted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.movers[key] != Unknown {
		return
	}
	l.movers[key] = Preparing
	if granted {
		l.movers[key] = Granted
	}
}

// Standing returns how a mover stands.
func (l *Ledger[K]) Standing(key K) Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.movers[key]
}

// HasRoom reports whether Admit would take the mover now.
func (l *Ledger[K]) HasRoom(key K) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hasRoom(key)
}

// Len returns how many movers have not ended.
func (l *Ledger[K]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.movers)
}

// IsBusy reports whether there are movers that have not ended.
func (l *Ledger[K]) IsBusy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.movers) > 0
}

// Admit takes a mover that is about to be made and returns how it stands: Granted
// or Preparing, or Unknown when there is no room. Whoever is refused is returned
// by a later Ready or Release. A mover that the ledger knows keeps its standing.
//
// others is how many movers that the ledger does not know are wanted as well. A
// slot is given now only if there is one for each of them too: of movers that
// start at the same time the first is not the first to be ready.
func (l *Ledger[K]) Admit(key K, others int) Standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.movers[key] != Unknown:
	case !l.hasRoom(key):
		if !slices.Contains(l.refused, key) {
			l.refused = append(l.refused, key)
		}
		return Unknown
	case l.freeSlots() > l.waiting()+others:
		l.movers[key] = Granted
	default:
		l.movers[key] = Preparing
	}
	l.refused = without(l.refused, key)
	return l.movers[key]
}

// Ready puts a mover that is prepared in line. It returns whom to look at again:
// those that hold a slot now, perhaps the mover itself, and those for whom there
// is room now.
func (l *Ledger[K]) Ready(key K) []K {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.movers[key]; s == Ready || s == Granted {
		return nil
	}
	l.movers[key] = Ready
	l.line = append(l.line, key)
	return l.advance()
}

// Release takes a mover out that has ended, was never made, or whose object is
// gone. It returns whom to look at again.
func (l *Ledger[K]) Release(key K) []K {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = without(l.refused, key)
	if l.movers[key] == Unknown {
		return nil
	}
	delete(l.movers, key)
	l.line = without(l.line, key)
	return l.advance()
}

// advance gives free slots to the head of the line and returns it, followed by as
// many of the refused as there is room for. The caller holds mu.
func (l *Ledger[K]) advance() []K {
	n := min(max(l.freeSlots(), 0), len(l.line))
	again := slices.Clone(l.line[:n])
	l.line = slices.Delete(l.line, 0, n)
	for _, key := range again {
		l.movers[key] = Granted
	}
	return append(again, l.refused[:max(0, min(l.room(), len(l.refused)))]...)
}

// hasRoom reports whether a mover may exist. The caller holds mu.
func (l *Ledger[K]) hasRoom(key K) bool { return l.movers[key] != Unknown || l.room() > 0 }

// room is how many more movers may exist: one for each slot, and as many as may
// wait. The caller holds mu.
func (l *Ledger[K]) room() int { return l.slots + l.queue - len(l.movers) }

func (l *Ledger[K]) freeSlots() int {
	n := l.slots
	for _, s := range l.movers {
		if s == Granted {
			n--
		}
	}
	return n
}

func (l *Ledger[K]) waiting() int {
	n := 0
	for _, s := range l.movers {
		if s != Granted {
			n++
		}
	}
	return n
}

func without[K comparable](list []K, key K) []K {
	return slices.DeleteFunc(list, func(k K) bool { return k == key })
}
