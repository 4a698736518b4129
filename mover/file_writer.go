package mover

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// sparseBlockBytes is the unit in which runs of zeros become holes: the block
// size of nearly all file systems.
const sparseBlockBytes = 4096

// zeros is compared with, never written.
var zeros = make([]byte, sparseBlockBytes)

// fileWriter writes a new file from front to end.
type fileWriter struct {
	fd     int
	sparse bool
	offset int64 // bytes so far, holes included
	hole   bool  // the file ends in a hole
}

func (w *fileWriter) write(p []byte) error {
	if !w.sparse {
		return w.writeAll(p)
	}
	for len(p) > 0 {
		n := w.run(p)
		if w.hole {
			w.offset += int64(n)
		} else if err := w.writeAll(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// run returns how many bytes at the front of p are alike: whole blocks of zeros,
// or not. It sets hole accordingly.
func (w *fileWriter) run(p []byte) int {
	n := min(w.blockEnd(), len(p))
	w.hole = isZero(p[:n])
	for n < len(p) {
		next := min(n+sparseBlockBytes, len(p))
		if isZero(p[n:next]) != w.hole {
			break
		}
		n = next
	}
	return n
}

// blockEnd is the distance to the next block.
func (w *fileWriter) blockEnd() int {
	return sparseBlockBytes - int(w.offset%sparseBlockBytes)
}

func isZero(p []byte) bool { return bytes.Equal(p, zeros[:len(p)]) }

func (w *fileWriter) writeAll(p []byte) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(w.fd, p, w.offset)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		n = max(n, 0)
		w.offset += int64(n)
		p = p[n:]
	}
	return nil
}

// finish gives the file its length when it ends in a hole.
func (w *fileWriter) finish() error {
	if !w.hole {
		return nil
	}
	return unix.Ftruncate(w.fd, w.offset)
}
