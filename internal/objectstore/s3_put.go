package objectstore

import (
	"fmt"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/podkeep/podkeep/internal/location"
)

// checksums are the algorithms of spec.config[checksumAlgorithm]. There is none
// unless it is asked for, because S3 servers older than 2022 refuse them.
var checksums = map[string]minio.ChecksumType{
	"":          minio.ChecksumNone,
	"CRC32":     minio.ChecksumCRC32,
	"CRC32C":    minio.ChecksumCRC32C,
	"SHA1":      minio.ChecksumSHA1,
	"SHA256":    minio.ChecksumSHA256,
	"CRC64NVME": minio.ChecksumCRC64NVME,
}

// putOptions are those of every object of the location.
func putOptions(l location.Location) (minio.PutObjectOptions, error) {
	opts := minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: s3PartBytes, NumThreads: 1}
	var known bool
	if opts.AutoChecksum, known = checksums[l.ChecksumAlgorithm()]; !known {
		return opts, fmt.Errorf("%w: spec.config[%s]: Unsupported value: %q", ErrInvalidConfig, location.ConfigChecksumAlgorithm, l.ChecksumAlgorithm())
	}
	var err error
	if opts.UserTags, err = l.Tags(); err != nil {
		return opts, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	opts.ServerSideEncryption, err = serverSideEncryption(l)
	return opts, err
}

// serverSideEncryption is nil when the bucket decides.
func serverSideEncryption(l location.Location) (encrypt.ServerSide, error) {
	e, err := l.Encryption()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidConfig, err)
	}
	switch e.Algorithm {
	case location.EncryptionAES256:
		return encrypt.NewSSE(), nil
	case location.EncryptionKMS:
		sse, err := encrypt.NewSSEKMS(e.KMSKeyID, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: spec.config[%s]: %w", ErrInvalidConfig, location.ConfigKMSKeyID, err)
		}
		return sse, nil
	default:
		return nil, nil
	}
}

// withChecksum adds the checksum of an object that is sent in one request. It
// goes into a header: what follows the object (a trailer, the client's own way)
// is not understood everywhere. Parts of larger objects get theirs by AutoChecksum.
func withChecksum(opts minio.PutObjectOptions, content []byte) minio.PutObjectOptions {
	if opts.AutoChecksum.IsSet() {
		opts.UserMetadata = map[string]string{opts.AutoChecksum.Key(): opts.AutoChecksum.ChecksumBytes(content).Encoded()}
	}
	return opts
}
