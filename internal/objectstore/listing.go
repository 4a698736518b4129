package objectstore

import (
	"fmt"
	"slices"
)

// maxListedBytes bounds the keys of one listing, which are in memory. A key of a
// backup's object has about 60 bytes, so these are a million; a bucket that others
// write to may have more, of a kilobyte each.
const maxListedBytes = 64 << 20

// listing collects keys.
type listing struct {
	keys  []string
	bytes int
}

// add returns ErrTooManyObjects when the keys become too many.
func (l *listing) add(key string) error {
	l.bytes += len(key)
	if l.bytes > maxListedBytes {
		return fmt.Errorf("%w: the keys have more than %d bytes", ErrTooManyObjects, maxListedBytes)
	}
	l.keys = append(l.keys, key)
	return nil
}

func (l *listing) sorted() []string {
	slices.Sort(l.keys)
	return l.keys
}
