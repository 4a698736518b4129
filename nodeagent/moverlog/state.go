package moverlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/podkeep/podkeep/internal/wire"
)

// State is what a mover has said so far. The zero value is a mover that has said
// nothing.
type State struct {
	Opened   bool // the log could be read, so that silence means something
	Prepared bool
	Started  bool

	// StartedAt is when Started was read; zero means never.
	StartedAt time.Time

	// Progress is the latest report, taken over at most once per
	// progressInterval.
	Progress wire.Progress

	// Result is how the mover ended; nil means that it has not said.
	Result *wire.Result

	// LastWords are the last lines that are no messages, oldest first: what a
	// mover that dies without a result leaves behind.
	LastWords string
}

// progressInterval is how often a mover's progress is worth a write to the API.
const progressInterval = time.Second

// maxLineBytes bounds a line; a Result has a bounded number of samples and fits
// (internal/wire, MaxTerminationMessageBytes).
const maxLineBytes = 64 << 10

// Last words: enough for the head line of a Go panic and what led to it.
const (
	maxLastWords      = 5
	maxLastWordsBytes = 500
)

// change says what a line changed, for those who wait for it.
type change int

const (
	changeNothing change = iota
	changeProgress
	changeStage // prepared, started or result
)

// log reads one mover's log into a State. It is not safe for concurrent use.
type log struct {
	state        State
	words        []string
	progressSeen time.Time // when state.Progress was last taken over
}

// restart begins to read a log that was opened, perhaps again, and then repeats
// itself: its words are forgotten, while stages and progress only ever grow.
func (l *log) restart() {
	l.words = nil
	l.state.Opened = true
}

// line takes one line of the log, read at now.
func (l *log) line(text string, now time.Time) change {
	var m wire.Message
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &m) != nil {
		l.remember(text)
		return changeNothing
	}
	switch m.Type {
	case wire.MessagePrepared:
		return l.stage(&l.state.Prepared)
	case wire.MessageStarted:
		if !l.state.Started {
			l.state.StartedAt = now
		}
		return l.stage(&l.state.Started)
	case wire.MessageProgress:
		return l.progress(m.Progress, now)
	case wire.MessageResult:
		return l.result(m.Result)
	default:
		l.remember(text)
		return changeNothing
	}
}

func (l *log) stage(reached *bool) change {
	if *reached {
		return changeNothing
	}
	*reached = true
	l.state.Prepared = true // started implies prepared
	return changeStage
}

func (l *log) progress(p *wire.Progress, now time.Time) change {
	if p == nil || *p == l.state.Progress || now.Sub(l.progressSeen) < progressInterval {
		return changeNothing
	}
	l.state.Progress = *p
	l.progressSeen = now
	return changeProgress
}

func (l *log) result(r *wire.Result) change {
	if r == nil || l.state.Result != nil {
		return changeNothing
	}
	l.state.Result = r
	return changeStage
}

func (l *log) remember(text string) {
	text = strings.TrimSpace(text)
	if text == "" {
		return
	}
	if len(text) > maxLastWordsBytes {
		text = strings.ToValidUTF8(text[:maxLastWordsBytes], "") + "…"
	}
	l.words = append(l.words, text)
	if len(l.words) > maxLastWords {
		l.words = l.words[1:]
	}
	l.state.LastWords = strings.Join(l.words, "; ")
}

// lines calls each for every complete line of r, until r ends or each says stop.
// A line without its end is not complete: the mover was cut off while writing it.
// What goes beyond maxLineBytes is cut off the line.
func lines(r io.Reader, each func(text string) (stop bool)) error {
	reader := bufio.NewReaderSize(r, 4<<10)
	var text []byte
	for {
		piece, err := reader.ReadSlice('\n')
		if room := maxLineBytes - len(text); room > 0 {
			text = append(text, piece[:min(len(piece), room)]...)
		}
		switch {
		case err == nil:
			if each(strings.TrimRight(string(text), "\r\n")) {
				return nil
			}
			text = text[:0]
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return nil
		default:
			return err
		}
	}
}
