package repository

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/minio/minio-go/v7"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Errors of this package, by remedy. Each is wrapped with the repository's
// place and the cause.
var (
	// ErrWrongPassword is a repository with another password.
	ErrWrongPassword = errors.New("wrong repository password")

	// ErrNotInitialized is a place without a repository.
	ErrNotInitialized = errors.New("repository is not initialized")

	// ErrCorrupt is a repository with missing or damaged data.
	ErrCorrupt = errors.New("repository is corrupt")

	// ErrReadOnly is a location that must not be written.
	ErrReadOnly = errors.New("storage location is read-only")

	// ErrExistingData is a place that holds something else, so that no
	// repository is created in it.
	ErrExistingData = errors.New("found existing data in storage location")

	// ErrUnavailable is storage that does not answer, or answers that it cannot.
	ErrUnavailable = errors.New("storage is unavailable")

	// ErrAccessDenied is storage that refuses the credentials.
	ErrAccessDenied = errors.New("storage denies access")

	// ErrBucketNotFound is storage without that bucket or directory.
	ErrBucketNotFound = errors.New("bucket not found")

	// ErrSnapshotNotFound is a repository without that snapshot.
	ErrSnapshotNotFound = errors.New("snapshot is not in the repository")

	// ErrNotOwner is a repository that somebody else maintains.
	ErrNotOwner = errors.New("repository is maintained by somebody else")

	// ErrInvalidConfig is a location or a file that cannot be used as it is.
	ErrInvalidConfig = errors.New("invalid repository configuration")
)

// reasons maps errors to condition reasons. The first match wins.
var reasons = []struct {
	err    error
	reason string
}{
	{ErrWrongPassword, velerov1.ReasonRepositoryPasswordWrong},
	{ErrCorrupt, velerov1.ReasonRepositoryCorrupt},
	{ErrReadOnly, velerov1.ReasonLocationReadOnly},
	{ErrAccessDenied, velerov1.ReasonAccessDenied},
	{ErrBucketNotFound, velerov1.ReasonBucketNotFound},
	{ErrUnavailable, velerov1.ReasonStorageUnavailable},
	{ErrNotInitialized, velerov1.ReasonRepositoryNotReady},
	{ErrExistingData, velerov1.ReasonRepositoryNotReady},
	{ErrNotOwner, velerov1.ReasonMaintenanceFailed},
	{ErrInvalidConfig, velerov1.ReasonRepositoryNotReady},
}

// Reason returns the condition reason for an error of this package, and "" for
// nil and for errors that it does not know.
func Reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	return ""
}

// IsTerminal reports whether a new try cannot help until somebody changes the
// password, the location or the repository.
func IsTerminal(err error) bool {
	for _, terminal := range []error{
		ErrWrongPassword, ErrNotInitialized, ErrCorrupt, ErrReadOnly,
		ErrExistingData, ErrBucketNotFound, ErrSnapshotNotFound, ErrInvalidConfig, ErrNotOwner,
	} {
		if errors.Is(err, terminal) {
			return true
		}
	}
	return false
}

// Classify adds the sentinel of this package that err amounts to. It returns
// err as it is when it has one or amounts to none.
func Classify(err error) error {
	if err == nil || IsTerminal(err) || Reason(err) != "" {
		return err
	}
	if class := classOf(err); class != nil {
		return fmt.Errorf("%w: %w", class, err)
	}
	return err
}

func classOf(err error) error {
	switch {
	case errors.Is(err, repo.ErrInvalidPassword):
		return ErrWrongPassword
	case errors.Is(err, snapshot.ErrSnapshotNotFound):
		return ErrSnapshotNotFound
	case isCorruption(err):
		return ErrCorrupt
	case errors.Is(err, blob.ErrInvalidCredentials):
		return ErrAccessDenied
	}
	if class, ok := classOfS3(err); ok {
		return class
	}
	if isNetwork(err) {
		return ErrUnavailable
	}
	return nil
}

// isCorruption knows the errors of kopia's content and object layers; damaged
// content has no error value, only this text (kopia: repo/content,
// decryptContentAndVerify).
func isCorruption(err error) bool {
	return errors.Is(err, content.ErrContentNotFound) ||
		errors.Is(err, object.ErrObjectNotFound) ||
		isJSON(err) ||
		strings.Contains(err.Error(), "invalid checksum") ||
		strings.Contains(err.Error(), "unable to load pack indexes")
}

func isJSON(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	return syntax || kind
}

func classOfS3(err error) (error, bool) {
	response, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return nil, false
	}
	switch {
	case response.Code == minio.NoSuchBucket:
		return ErrBucketNotFound, true
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden,
		response.Code == "InvalidAccessKeyId", response.Code == "SignatureDoesNotMatch",
		response.Code == minio.AccessDenied:
		return ErrAccessDenied, true
	case response.StatusCode >= http.StatusInternalServerError, response.StatusCode == http.StatusTooManyRequests:
		return ErrUnavailable, true
	}
	return nil, false
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, cause := range []error{
		context.DeadlineExceeded, io.ErrUnexpectedEOF,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.ESTALE, syscall.ENOTCONN, syscall.ETIMEDOUT,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}
