// Package objectstore keeps the objects of backups and restores in a storage
// location: an S3 bucket or a directory.
//
// It knows keys and bytes, not what they mean (internal/layout does). Keys are
// relative to the location's root; the store adds the prefix. Every error says
// which place it is about and, where the remedy is known, matches one of the
// sentinels below. A call never hangs: a storage that does not answer is
// ErrUnavailable after a bounded time.
//
// The repositories of volume data are not reached through this package but by
// kopia (mover), which is given the same Location.
package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

// What a caller may match. Each is wrapped with the place it is about.
var (
	// ErrNotFound is an object that does not exist.
	ErrNotFound = errors.New("object not found")

	// ErrBucketNotFound is a bucket, or the directory of a filesystem location,
	// that does not exist.
	ErrBucketNotFound = errors.New("bucket not found")

	// ErrAccessDenied is storage that refuses the credentials, or credentials that
	// cannot be read.
	ErrAccessDenied = errors.New("access denied")

	// ErrUnavailable is storage that does not answer, answers that it cannot, or
	// is full. The same call may succeed later.
	ErrUnavailable = errors.New("storage unavailable")

	// ErrInvalidConfig is a location that no store can be made of.
	ErrInvalidConfig = errors.New("invalid location")

	// ErrTooManyObjects is a listing that is not kept in memory.
	ErrTooManyObjects = errors.New("too many objects")

	// ErrBadKey is a key that is empty, absolute or leads out of the location.
	ErrBadKey = errors.New("bad object key")
)

// Store reads and writes the objects of one location. It is safe for concurrent
// use.
type Store interface {
	// Put writes an object, replacing the one that is there. The object becomes
	// visible when it is complete; when Put fails or body does, nothing changes.
	// The size of body need not be known, and memory does not grow with it.
	Put(ctx context.Context, key string, body io.Reader) error

	// Get opens an object, or returns ErrNotFound. The caller closes it.
	Get(ctx context.Context, key string) (io.ReadCloser, error)

	// Exists reports whether there is an object with that key.
	Exists(ctx context.Context, key string) (bool, error)

	// Version returns a text that is another one when the object was replaced, or ""
	// when there is none. It does not read the object.
	Version(ctx context.Context, key string) (string, error)

	// List returns the keys that begin with prefix, sorted; "" lists all.
	List(ctx context.Context, prefix string) ([]string, error)

	// CommonPrefixes returns what a file browser would show as folders directly
	// under prefix, sorted, each as a key prefix with a trailing slash:
	// CommonPrefixes("backups/") returns "backups/nightly/". The prefix is "" or
	// ends with a slash. A folder without objects does not exist.
	CommonPrefixes(ctx context.Context, prefix string) ([]string, error)

	// Delete removes an object. It succeeds when there is none.
	Delete(ctx context.Context, key string) error

	// Presign returns an address from which anybody can read the object, by a GET
	// request and without credentials, until ttl is over; ttl is 1 s to 7 days. The
	// object need not exist: who reads one that does not is told so (404). A store
	// without such addresses, a directory, returns errors.ErrUnsupported.
	Presign(ctx context.Context, key string, ttl time.Duration) (string, error)
}

// Open makes a store of a location. It reads credentials but does not connect;
// a wrong endpoint shows at the first call. It returns ErrInvalidConfig for a
// location that is not usable and ErrAccessDenied for unreadable credentials.
func Open(_ context.Context, l location.Location) (Store, error) {
	switch l.Provider {
	case location.ProviderAWS:
		return newS3(l)
	case location.ProviderFilesystem:
		return newFilesystem(l)
	default:
		return nil, fmt.Errorf("%w: spec.provider: Unsupported value: %q", ErrInvalidConfig, l.Provider)
	}
}

// Reason returns the condition reason for an error of this package, or "" for
// nil. An error without a known remedy is ReasonLocationUnavailable.
func Reason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrAccessDenied):
		return velerov1.ReasonAccessDenied
	case errors.Is(err, ErrBucketNotFound):
		return velerov1.ReasonBucketNotFound
	case errors.Is(err, ErrUnavailable):
		return velerov1.ReasonStorageUnavailable
	case errors.Is(err, ErrInvalidConfig):
		return velerov1.ReasonInvalidSpec
	default:
		return velerov1.ReasonLocationUnavailable
	}
}

// checkKey accepts what every store can keep: a slash separated path without
// empty, "." and ".." elements.
func checkKey(key string) error {
	if key == "." || !fs.ValidPath(key) {
		return fmt.Errorf("%w %q: must be a relative path without empty, \".\" or \"..\" elements", ErrBadKey, key)
	}
	return nil
}

// checkPrefix accepts "" and any beginning of a valid key.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	// A letter completes the last element; it also makes ".." at the end a name.
	return checkKey(prefix + "x")
}

// checkFolder accepts "" and valid keys followed by a slash.
func checkFolder(prefix string) error {
	if prefix == "" {
		return nil
	}
	if prefix[len(prefix)-1] != '/' {
		return fmt.Errorf("%w %q: must end with a slash", ErrBadKey, prefix)
	}
	return checkKey(prefix[:len(prefix)-1])
}
