package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
)

// s3Codes are the S3 error codes whose remedy is not told by the HTTP status
// (Amazon S3 API reference, "Error responses").
var s3Codes = map[string]error{
	"NoSuchKey":             ErrNotFound,
	"NoSuchBucket":          ErrBucketNotFound,
	"InvalidBucketName":     ErrBucketNotFound,
	"AccessDenied":          ErrAccessDenied,
	"InvalidAccessKeyId":    ErrAccessDenied,
	"SignatureDoesNotMatch": ErrAccessDenied,
	"ExpiredToken":          ErrAccessDenied,
	"InvalidToken":          ErrAccessDenied,
	"RequestTimeTooSkewed":  ErrAccessDenied,
	"SlowDown":              ErrUnavailable,
	"RequestTimeout":        ErrUnavailable,
	"XMinioStorageFull":     ErrUnavailable,
}

// classifyS3 adds the sentinel that tells the remedy. The end of the caller's
// own context is passed on as it is.
func classifyS3(err error) error {
	if class := classOfS3(err); class != nil && !errors.Is(err, class) {
		return fmt.Errorf("%w: %w", class, err)
	}
	return err
}

func classOfS3(err error) error {
	if resp, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return classOfResponse(resp)
	}
	var network net.Error
	var request *url.Error
	switch {
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled):
		return nil
	case errors.As(err, &network), errors.As(err, &request), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrUnavailable
	default:
		return nil
	}
}

func classOfResponse(resp minio.ErrorResponse) error {
	if class, ok := s3Codes[resp.Code]; ok {
		return class
	}
	switch {
	case resp.StatusCode == http.StatusForbidden, resp.StatusCode == http.StatusUnauthorized:
		return ErrAccessDenied
	case resp.StatusCode >= http.StatusInternalServerError, resp.StatusCode == http.StatusTooManyRequests:
		return ErrUnavailable
	default:
		return nil
	}
}
