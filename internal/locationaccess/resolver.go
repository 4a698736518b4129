// Package locationaccess turns a BackupStorageLocation of the API into one that
// can be used: it reads the Secrets that the location names, puts credentials
// into files, and opens the object store.
//
// All controllers of the server share one Resolver, so a location is resolved in
// one way only. It decides nothing about phases; callers report its errors by
// Reason. The node agent does not use it: movers get Secrets as volumes.
package locationaccess

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/objectstore"
)

// The Secret of the repository password (velero-facts §4.2).
const (
	// RepositorySecret is the name of the Secret, in the install namespace, that
	// holds the password of all repositories.
	RepositorySecret = "velero-repo-credentials"

	// RepositoryPasswordKey is its key. Spaces around the password are ignored.
	RepositoryPasswordKey = "repository-password"
)

var (
	// ErrLocationNotFound is a BackupStorageLocation that does not exist.
	ErrLocationNotFound = errors.New("BackupStorageLocation not found")

	// ErrNoPassword is a repository password that does not exist or is empty.
	ErrNoPassword = errors.New("no repository password")
)

// Resolver resolves the locations of one installation. Its fields are set once,
// before use; it must not be copied. It is safe for concurrent use.
type Resolver struct {
	// Client reads locations and Secrets of Namespace.
	Client    client.Reader
	Namespace string

	// CredentialsDir is where credentials of Secrets are put, as files that only
	// this process can read: <CredentialsDir>/<namespace>/<secret>-<key>.
	CredentialsDir string

	// DefaultCredentialsFile is used by locations without a credential of their
	// own, if it exists: the mounted Secret of the installation. "" means none.
	DefaultCredentialsFile string

	mu     sync.Mutex
	stores map[string]openStore // by name of the location; guarded by mu
}

// openStore is a store that is used again while its location resolves to the
// same.
type openStore struct {
	fingerprint string
	store       objectstore.Store
}

// Reason returns the condition reason for an error of this package or of
// internal/objectstore; "" for nil.
func Reason(err error) string {
	switch {
	case errors.Is(err, ErrLocationNotFound):
		return velerov1.ReasonLocationNotFound
	case errors.Is(err, ErrNoPassword):
		return velerov1.ReasonRepositoryNotReady
	default:
		return objectstore.Reason(err)
	}
}

// Text is an error of this package, or of a store that it has opened, as messages
// of conditions have it: on one line, and without what differs from try to try,
// the local port of a connection.
func Text(err error) string {
	text := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Source != nil {
		text = strings.ReplaceAll(text, op.Source.String()+"->", "")
	}
	return text
}

// Resolve reduces a BackupStorageLocation to a Location, with the certificate
// authorities of caCertRef and with its credentials in a file. It returns
// objectstore.ErrInvalidConfig for a spec that is wrong in itself and
// objectstore.ErrAccessDenied for a credential that does not exist.
func (r *Resolver) Resolve(ctx context.Context, bsl *velerov1.BackupStorageLocation) (location.Location, error) {
	l, err := location.New(bsl)
	if err != nil {
		return l, fmt.Errorf("%w: %w", objectstore.ErrInvalidConfig, err)
	}
	if l.CACert, err = r.certificates(ctx, bsl); err != nil {
		return l, err
	}
	if l.Provider == location.ProviderAWS {
		l.CredentialsFile, err = r.credentialsFile(ctx, bsl)
	}
	return l, err
}

// certificates returns the certificate authorities of the location; nil when it
// names none.
func (r *Resolver) certificates(ctx context.Context, bsl *velerov1.BackupStorageLocation) ([]byte, error) {
	s := bsl.Spec.ObjectStorage
	switch {
	case s == nil:
		return nil, nil
	case s.CACertRef == nil:
		return s.CACert, nil
	}
	pem, err := r.secretKey(ctx, s.CACertRef)
	if errors.Is(err, errNoSecretKey) {
		if s.CACertRef.Optional != nil && *s.CACertRef.Optional {
			return nil, nil
		}
		return nil, fmt.Errorf("%w: spec.objectStorage.caCertRef: %w", objectstore.ErrInvalidConfig, err)
	}
	return pem, err
}

// credentialsFile returns the file with the location's keys; "" leaves it to the
// environment.
func (r *Resolver) credentialsFile(ctx context.Context, bsl *velerov1.BackupStorageLocation) (string, error) {
	ref := bsl.Spec.Credential
	if ref == nil {
		return r.defaultFile()
	}
	keys, err := r.secretKey(ctx, ref)
	if errors.Is(err, errNoSecretKey) {
		if ref.Optional != nil && *ref.Optional {
			return r.defaultFile()
		}
		return "", fmt.Errorf("%w: spec.credential: %w", objectstore.ErrAccessDenied, err)
	}
	if err != nil {
		return "", err
	}
	return r.materialize(ref, keys)
}

