package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/describe"
)

// retryBackoff is how a cluster that does not answer is asked again: soon enough
// that a restarted API server is noticed within seconds.
var retryBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 10, Cap: 5 * time.Second}

// follower watches an object and its volumes. Watches that end, and API servers
// that go away, are what reflectors are made for.
type follower struct {
	cluster  cluster
	waiting  waiting
	clock    clock.WithTicker
	requests *mirror
	volumes  *mirror
	changed  chan struct{}
}

func newFollower(t cluster, w waiting, clk clock.WithTicker) *follower {
	f := &follower{cluster: t, waiting: w, clock: clk, changed: make(chan struct{}, 1)}
	one := []client.ListOption{
		client.InNamespace(w.object.GetNamespace()),
		client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", w.object.GetName())},
	}
	f.requests = newMirror(t, w.kind.newList(), one, f.changed)
	f.volumes = newMirror(t, w.kind.runs.volumeList(), f.volumeOptions(), f.changed)
	return f
}

func (f *follower) volumeOptions() []client.ListOption {
	return []client.ListOption{
		client.InNamespace(f.waiting.object.GetNamespace()),
		client.MatchingLabels{f.waiting.kind.runs.uidLabel: string(f.waiting.object.GetUID())},
	}
}

// ending is a finished object and its volumes.
type ending struct {
	object  any
	volumes []any
}

// follow shows what the watches tell until the object is finished, and returns
// it. It ends early when the context does, when the object is deleted, or when
// the cluster refuses for good.
func (f *follower) follow(ctx context.Context, v view) (*ending, error) {
	ctx, cancel := context.WithCancel(klog.NewContext(ctx, logr.Discard()))
	var watches sync.WaitGroup
	defer watches.Wait()
	defer cancel()
	watches.Go(func() { f.requests.run(ctx, f.waiting.object) })
	watches.Go(func() { f.volumes.run(ctx, f.waiting.kind.runs.volume) })

	ticker := f.clock.NewTicker(frameInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-f.changed:
		case <-ticker.C():
		}
		if end, err := f.look(ctx, v); end != nil || err != nil {
			return end, err
		}
	}
}

// look shows the present state. It returns the end when it is reached.
func (f *follower) look(ctx context.Context, v view) (*ending, error) {
	if err := errors.Join(f.requests.refusal(), f.volumes.refusal()); err != nil {
		return nil, err
	}
	now := f.clock.Now()
	if !f.requests.hasSynced() || !f.volumes.hasSynced() {
		v.connecting(f.trouble())
		return nil, nil
	}
	obj := f.current()
	if obj == nil {
		return nil, fmt.Errorf("%s %q was deleted while it was waited for", f.waiting.kind.name, f.waiting.object.GetName())
	}
	state := f.waiting.state(obj, f.volumes.List(), now)
	if !state.Finished {
		state.Trouble = f.trouble()
		v.show(now, state)
		return nil, nil
	}
	end := &ending{object: obj, volumes: f.lastVolumes(ctx)}
	v.last(now, f.waiting.state(obj, end.volumes, now))
	return end, nil
}

// lastVolumes reads the volumes once more: the watch on them may be behind the
// one on the object. Should that fail, what the watch has told is good enough.
func (f *follower) lastVolumes(ctx context.Context) []any {
	list := f.waiting.kind.runs.volumeList()
	if f.cluster.List(ctx, list, f.volumeOptions()...) != nil {
		return f.volumes.List()
	}
	objects, err := meta.ExtractList(list)
	if err != nil {
		return f.volumes.List()
	}
	volumes := make([]any, 0, len(objects))
	for _, o := range objects {
		volumes = append(volumes, o)
	}
	return volumes
}

// current is the object that was created; nil when it is gone, also when another
// of the same name has taken its place.
func (f *follower) current() any {
	for _, o := range f.requests.List() {
		if obj, ok := o.(client.Object); ok && obj.GetUID() == f.waiting.object.GetUID() {
			return o
		}
	}
	return nil
}

// trouble says that the watches are cut off; the address of the request is left
// out, because the end of the text is what does not fit.
func (f *follower) trouble() string {
	err := cmp.Or(f.requests.lastError(), f.volumes.lastError())
	if err == nil {
		return ""
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return "the cluster does not answer, trying again: " + describe.OneLine(err.Error())
}

// mirror is a local copy of a list that a watch keeps.
type mirror struct {
	cache.Store
	source  cache.ListerWatcher
	changed chan<- struct{}

	mu     sync.Mutex
	synced bool  // guarded by mu
	err    error // guarded by mu; of the last request, nil when it succeeded
}

func newMirror(t cluster, list client.ObjectList, options []client.ListOption, changed chan<- struct{}) *mirror {
	m := &mirror{Store: cache.NewStore(cache.MetaNamespaceKeyFunc), changed: changed}
	m.source = cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if o.ResourceVersion == "0" {
				// The API server's cache may not have what was just created.
				o.ResourceVersion = ""
			}
			result, ok := list.DeepCopyObject().(client.ObjectList)
			if !ok {
				return nil, fmt.Errorf("listing %T: not a list", list)
			}
			err := t.List(ctx, result, append(options, &client.ListOptions{Raw: &o})...)
			m.note(ctx, err)
			return result, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := t.Watch(ctx, list, append(options, &client.ListOptions{Raw: &o})...)
			m.note(ctx, err)
			return w, err
		},
	}, t.WithWatch)
	return m
}

func (m *mirror) run(ctx context.Context, example runtime.Object) {
	backoff := retryBackoff
	r := cache.NewReflectorWithOptions(m.source, example, m, cache.ReflectorOptions{Backoff: &backoff})
	r.RunWithContext(ctx)
}

// note remembers how a request went; the end of the waiting itself is no failure.
func (m *mirror) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
	m.notify()
}

func (m *mirror) lastError() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// refusal is the last error when it is one that trying again does not mend.
func (m *mirror) refusal() error {
	err := m.lastError()
	if isNotInstalled(err) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return err
	}
	return nil
}

func (m *mirror) hasSynced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.synced
}

// notify says that there is something new; it never waits, because one note is
// as good as many.
func (m *mirror) notify() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Add takes in an object that is new.
func (m *mirror) Add(obj any) error {
	defer m.notify()
	return m.Store.Add(obj)
}

// Update takes in an object that has changed.
func (m *mirror) Update(obj any) error {
	defer m.notify()
	return m.Store.Update(obj)
}

// Delete takes out an object that is gone.
func (m *mirror) Delete(obj any) error {
	defer m.notify()
	return m.Store.Delete(obj)
}

// Replace takes in a whole list.
func (m *mirror) Replace(list []any, resourceVersion string) error {
	if err := m.Store.Replace(list, resourceVersion); err != nil {
		return err
	}
	m.mu.Lock()
	m.synced = true
	m.mu.Unlock()
	m.notify()
	return nil
}
