package progressview

import (
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/width"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

// columns is the number of terminal columns a text takes: two for East Asian
// wide characters.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r < utf8.RuneSelf {
		return 1
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

// cut shortens a text to a number of columns; a text that is cut ends in "…".
func cut(text string, limit int) string {
	if columns(text) <= limit {
		return text
	}
	if limit <= 0 {
		return ""
	}
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n > limit-1 {
			return text[:i] + "…"
		}
	}
	return text
}

// cutStart shortens a text at its beginning, for names whose end tells most.
func cutStart(text string, limit int) string {
	if columns(text) <= limit {
		return text
	}
	for text != "" && columns(text) > limit-1 {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return cut("…"+text, limit)
}

// indexOfColumn is where a column of a text begins, or the end of the text.
func indexOfColumn(text string, column int) int {
	n := 0
	for i, r := range text {
		if n >= column {
			return i
		}
		n += runeColumns(r)
	}
	return len(text)
}

// visible is a text without its colors.
func visible(text string) string {
	return strings.NewReplacer(describe.Red, "", describe.Green, "", describe.Plain, "").Replace(text)
}

// wrap breaks a text into lines between words. What does not fit into the last
// line is cut off.
func wrap(text string, width, maxLines int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		last := len(lines) - 1
		if last >= 0 && (len(lines) == maxLines || columns(lines[last])+1+columns(word) <= width) {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	for i := range lines {
		lines[i] = cut(lines[i], width)
	}
	return lines
}

func indented(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, line := range lines {
		out = append(out, "  "+line)
	}
	return out
}

func padRight(text string, to int) string {
	return text + strings.Repeat(" ", max(0, to-columns(text)))
}

func padLeft(text string, to int) string {
	return strings.Repeat(" ", max(0, to-columns(text))) + text
}

// reasonText is a Why on one line.
func reasonText(w describe.Why) string {
	if w.Message == "" || w.Reason == "" {
		return w.Reason + w.Message
	}
	return w.Reason + ": " + w.Message
}

func isMoving(v describe.Volume) bool {
	return v.Phase == describe.PhaseInProgress || v.Phase == describe.PhaseCanceling
}

// percent is how much is done, 0 to 99 while it goes on: totals may still grow,
// and nothing is complete before it says so.
func percent(done, total int64) int {
	if total <= 0 {
		return 0
	}
	return min(99, int(float64(done)/float64(total)*100))
}

func rate(bytesPerSecond int64) string {
	if bytesPerSecond <= 0 {
		return ""
	}
	return describe.Bytes(bytesPerSecond) + "/s"
}

// ended is how a finished volume is described, in a frame and in a line.
func ended(v describe.Volume) string {
	if v.HasFailed() {
		if why := v.Explanation(); why != "" {
			return v.Phase + ": " + why
		}
		return v.Phase
	}
	text := v.Phase + "  " + describe.Bytes(v.BytesDone)
	if v.IncrementalBytes > 0 {
		text += ", " + describe.Bytes(v.IncrementalBytes) + " new"
	}
	if d := v.Duration(); d >= time.Second {
		text += " in " + describe.Elapsed(d)
	}
	if v.SkippedFiles > 0 {
		text += ", " + describe.Count(int(v.SkippedFiles), "file") + " skipped"
	}
	return text
}

// reasonOf is the reason a headline shows beside the phase, if it adds anything.
func reasonOf(s State) describe.Why {
	if s.Why.Reason == s.Phase || s.Why.Reason == velerov1.ReasonSucceeded {
		return describe.Why{Message: s.Why.Message}
	}
	return s.Why
}

// Fit shortens a text to a number of columns.
func Fit(text string, limit int) string { return cut(text, limit) }
