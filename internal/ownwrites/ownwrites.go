// Package ownwrites lets a reconciler that reads from a cache see what it has
// written itself, while the cache is behind.
//
// A merge patch replaces whole lists, so a step that is decided from an object of
// two steps ago would turn conditions back. Reading from the API server instead
// costs a request per step.
package ownwrites

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Memory keeps the last object of each name that was written, for as long as the
// cache does not have it.
//
// It is no state: without it the same steps would be taken, with some writes more.
// The zero value is ready for use, by several goroutines.
type Memory[T any, P interface {
	*T
	client.Object
	DeepCopyInto(into *T)
}] struct {
	mu      sync.Mutex
	written map[types.NamespacedName]P // guarded by mu
}

// Refresh replaces an object of the cache by the one that was written last, if
// that is newer.
func (w *Memory[T, P]) Refresh(cached P) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name := nameOf(cached)
	own, ok := w.written[name]
	if !ok {
		return
	}
	order, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), own.GetResourceVersion())
	if err != nil || order >= 0 || own.GetUID() != cached.GetUID() {
		delete(w.written, name)
		return
	}
	own.DeepCopyInto(cached)
}

// Remember takes an object as the API server returned it for a write.
func (w *Memory[T, P]) Remember(own P) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.written == nil {
		w.written = map[types.NamespacedName]P{}
	}
	kept := P(new(T))
	own.DeepCopyInto(kept)
	w.written[nameOf(own)] = kept
}

// Forget drops what is remembered of an object that is gone.
func (w *Memory[T, P]) Forget(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.written, name)
}

func nameOf(o client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
