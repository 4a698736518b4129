package repository

import (
	"bytes"
	"io"
)

// buffer receives a small blob. (kopia's own buffers are internal to it.)
type buffer struct{ bytes.Buffer }

// Length implements blob.OutputBuffer.
func (b *buffer) Length() int { return b.Len() }

// blobBytes is a small blob to write.
type blobBytes []byte

func bytesOf(data []byte) blobBytes { return data }

// Length implements blob.Bytes.
func (b blobBytes) Length() int { return len(b) }

// WriteTo implements blob.Bytes.
func (b blobBytes) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

// Reader implements blob.Bytes.
func (b blobBytes) Reader() io.ReadSeekCloser { return closeable{bytes.NewReader(b)} }

type closeable struct{ *bytes.Reader }

// Close implements io.Closer.
func (closeable) Close() error { return nil }
