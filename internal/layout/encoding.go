package layout

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// MaxJSONBytes bounds one decoded JSON document. The largest is the list of
	// PodVolumeBackups, at about 3 KiB each: 20 000 volumes fit.
	MaxJSONBytes = 64 << 20

	// MaxBackupBytes bounds the decoded Backup object. etcd keeps no object of more
	// than 1.5 MiB, and indentation makes it at most twice as large.
	MaxBackupBytes = 4 << 20

	// kindBackup is the kind of the object that DecodeBackup reads.
	kindBackup = "Backup"
)

var (
	// ErrTooLarge is a document beyond its bound; the text names the bound.
	ErrTooLarge = errors.New("document too large")

	// ErrCorrupt is a document that cannot be decoded.
	ErrCorrupt = errors.New("corrupt document")
)

// EncodeJSONGzip writes v as one compact JSON document and a newline, compressed.
// The writer stays open.
func EncodeJSONGzip(w io.Writer, v any) error {
	zw := gzip.NewWriter(w)
	if err := json.NewEncoder(zw).Encode(v); err != nil {
		return fmt.Errorf("encoding %T: %w", v, err)
	}
	if err := zw.Close(); err != nil {
		return fmt.Errorf("compressing %T: %w", v, err)
	}
	return nil
}

// DecodeJSONGzip reads what EncodeJSONGzip writes into v, which is a pointer. It
// returns ErrTooLarge for more than MaxJSONBytes and ErrCorrupt for anything that
// is not one compressed JSON document of that type. Unknown fields are ignored.
func DecodeJSONGzip(r io.Reader, v any) error {
	return decodeJSONGzip(r, v, MaxJSONBytes)
}

func decodeJSONGzip(r io.Reader, v any, limit int64) error {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return corrupt(v, err)
	}
	// Reading to the end checks the checksum, which a decoder would not reach.
	b, err := readBounded(zr, limit)
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	if err != nil {
		return corrupt(v, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return corrupt(v, err)
	}
	return nil
}

// corrupt keeps the cause, which may be a connection that broke.
func corrupt(v any, err error) error {
	return fmt.Errorf("decoding %T: %w: %w", v, ErrCorrupt, err)
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}
	return b, err
}

// EncodeBackup returns the Backup as it is stored: indented JSON, always with
// apiVersion and kind, without a newline at the end, as Velero 1.18 writes it.
func EncodeBackup(b *velerov1.Backup) ([]byte, error) {
	b = b.DeepCopy()
	b.SetGroupVersionKind(velerov1.SchemeGroupVersion.WithKind(kindBackup))
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding backup %s: %w", b.Name, err)
	}
	return out, nil
}

// DecodeBackup reads a stored Backup. It returns ErrTooLarge for more than
// MaxBackupBytes and ErrCorrupt for anything that is not a named Backup.
func DecodeBackup(r io.Reader) (*velerov1.Backup, error) {
	data, err := readBounded(r, MaxBackupBytes)
	if err != nil {
		return nil, fmt.Errorf("reading backup: %w", err)
	}
	b := &velerov1.Backup{}
	if err := json.Unmarshal(bytes.TrimSpace(data), b); err != nil {
		return nil, corrupt(b, err)
	}
	if got, want := b.GroupVersionKind(), velerov1.SchemeGroupVersion.WithKind(kindBackup); got != want {
		return nil, fmt.Errorf("decoding backup: %w: is a %q of %q, not a %q of %q",
			ErrCorrupt, got.Kind, got.GroupVersion(), want.Kind, want.GroupVersion())
	}
	if b.Name == "" {
		return nil, fmt.Errorf("decoding backup: %w: metadata.name is empty", ErrCorrupt)
	}
	return b, nil
}
