package coverage

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// store keeps, of the objects of one kind, what keep returns. It is filled by a
// reflector, which lists once and watches after that. The zero value is not usable;
// newStore makes one.
type store[T any] struct {
	keep func(client.Object) (kept T, ok bool)

	mu     sync.RWMutex
	items  map[string]T // by namespace and name; guarded by mu
	synced bool         // guarded by mu
}

func newStore[T any](keep func(client.Object) (T, bool)) *store[T] {
	return &store[T]{keep: keep, items: map[string]T{}}
}

// slim is an object on its way into the store. It has a name, because the reflector
// collects the answer to its first request under the names of objects.
type slim[T any] struct {
	metav1.ObjectMeta

	kept T
	ok   bool
}

// Transformer has the reflector collect slim objects: all pods of a cluster at once
// would need more memory than all else.
func (s *store[T]) Transformer() cache.TransformFunc {
	return func(in any) (any, error) { return s.slim(in), nil }
}

// slim returns nil for what is no object.
func (s *store[T]) slim(in any) *slim[T] {
	switch o := in.(type) {
	case *slim[T]:
		return o
	case cache.DeletedFinalStateUnknown:
		return s.slim(o.Obj)
	case client.Object:
		kept, ok := s.keep(o)
		return &slim[T]{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()}, kept: kept, ok: ok}
	default:
		return nil
	}
}

// Add implements cache.ReflectorStore.
func (s *store[T]) Add(in any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(s.items, in)
	return nil
}

// Update implements cache.ReflectorStore.
func (s *store[T]) Update(in any) error { return s.Add(in) }

// Delete implements cache.ReflectorStore.
func (s *store[T]) Delete(in any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.slim(in); o != nil {
		delete(s.items, o.key())
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *store[T]) Replace(list []any, _ string) error {
	items := make(map[string]T, len(list))
	for _, in := range list {
		s.set(items, in)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items, s.synced = items, true
	return nil
}

// Resync implements cache.ReflectorStore: there is nothing to do.
func (s *store[T]) Resync() error { return nil }

func (o *slim[T]) key() string { return o.Namespace + "/" + o.Name }

// set takes in one object; one that nothing is kept of any more goes.
func (s *store[T]) set(items map[string]T, in any) {
	switch o := s.slim(in); {
	case o == nil:
	case o.ok:
		items[o.key()] = o.kept
	default:
		delete(items, o.key())
	}
}

// list returns what is kept, in no order, and whether all objects have been seen
// once.
func (s *store[T]) list() (items []T, synced bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	items = make([]T, 0, len(s.items))
	for _, item := range s.items {
		items = append(items, item)
	}
	return items, s.synced
}

// source is a kind of objects for a reflector.
type source struct {
	client client.WithWatch
	object client.Object            // of the kind
	list   func() client.ObjectList // a new list of the kind
}

// fill runs a reflector until the context ends.
func fill[T any](ctx context.Context, s *store[T], from source) error {
	lists := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list := from.list()
			err := from.client.List(ctx, list, &client.ListOptions{Limit: o.Limit, Continue: o.Continue, Raw: &o})
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			return from.client.Watch(ctx, from.list(), &client.ListOptions{Raw: &o})
		},
	}
	cache.NewReflectorWithOptions(lists, from.object, s, cache.ReflectorOptions{Name: "coverage"}).RunWithContext(ctx)
	return nil
}