func (r *Resolver) defaultFile() (string, error) {
	if r.DefaultCredentialsFile == "" {
		return "", nil
	}
	_, err := os.Stat(r.DefaultCredentialsFile)
	switch {
	case err == nil:
		return r.DefaultCredentialsFile, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	default:
		return "", fmt.Errorf("looking for the default credentials: %w", err)
	}
}

// RepositoryPasswordFile returns a file with the password of the repositories. It
// returns ErrNoPassword when the Secret does not exist or has none.
func (r *Resolver) RepositoryPasswordFile(ctx context.Context) (string, error) {
	ref := &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: RepositorySecret},
		Key:                  RepositoryPasswordKey,
	}
	password, err := r.secretKey(ctx, ref)
	if errors.Is(err, errNoSecretKey) {
		return "", fmt.Errorf("%w: %w", ErrNoPassword, err)
	}
	if err != nil {
		return "", err
	}
	trimmed := strings.TrimSpace(string(password))
	if trimmed == "" {
		return "", fmt.Errorf("%w: key %s of Secret %s/%s is empty", ErrNoPassword, ref.Key, r.Namespace, ref.Name)
	}
	return r.materialize(ref, []byte(trimmed))
}

// RepositoryPasswordVersion changes when the password may have changed. It tells
// nothing about the password. It is "" when there is no Secret.
func (r *Resolver) RepositoryPasswordVersion(ctx context.Context) (string, error) {
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: RepositorySecret}, secret)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("getting Secret %s/%s: %w", r.Namespace, RepositorySecret, err)
	}
	return string(secret.UID) + "/" + secret.ResourceVersion, nil
}

// errNoSecretKey is a Secret, or a key of it, that does not exist.
var errNoSecretKey = errors.New("not found")

func (r *Resolver) secretKey(ctx context.Context, ref *corev1.SecretKeySelector) ([]byte, error) {
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: ref.Name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: Secret %s/%s", errNoSecretKey, r.Namespace, ref.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("getting Secret %s/%s: %w", r.Namespace, ref.Name, err)
	}
	value, ok := secret.Data[ref.Key]
	if !ok {
		return nil, fmt.Errorf("%w: key %q of Secret %s/%s", errNoSecretKey, ref.Key, r.Namespace, ref.Name)
	}
	return value, nil
}

// materialize puts a key of a Secret into its file. Readers see the old content
// or the new, never a part.
func (r *Resolver) materialize(ref *corev1.SecretKeySelector, content []byte) (string, error) {
	dir := filepath.Join(r.CredentialsDir, r.Namespace)
	file := filepath.Join(dir, ref.Name+"-"+ref.Key)
	if err := writeIfChanged(file, content); err != nil {
		return "", fmt.Errorf("writing key %s of Secret %s to a file: %w", ref.Key, ref.Name, err)
	}
	return file, nil
}

// Store opens the store of a location by name. Stores are kept and used again
// until something that they were made from changes. It returns
// ErrLocationNotFound, or an error of Resolve or objectstore.Open; the location
// is returned also with these errors, if it exists.
func (r *Resolver) Store(ctx context.Context, bslName string) (objectstore.Store, *velerov1.BackupStorageLocation, error) {
	bsl := &velerov1.BackupStorageLocation{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: bslName}, bsl)
	if apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("%w: %s/%s", ErrLocationNotFound, r.Namespace, bslName)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("getting BackupStorageLocation %s/%s: %w", r.Namespace, bslName, err)
	}
	store, _, err := r.Open(ctx, bsl)
	if err != nil {
		return nil, bsl, fmt.Errorf("opening BackupStorageLocation %s: %w", bslName, err)
	}
	return store, bsl, nil
}

// Open opens the store of a location. The fingerprint changes when anything
// changes that the store was made from: the spec, certificates, credentials. It
// is returned also when the location resolves but the store cannot be opened.
func (r *Resolver) Open(ctx context.Context, bsl *velerov1.BackupStorageLocation) (objectstore.Store, string, error) {
	l, err := r.Resolve(ctx, bsl)
	if err != nil {
		return nil, "", err
	}
	fingerprint, err := fingerprintOf(l)
	if err != nil {
		return nil, "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.stores[bsl.Name]; ok && known.fingerprint == fingerprint {
		return known.store, fingerprint, nil
	}
	store, err := objectstore.Open(ctx, l)
	if err != nil {
		return nil, fingerprint, err
	}
	if r.stores == nil {
		r.stores = map[string]openStore{}
	}
	r.stores[bsl.Name] = openStore{fingerprint: fingerprint, store: store}
	return store, fingerprint, nil
}

// fingerprintOf never leaves the process: it is made from credentials, too.
func fingerprintOf(l location.Location) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(l); err != nil {
		return "", fmt.Errorf("hashing location %s: %w", l.Name, err)
	}
	if l.CredentialsFile != "" {
		content, err := os.ReadFile(l.CredentialsFile)
		if err != nil {
			return "", fmt.Errorf("%w: reading credentials: %w", objectstore.ErrAccessDenied, err)
		}
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
