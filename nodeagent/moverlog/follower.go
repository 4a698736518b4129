// Package moverlog follows the logs of mover pods, which say at once what the
// kubelet reports a second later: that a mover is prepared, has started, how far
// it is, and how it ended.
//
// A Follower runs one goroutine per mover. It keeps what each mover said (State)
// and calls Notify when that is worth a reconcile. It decides nothing about
// movers and writes nothing to the API. A log is read from its beginning each
// time it is opened, so that a new node agent knows what the old one knew.
package moverlog

import (
	"context"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/internal/wire"
)

// Target is a mover pod. A new pod of the same name is another target.
type Target struct {
	Kind      wire.Kind // of the object it works for, which has the pod's name
	Namespace string
	Name      string
	UID       types.UID
}

// Opener opens the log of a container that runs, or has run, from the beginning,
// and follows it until the container ends. It returns an error while the
// container is not there yet.
type Opener interface {
	Open(ctx context.Context, t Target) (io.ReadCloser, error)
}

// PodLogs is the Opener of a cluster.
type PodLogs struct {
	Pods      corev1client.PodsGetter
	Container string
}

// Open implements Opener.
func (p PodLogs) Open(ctx context.Context, t Target) (io.ReadCloser, error) {
	return p.Pods.Pods(t.Namespace).
		GetLogs(t.Name, &corev1.PodLogOptions{Container: p.Container, Follow: true}).
		Stream(ctx)
}

// A mover's first words decide how fast ten small volumes go, so its log is
// wanted as soon as there is one. To ask the API server is expensive (a request to
// the kubelet for each try), to ask Begun is not: a log is opened when Begun says
// so, when Hurry is called, or every patientInterval, whatever comes first. The
// container runs a moment after it began to be made; hence retryInterval.
const (
	lookInterval    = 150 * time.Millisecond
	retryInterval   = 300 * time.Millisecond
	eagerTries      = 30
	patientInterval = 5 * time.Second
)

// Follower follows the logs of all movers of a node. Fields are set before Start
// and not changed after. It is a Runnable of a manager, which ends it.
type Follower struct {
	Logs  Opener
	Clock clock.Clock

	// Begun reports whether the container of a mover is being made, so that its log
	// can be opened now or in a moment. It is asked often. nil never says so.
	Begun func(t Target) bool

	// Notify is called when a mover has said something new, from the goroutine
	// that reads its log.
	Notify func(ctx context.Context, t Target, s State)

	mu      sync.Mutex
	ctx     context.Context     // of Start, nil before; guarded by mu
	tails   map[types.UID]*tail // guarded by mu
	running sync.WaitGroup      // of tails
}

// tail is one followed log.
type tail struct {
	target Target
	poke   chan struct{} // holds at most one wish to try now
	cancel context.CancelFunc
	state  State // guarded by Follower.mu
}

// Start follows the logs that Follow asks for until ctx ends. It returns when the
// last goroutine has ended.
func (f *Follower) Start(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	for _, t := range f.tails {
		f.run(t)
	}
	f.mu.Unlock()

	<-ctx.Done()
	f.mu.Lock()
	clear(f.tails) // once mu is ours, nobody is in the middle of run, and the next see that ctx ended
	f.mu.Unlock()
	f.running.Wait()
	return nil
}

// NeedLeaderElection says that every node's agent follows its own movers.
func (f *Follower) NeedLeaderElection() bool { return false }

// Follow begins to follow a mover. It does nothing for one that is followed.
func (f *Follower) Follow(target Target) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.tails[target.UID]; ok {
		return
	}
	t := &tail{target: target, poke: make(chan struct{}, 1)}
	if f.tails == nil {
		f.tails = map[types.UID]*tail{}
	}
	f.tails[target.UID] = t
	if f.ctx != nil {
		f.run(t)
	}
}

// Hurry opens the log of a followed mover at once, if it could not be opened yet:
// call it when its container is known to run.
func (f *Follower) Hurry(uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.tails[uid]
	if !ok {
		return
	}
	select {
	case t.poke <- struct{}{}:
	default:
	}
}

// Keep stops following all movers of an object but the one with this UID, and
// drops what they said. An empty UID keeps none.
func (f *Follower) Keep(kind wire.Kind, name string, uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, t := range f.tails {
		if t.target.Kind != kind || t.target.Name != name || id == uid {
			continue
		}
		delete(f.tails, id)
		if t.cancel != nil {
			t.cancel()
		}
	}
}

// State returns what a mover has said so far.
func (f *Follower) State(uid types.UID) State {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.tails[uid]; ok {
		return t.state
	}
	return State{}
}

// run starts the goroutine of a tail. The caller holds mu, and Start has begun.
func (f *Follower) run(t *tail) {
	if f.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(f.ctx)
	t.cancel = cancel
	f.running.Go(func() {
		defer cancel()
		f.follow(ctx, t)
	})
}

// follow opens the log again and again until the mover has said how it ended, or
// nobody wants to know any more.
func (f *Follower) follow(ctx context.Context, t *tail) {
	l := &log{}
	for tries := 0; f.await(ctx, t, tries); tries++ {
		if f.read(ctx, t, l) {
			return
		}
	}
}

// await waits until it is time to open the log, and reports whether anybody still
// wants to. tries is how often it was opened already.
func (f *Follower) await(ctx context.Context, t *tail, tries int) bool {
	interval := lookInterval
	if tries > 0 {
		interval = retryInterval
	}
	timer := f.Clock.NewTimer(interval)
	defer timer.Stop()
	for waited := interval; ; waited += interval {
		select {
		case <-ctx.Done():
			return false
		case <-t.poke:
			return true
		case <-timer.C():
		}
		if waited >= patientInterval || (tries < eagerTries && f.Begun != nil && f.Begun(t.target)) {
			return true
		}
		timer.Reset(interval)
	}
}

// read reads the log once and reports whether the mover has ended.
func (f *Follower) read(ctx context.Context, t *tail, l *log) bool {
	stream, err := f.Logs.Open(ctx, t.target)
	if err != nil {
		return false // the container is not there yet, or the pod is gone
	}
	defer stream.Close() //nolint:errcheck // only read
	l.restart()
	f.publish(t, l)
	// An error ends the log as its end does: it is opened again.
	_ = lines(stream, func(text string) bool {
		changed := l.line(text, f.Clock.Now())
		f.publish(t, l)
		if changed != changeNothing {
			f.Notify(ctx, t.target, l.state)
		}
		return l.state.Result != nil
	})
	return l.state.Result != nil
}

// publish lets State return what the log says by now.
func (f *Follower) publish(t *tail, l *log) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.state = l.state
}
