package itemlog

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

const (
	// maxResumedBytes bounds a log that is continued, compressed. A log has about
	// ten compressed bytes for each item, so these are the logs of six million.
	maxResumedBytes = 64 << 20

	// maxUnpackedBytes bounds it unpacked. Logs become a tenth to a twentieth.
	maxUnpackedBytes = 2 << 30
)

var (
	errLogTooLarge = fmt.Errorf("it has more than %d bytes, or more than %d when it is unpacked", maxResumedBytes, maxUnpackedBytes)
	errLogDamaged  = errors.New("it is damaged")
)

// inspect looks at all of the scratch file and says what is wrong with it, if
// anything: errLogTooLarge or errLogDamaged. The file stays at its end.
func (l *Log) inspect() (damage, err error) {
	size, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("reading scratch file of the log: %w", err)
	}
	switch {
	case size == 0:
		return nil, nil // nothing had been said yet
	case size > maxResumedBytes:
		return errLogTooLarge, nil
	}
	zr, err := gzip.NewReader(io.NewSectionReader(l.file, 0, size))
	if err != nil {
		return errLogDamaged, nil
	}
	unpacked, err := io.Copy(io.Discard, io.LimitReader(zr, maxUnpackedBytes+1))
	switch {
	case err != nil:
		return errLogDamaged, nil
	case unpacked > maxUnpackedBytes:
		return errLogTooLarge, nil
	default:
		return nil, nil
	}
}

// reset empties the scratch file.
func (l *Log) reset() error {
	_, err := l.file.Seek(0, io.SeekStart)
	if err := errors.Join(err, l.file.Truncate(0)); err != nil {
		return fmt.Errorf("emptying scratch file of the log: %w", err)
	}
	return nil
}
