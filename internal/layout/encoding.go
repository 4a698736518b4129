package layout

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/util/validation"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/jsonbound"
)

const (
	// MaxJSONBytes bounds one decoded JSON document. The largest is the list of
	// PodVolumeBackups, at about 3 KiB each: 20 000 volumes fit.
	MaxJSONBytes = 64 << 20

	// MaxBackupBytes bounds the decoded Backup object. etcd keeps no object of more
	// than 1.5 MiB, and indentation makes it at most twice as large.
	MaxBackupBytes = 4 << 20

	// maxStringBytes bounds one string. The longest are messages and the values of
	// annotations, of which an object has 256 KiB at most.
	maxStringBytes = 1 << 20

	// maxDepth bounds nesting. The deepest are managed fields, which nest as deep
	// as the fields they are about.
	maxDepth = 200

	// maxJSONMemory and maxBackupMemory bound the estimated memory of a decoded
	// document. A PodVolumeBackup that Velero wrote, with its managed fields, counts
	// 12 KiB, one that podkeep wrote 4 KiB: 11 000 and 33 000 of them fit.
	maxJSONMemory   = 128 << 20
	maxBackupMemory = 32 << 20

	// kindBackup is the kind of the object that DecodeBackup reads.
	kindBackup = "Backup"
)

var (
	// ErrTooLarge is a document beyond one of its bounds; the text names the bound.
	ErrTooLarge = jsonbound.ErrTooLarge

	// ErrCorrupt is a document that cannot be decoded.
	ErrCorrupt = errors.New("corrupt document")
)

var (
	jsonLimits = jsonbound.Limits{
		MaxBytes: MaxJSONBytes, MaxStringBytes: maxStringBytes, MaxDepth: maxDepth, MaxMemoryBytes: maxJSONMemory,
	}
	backupLimits = jsonbound.Limits{
		MaxBytes: MaxBackupBytes, MaxStringBytes: maxStringBytes, MaxDepth: maxDepth, MaxMemoryBytes: maxBackupMemory,
	}
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
// returns ErrTooLarge for a document beyond MaxJSONBytes or another bound, and
// ErrCorrupt for anything that is not one compressed JSON document of that type.
// Unknown fields are ignored.
func DecodeJSONGzip(r io.Reader, v any) error {
	return decodeJSONGzip(r, v, jsonLimits)
}

func decodeJSONGzip(r io.Reader, v any, limits jsonbound.Limits) error {
	// Compressing makes nothing much longer, so a file of which nothing is unpacked
	// (empty members of gzip) does not go on for ever.
	zr, err := gzip.NewReader(io.LimitReader(r, limits.MaxBytes+limits.MaxBytes/64+gzipSlackBytes))
	if err != nil {
		return corrupt(v, err)
	}
	// Decode reads to the end, which also checks the checksum.
	return classify(v, jsonbound.Decode(zr, v, limits))
}

// gzipSlackBytes is more than the header and the trailer of a gzip file.
const gzipSlackBytes = 64 << 10

// classify adds the sentinel of a document that was not decoded.
func classify(v any, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrTooLarge):
		return fmt.Errorf("decoding %T: %w", v, err)
	default:
		return corrupt(v, err)
	}
}

// corrupt keeps the cause, which may be a connection that broke.
func corrupt(v any, err error) error {
	return fmt.Errorf("decoding %T: %w: %w", v, ErrCorrupt, err)
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
// MaxBackupBytes or a document beyond another bound, and ErrCorrupt for anything
// that is not a Backup with a name that Kubernetes accepts.
func DecodeBackup(r io.Reader) (*velerov1.Backup, error) {
	b := &velerov1.Backup{}
	if err := classify(b, jsonbound.Decode(r, b, backupLimits)); err != nil {
		return nil, err
	}
	if got, want := b.GroupVersionKind(), velerov1.SchemeGroupVersion.WithKind(kindBackup); got != want {
		return nil, fmt.Errorf("decoding backup: %w: is a %q of %q, not a %q of %q",
			ErrCorrupt, shorten(got.Kind), shorten(got.GroupVersion().String()), want.Kind, want.GroupVersion())
	}
	if problems := validation.IsDNS1123Subdomain(b.Name); len(problems) > 0 {
		return nil, fmt.Errorf("decoding backup: %w: metadata.name: Invalid value: %q: %s", ErrCorrupt, shorten(b.Name), problems[0])
	}
	return b, nil
}

// shorten keeps what a stranger wrote from filling a message.
func shorten(text string) string {
	const most = 100
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
