// Package itemlog collects what a backup or a restore has to say: the lines of
// its log file, and the warnings and errors of its results.
//
// A log lives in a scratch file, already compressed, so memory does not grow
// with it. After a restart of the server Resume continues from the interim
// files in the bucket: gzip members may follow each other in one file (RFC 1952,
// §2.2), so nothing is unpacked for that.
//
// Lines are logfmt, the results those of Velero (velero-facts §1.6). Used by
// controllers/backup and controllers/restore.
package itemlog

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/internal/layout"
)

// Options say where a log lives and what each of its lines begins with.
type Options struct {
	// Dir holds the scratch file; "" is the system's temporary directory.
	Dir string

	// Clock stamps the lines.
	Clock clock.PassiveClock

	// Fields are keys and values that end every line, such as "backup",
	// "velero/nightly".
	Fields []any
}

// Log is the log of one backup or restore. It is safe for concurrent use.
type Log struct {
	clock  clock.PassiveClock
	fields []any

	mu      sync.Mutex // guards all below
	file    *os.File
	gz      *gzip.Writer // nil between two members
	results layout.Results
	err     error // the first error of writing; everything after it is counted only
}

// New starts an empty log. The caller closes it.
func New(o Options) (*Log, error) {
	file, err := os.CreateTemp(o.Dir, "podkeep-log-*")
	if err != nil {
		return nil, fmt.Errorf("creating scratch file of the log: %w", err)
	}
	return &Log{clock: o.Clock, fields: o.Fields, file: file}, nil
}

// Resume continues a log: lines is what Open gave before, results are those of
// that time. The caller closes it.
//
// A bucket may be damaged, or somebody may have written to it. Lines that cannot
// be read, or that are more than a log has, are left out with a warning: a log is
// not worth the backup that it is about. Errors of lines itself are returned.
func Resume(o Options, lines io.Reader, results layout.Results) (*Log, error) {
	l, err := New(o)
	if err != nil {
		return nil, err
	}
	l.results = clone(results)
	if _, err := io.Copy(l.file, io.LimitReader(lines, maxResumedBytes+1)); err != nil {
		return nil, errors.Join(fmt.Errorf("reading the log so far: %w", err), l.Close())
	}
	damage, err := l.inspect()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if damage == nil {
		return l, nil
	}
	if err := l.reset(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if e := (Entry{Message: "The log before this line is lost", Err: damage}); !e.in(l.results.Warnings) {
		l.Warn(e)
	}
	return l, nil
}

// Info adds a line. Keys and values alternate.
func (l *Log) Info(message string, keysAndValues ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.write(levelInfo, message, keysAndValues)
}

// Warn adds a line and a warning to the results.
func (l *Log) Warn(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.write(levelWarning, e.Message, e.fields())
	e.addTo(&l.results.Warnings)
}

// Error adds a line and an error to the results.
func (l *Log) Error(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.write(levelError, e.Message, e.fields())
	e.addTo(&l.results.Errors)
}

// ErrorOnce is Error for an entry that is not in the results, so that a step
// that is repeated after a restart says everything once.
func (l *Log) ErrorOnce(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if e.in(l.results.Errors) {
		return
	}
	l.write(levelError, e.Message, e.fields())
	e.addTo(&l.results.Errors)
}

// WarnOnce is Warn for an entry that is not in the results.
func (l *Log) WarnOnce(e Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if e.in(l.results.Warnings) {
		return
	}
	l.write(levelWarning, e.Message, e.fields())
	e.addTo(&l.results.Warnings)
}

// Counts returns how many warnings and errors there are.
func (l *Log) Counts() (warnings, errors int) {
	l.mu.Lock()
	defer l.mu.Unlock()

	return l.results.Warnings.Count(), l.results.Errors.Count()
}

// Results returns a copy of the warnings and errors so far.
func (l *Log) Results() layout.Results {
	l.mu.Lock()
	defer l.mu.Unlock()

	return clone(l.results)
}

// Open returns the lines so far, compressed, for an upload. Lines that are added
// later are not in it. The caller closes it; it reads from the scratch file and
// must not outlive the log.
//
// Open returns the first error that writing the scratch file met, because then
// lines are missing.
func (l *Log) Open() (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.endMember()
	if l.err != nil {
		return nil, l.err
	}
	size, err := l.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("reading scratch file of the log: %w", err)
	}
	return io.NopCloser(io.NewSectionReader(l.file, 0, size)), nil
}

// Close removes the scratch file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()

	err := errors.Join(l.file.Close(), os.Remove(l.file.Name()))
	if l.err == nil {
		l.err = os.ErrClosed
	}
	return err
}

// write appends a line. The caller holds mu.
func (l *Log) write(level, message string, keysAndValues []any) {
	if l.err != nil {
		return
	}
	if l.gz == nil {
		l.gz = gzip.NewWriter(l.file)
	}
	if _, err := l.gz.Write(appendLine(nil, line{
		time:    l.clock.Now(),
		level:   level,
		message: message,
		fields:  append(keysAndValues[:len(keysAndValues):len(keysAndValues)], l.fields...),
	})); err != nil {
		l.err = fmt.Errorf("writing scratch file of the log: %w", err)
	}
}

// endMember completes what has been written. The caller holds mu.
func (l *Log) endMember() {
	if l.gz == nil {
		return
	}
	if err := l.gz.Close(); err != nil && l.err == nil {
		l.err = fmt.Errorf("writing scratch file of the log: %w", err)
	}
	l.gz = nil
}
