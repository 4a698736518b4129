package repository

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/kopia/kopia/repo/blob"
)

const (
	// segmentBytes is what is read at once, and maxSegments how many are kept:
	// together 32 MiB of memory.
	segmentBytes = 2 << 20
	maxSegments  = 16

	// smallBytes is the largest read that goes through segments. Larger ones, the
	// pieces of large files, gain nothing.
	smallBytes = segmentBytes / 4

	// maxTouched bounds the memory of segments that were read from once.
	maxTouched = 100_000
)

// readAhead serves small reads of packs from larger ones. A restore reads each
// small file by one request of its own, and packs hold the files of a directory
// side by side, so a volume of 100 000 files would cost 100 000 round trips.
//
// The second read of a segment fetches all of it; a lone one is not made larger.
type readAhead struct {
	blob.Storage

	mu       sync.Mutex
	touched  map[segmentKey]bool     // guarded by mu
	segments map[segmentKey]*segment // guarded by mu
	recent   []segmentKey            // guarded by mu; least recently used first
	sizes    map[blob.ID]int64       // guarded by mu
}

type segmentKey struct {
	id    blob.ID
	index int64
}

type segment struct {
	mu   sync.Mutex
	data []byte // guarded by mu; nil until it is read
}

func newReadAhead(s blob.Storage) *readAhead {
	return &readAhead{
		Storage:  s,
		touched:  map[segmentKey]bool{},
		segments: map[segmentKey]*segment{},
		sizes:    map[blob.ID]int64{},
	}
}

// GetBlob implements blob.Storage.
func (r *readAhead) GetBlob(ctx context.Context, id blob.ID, offset, length int64, output blob.OutputBuffer) error {
	key := segmentKey{id: id, index: offset / segmentBytes}
	if !isPack(id) || length <= 0 || length > smallBytes || (offset+length-1)/segmentBytes != key.index {
		return r.Storage.GetBlob(ctx, id, offset, length, output)
	}
	s := r.segment(key)
	if s == nil {
		return r.Storage.GetBlob(ctx, id, offset, length, output)
	}
	data, err := r.read(ctx, key, s)
	start := offset - key.index*segmentBytes
	if err != nil || start+length > int64(len(data)) {
		return r.Storage.GetBlob(ctx, id, offset, length, output) // it knows the right error
	}
	output.Reset()
	_, err = output.Write(data[start : start+length])
	return err
}

// isPack reports whether a blob never changes and holds many contents
// (velero-facts §4.1).
func isPack(id blob.ID) bool {
	return strings.HasPrefix(string(id), "p") || strings.HasPrefix(string(id), "q")
}

// segment returns nil at the first touch.
func (r *readAhead) segment(key segmentKey) *segment {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.segments[key]; s != nil {
		r.recent = append(slices.DeleteFunc(r.recent, func(k segmentKey) bool { return k == key }), key)
		return s
	}
	if !r.touched[key] {
		if len(r.touched) >= maxTouched {
			clear(r.touched)
		}
		r.touched[key] = true
		return nil
	}
	if len(r.recent) >= maxSegments {
		delete(r.segments, r.recent[0])
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	s := &segment{}
	r.segments[key] = s
	r.recent = append(r.recent, key)
	return s
}

// read fetches a segment once, however many ask for it.
func (r *readAhead) read(ctx context.Context, key segmentKey, s *segment) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data != nil {
		return s.data, nil
	}
	size, err := r.size(ctx, key.id)
	if err != nil {
		return nil, err
	}
	start := key.index * segmentBytes
	length := min(segmentBytes, size-start)
	if length <= 0 {
		return nil, blob.ErrInvalidRange
	}
	var b buffer
	b.Grow(int(length))
	if err := r.Storage.GetBlob(ctx, key.id, start, length, &b); err != nil {
		return nil, err
	}
	s.data = b.Bytes()
	return s.data, nil
}

func (r *readAhead) size(ctx context.Context, id blob.ID) (int64, error) {
	r.mu.Lock()
	size, ok := r.sizes[id]
	r.mu.Unlock()
	if ok {
		return size, nil
	}
	metadata, err := r.Storage.GetMetadata(ctx, id)
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes[id] = metadata.Length
	return metadata.Length, nil
}
