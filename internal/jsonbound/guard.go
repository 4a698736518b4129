package jsonbound

import (
	"fmt"
	"io"
)

// guard passes a document on and looks at every byte before. It need not know
// whether the document is valid: the decoder will.
type guard struct {
	reader io.Reader
	limits Limits

	bytes       int64 // of the document so far
	memoryBytes int64 // estimate of what is decoded so far, without the text
	stringBytes int64 // of the string that is being read
	spaces      int   // since the last token
	mostSpaces  int
	depth       int
	deepest     int
	inString    bool
	escaped     bool // the next byte of the string is no quote
}

// Read passes on nothing of a chunk in which a limit is exceeded.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.reader.Read(p)
	if lerr := g.look(p[:n]); lerr != nil {
		return 0, lerr
	}
	return n, err
}

// look counts what is in the next part of the document.
func (g *guard) look(p []byte) error {
	g.bytes += int64(len(p))
	for len(p) > 0 {
		if g.inString {
			p = g.skipString(p)
		} else {
			p = g.skipStructure(p)
		}
		if err := g.check(); err != nil {
			return err
		}
	}
	return g.check()
}

// spend adds to the estimate of what is decoded.
func (g *guard) spend(bytes int64) error {
	g.memoryBytes += bytes
	return g.check()
}

func (g *guard) check() error {
	switch {
	case g.bytes > g.limits.MaxBytes:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, g.limits.MaxBytes)
	case g.stringBytes > g.limits.MaxStringBytes:
		return fmt.Errorf("%w: a string of more than %d bytes", ErrTooLarge, g.limits.MaxStringBytes)
	case g.mostSpaces > maxSpaces:
		return fmt.Errorf("%w: more than %d spaces in a row", ErrTooLarge, maxSpaces)
	case g.deepest > g.limits.MaxDepth:
		return fmt.Errorf("%w: nested deeper than %d levels", ErrTooLarge, g.limits.MaxDepth)
	case g.bytes+g.memoryBytes > g.limits.MaxMemoryBytes:
		return fmt.Errorf("%w: more values than fit into %d bytes of memory", ErrTooLarge, g.limits.MaxMemoryBytes)
	default:
		return nil
	}
}

// skipString returns what follows the string, nothing when it goes on.
func (g *guard) skipString(p []byte) []byte {
	for i, c := range p {
		switch {
		case g.escaped:
			g.escaped = false
		case c == '\\':
			g.escaped = true
		case c == '"':
			g.inString = false
			g.stringBytes += int64(i)
			return p[i+1:]
		}
	}
	g.stringBytes += int64(len(p))
	return nil
}

// skipStructure returns what follows the next quote, nothing when there is none.
func (g *guard) skipStructure(p []byte) []byte {
	for i, c := range p {
		if c <= ' ' {
			g.spaces++
			continue
		}
		g.mostSpaces = max(g.mostSpaces, g.spaces)
		g.spaces = 0
		switch c {
		case '"':
			g.inString, g.stringBytes = true, 0
			return p[i+1:]
		case '{':
			g.open(objectBytes)
		case '[':
			g.open(listBytes)
		case '}', ']':
			g.depth--
		case ',':
			g.memoryBytes += entryBytes
		}
	}
	g.mostSpaces = max(g.mostSpaces, g.spaces)
	return nil
}

func (g *guard) open(bytes int64) {
	g.memoryBytes += bytes
	g.depth++
	g.deepest = max(g.deepest, g.depth)
}
