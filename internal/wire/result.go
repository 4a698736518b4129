package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// MessageType says what a line on the mover's standard output reports.
type MessageType string

// The lines of a mover, in the order in which they appear.
const (
	MessagePrepared MessageType = "prepared" // repository open, waiting for a slot
	MessageStarted  MessageType = "started"  // slot granted, data is moving
	MessageProgress MessageType = "progress" // at least once a second while data is moving
	MessageResult   MessageType = "result"   // the last line; the same as the termination message
)

// Message is one line on the mover's standard output.
type Message struct {
	Type     MessageType `json:"type"`
	Progress *Progress   `json:"progress,omitempty"`
	Result   *Result     `json:"result,omitempty"`
}

// Progress is how far a mover is. TotalBytes is an estimate until the end and
// 0 while it is unknown.
type Progress struct {
	TotalBytes int64 `json:"totalBytes"`
	DoneBytes  int64 `json:"doneBytes"`
}

// Result is how a mover ended. Error is "" when it succeeded.
type Result struct {
	SnapshotID       string `json:"snapshotID,omitempty"`       // backup: kopia manifest ID
	TotalBytes       int64  `json:"totalBytes"`                 // logical size of the volume
	IncrementalBytes int64  `json:"incrementalBytes,omitempty"` // backup: bytes of files that were not unchanged
	UploadedBytes    int64  `json:"uploadedBytes,omitempty"`    // backup: bytes written to the repository
	Files            int64  `json:"files,omitempty"`

	// SkippedFiles counts entries that a file system backup does not carry
	// (fifos, sockets, devices); Skipped names the first of them.
	SkippedFiles int64    `json:"skippedFiles,omitempty"`
	Skipped      []string `json:"skipped,omitempty"`

	// FailedFiles counts files that could not be read; Failed names the first.
	FailedFiles int64    `json:"failedFiles,omitempty"`
	Failed      []string `json:"failed,omitempty"`

	// LostAttributes counts owners, modes and times that could not be restored;
	// Lost names the first of them.
	LostAttributes int64    `json:"lostAttributes,omitempty"`
	Lost           []string `json:"lost,omitempty"`

	Cycle Cycle `json:"cycle,omitempty"` // maintenance: what it has done

	Error    string `json:"error,omitempty"`
	Reason   string `json:"reason,omitempty"` // a condition reason of api/velero/v1
	Canceled bool   `json:"canceled,omitempty"`
}

// Cycle is what a maintenance has done.
type Cycle string

// Cycles of maintenance. Only a full one frees the space of what was deleted.
const (
	CycleNone  Cycle = "none" // nothing was due
	CycleQuick Cycle = "quick"
	CycleFull  Cycle = "full"
)

// MaxTerminationMessageBytes is the kubelet's limit for one container's
// termination message (k8s.io/kubernetes/pkg/kubelet/container,
// MaxContainerTerminationMessageLength).
const MaxTerminationMessageBytes = 4096

// maxErrorBytes leaves room for the counts and samples of a Result.
const maxErrorBytes = 1500

// ErrNoResult is returned when a mover ended without writing a result, which
// is what a killed mover does.
var ErrNoResult = errors.New("mover left no result")

// ParseResult reads a termination message.
func ParseResult(text string) (Result, error) {
	var r Result
	if strings.TrimSpace(text) == "" {
		return r, ErrNoResult
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, fmt.Errorf("%w: termination message %.200q: %w", ErrNoResult, text, err)
	}
	return r, nil
}

// TerminationMessage encodes the result so that it fits the kubelet's limit:
// samples are dropped, then the error is cut, counts never are.
func (r Result) TerminationMessage() []byte {
	if len(r.Error) > maxErrorBytes {
		r.Error = strings.ToValidUTF8(r.Error[:maxErrorBytes], "") + "…"
	}
	for {
		b, err := json.Marshal(r)
		if err == nil && len(b) <= MaxTerminationMessageBytes {
			return b
		}
		if !r.dropSample() {
			return b[:min(len(b), MaxTerminationMessageBytes)]
		}
	}
}

// dropSample removes one name from the longest sample list.
func (r *Result) dropSample() bool {
	longest := &r.Skipped
	for _, s := range []*[]string{&r.Failed, &r.Lost} {
		if len(*s) > len(*longest) {
			longest = s
		}
	}
	if len(*longest) == 0 {
		return false
	}
	*longest = (*longest)[:len(*longest)-1]
	return true
}
