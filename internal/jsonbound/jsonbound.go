// Package jsonbound decodes JSON of a stranger in bounded memory.
//
// The size of a document says little about what it costs to decode: "{}," is
// three bytes and may become a struct of a kilobyte, and one string may be all of
// the document. So every byte is looked at before the decoder sees it, and what
// would be too large, too deep or too expensive is refused while it is read.
//
// It knows nothing of what documents mean. Used by internal/layout and
// internal/archive.
package jsonbound

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// ErrTooLarge is a document beyond one of its limits; the text names the limit.
var ErrTooLarge = errors.New("document too large")

// Limits bound one document. All of them must be set.
type Limits struct {
	// MaxBytes is the size of the document.
	MaxBytes int64

	// MaxStringBytes is the size of one string or key, as it is written.
	MaxStringBytes int64

	// MaxDepth is how many objects and lists may be in each other. encoding/json
	// itself gives up at 10 000.
	MaxDepth int

	// MaxMemoryBytes is the memory that the decoded document may need, as it is
	// estimated from its text. The decoder's own buffers come on top, and lists
	// that grow leave garbage of their size behind.
	MaxMemoryBytes int64
}

// What a value costs beside its text: the largest struct that is repeated in the
// objects of Kubernetes (metav1.ManagedFieldsEntry, 96 bytes) with what an
// allocation wastes, a slice header, and an entry of a map of strings (two string
// headers).
const (
	objectBytes = 128
	listBytes   = 24
	entryBytes  = 32
)

// maxSpaces bounds the spaces between two tokens. json.Decoder looks at all of
// them again with each read, so that a megabyte of them takes a second and 64
// take most of a minute on a slow processor.
const maxSpaces = 16 << 10

// Decode reads one JSON document into v, which is a pointer, and reads r to its
// end. It returns ErrTooLarge for a document beyond its limits, errors of r as
// they are, and errors of encoding/json for the rest. Unknown fields are ignored.
//
// The entries of a list are decoded one by one: of the text, one entry is in
// memory.
func Decode(r io.Reader, v any, limits Limits) error {
	g := &guard{reader: r, limits: limits}
	d := &decoder{json: json.NewDecoder(g), guard: g}
	if err := d.value(v); err != nil {
		return err
	}
	switch _, err := d.json.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		return errors.New("more than one document")
	}
}

// Check returns ErrTooLarge for a document that is beyond its limits. What it
// accepts need not be JSON.
func Check(document []byte, limits Limits) error {
	g := &guard{limits: limits}
	return g.look(document)
}

// decoder decodes one document.
type decoder struct {
	json  *json.Decoder
	guard *guard
}

func (d *decoder) value(v any) error {
	target := reflect.ValueOf(v)
	if _, custom := v.(json.Unmarshaler); custom || target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Slice {
		return noEOF(d.json.Decode(v))
	}
	return d.list(target.Elem())
}

// list decodes the entries of a list one by one.
func (d *decoder) list(list reflect.Value) error {
	start, err := d.json.Token()
	if err != nil {
		return noEOF(err)
	}
	list.SetZero()
	switch start {
	case nil: // null
		return nil
	case json.Delim('['):
		list.Set(reflect.MakeSlice(list.Type(), 0, 0))
	default:
		return fmt.Errorf("is %v, not a list", start)
	}
	for d.json.More() {
		if err := d.guard.spend(int64(list.Type().Elem().Size())); err != nil {
			return err
		}
		n := list.Len()
		list.Grow(1)
		list.SetLen(n + 1)
		list.Index(n).SetZero()
		if err := d.json.Decode(list.Index(n).Addr().Interface()); err != nil {
			return fmt.Errorf("entry %d: %w", n, noEOF(err))
		}
	}
	_, err = d.json.Token()
	return noEOF(err)
}

// noEOF makes an error of the end of a document that is not complete.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
