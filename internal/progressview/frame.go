package progressview

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/podkeep/podkeep/internal/describe"
)

// Size is what a frame must fit into, and what it is drawn with.
type Size struct {
	Width  int // columns
	Height int // lines
	ASCII  bool
	Color  bool
}

// line is a line of a frame. Its text is colored from a column on.
type line struct {
	text  string
	color string // "" for none
	from  int
}

func plainLines(texts []string) []line {
	lines := make([]line, 0, len(texts))
	for _, t := range texts {
		lines = append(lines, line{text: t})
	}
	return lines
}

// fit is the line as it is drawn in a frame of a size.
func (l line) fit(size Size) string {
	text := strings.TrimRight(cut(l.text, size.Width), " ")
	if size.ASCII {
		text = strings.ReplaceAll(text, "…", "~")
	}
	if !size.Color || l.color == "" {
		return text
	}
	at := indexOfColumn(text, l.from)
	return text[:at] + describe.Paint(l.color, text[at:])
}

// Widths of the columns beside a bar. describe.Bytes takes 8.
const (
	percentWidth = 5  // " 42%" and a space
	bytesWidth   = 19 // "99.9 MiB/99.9 MiB" and spaces
	rateWidth    = 12 // "99.9 MiB/s" and spaces
	minBar       = 6
	maxBar       = 30
	minName      = 8
)

// Frame returns the lines that show a state. None is wider than size.Width, and
// there are no more than size.Height.
func Frame(s State, m *Meter, elapsed time.Duration, size Size) []string {
	lines := plainLines([]string{headline(s, elapsed, size.Width)})
	if s.Why.Problem && s.Why.Message != "" {
		lines = append(lines, plainLines(indented(wrap(s.Why.Message, size.Width-2, maxNoteLines)))...)
	}
	if s.Trouble != "" {
		lines = append(lines, plainLines(indented(wrap(s.Trouble, size.Width-2, maxNoteLines)))...)
	}
	l := newLayout(s.Volumes, size)
	if s.ItemsTotal > 0 {
		lines = append(lines, line{text: itemsLine(s, l)})
	}
	tail := notes(s.Volumes, l)
	if footer := totalsLine(s, m); footer != "" {
		tail = append(tail, footer)
	}
	lines = append(lines, volumeLines(s.Volumes, m, l, size.Height-len(lines)-len(tail))...)
	lines = append(lines, plainLines(tail)...)
	lines = lines[:max(0, min(len(lines), size.Height))]
	texts := make([]string, 0, len(lines))
	for _, l := range lines {
		texts = append(texts, l.fit(size))
	}
	return texts
}

func headline(s State, elapsed time.Duration, width int) string {
	text := s.Title + "  " + s.Phase
	if reason := reasonOf(s).Reason; reason != "" {
		text += "  " + reason
	}
	clock := describe.Elapsed(elapsed)
	return padRight(cut(text, width-len(clock)-1), width-len(clock)) + clock
}

// layout is which columns a frame has. It depends on names and on the width
// only, so that columns stay where they are from frame to frame.
type layout struct {
	width     int // of the whole line
	name      int
	bar       int
	withBytes bool
	withRate  bool
	ascii     bool
}

func newLayout(volumes []describe.Volume, size Size) layout {
	l := layout{width: size.Width, name: minName, ascii: size.ASCII}
	for _, v := range volumes {
		l.name = max(l.name, columns(v.Name()))
	}
	l.name = min(l.name, max(minName, size.Width*2/5))
	room := size.Width - l.name - 2 - percentWidth
	if room >= minBar+bytesWidth {
		l.withBytes = true
		room -= bytesWidth
	}
	if l.withBytes && room >= minBar+rateWidth {
		l.withRate = true
		room -= rateWidth
	}
	l.bar = max(0, min(maxBar, room))
	return l
}

func itemsLine(s State, l layout) string {
	count := fmt.Sprintf("%d/%d", s.ItemsDone, s.ItemsTotal)
	if s.ItemsDone >= s.ItemsTotal {
		return padRight("items", l.name) + "  " + count
	}
	return padRight("items", l.name) + "  " + l.barText(int64(s.ItemsDone), int64(s.ItemsTotal)) + " " + count
}

// volumeLines are the volumes that fit: all of them, or those that move or have
// failed, then those that wait, with the others counted in a last line.
func volumeLines(volumes []describe.Volume, m *Meter, l layout, room int) []line {
	shown, hidden := volumes, []describe.Volume(nil)
	if len(volumes) > room {
		shown, hidden = mostTelling(volumes, max(0, room-1))
	}
	var lines []line
	for _, v := range shown {
		lines = append(lines, line{text: volumeLine(v, m, l), color: colorOf(v), from: l.name + 2})
	}
	if len(hidden) > 0 {
		t := describe.Sum(hidden)
		lines = append(lines, line{text: fmt.Sprintf("… and %d more: %d completed, %d failed, %d moving, %d waiting",
			t.All(), t.Completed, t.Failed, t.Moving, t.Waiting)})
	}
	return lines
}

// colorOf is the color of what is said about a volume.
func colorOf(v describe.Volume) string {
	switch {
	case v.HasFailed():
		return describe.Red
	case v.Finished:
		return describe.Green
	default:
		return ""
	}
}

// mostTelling picks n volumes and leaves both parts in their order.
func mostTelling(volumes []describe.Volume, n int) (shown, hidden []describe.Volume) {
	ranks := []func(describe.Volume) bool{
		isMoving,
		describe.Volume.HasFailed,
		func(v describe.Volume) bool { return !v.Finished },
		func(describe.Volume) bool { return true },
	}
	picked := make([]bool, len(volumes))
	for _, matches := range ranks {
		for i, v := range volumes {
			if n > 0 && !picked[i] && matches(v) {
				picked[i] = true
				n--
			}
		}
	}
	for i, v := range volumes {
		if picked[i] {
			shown = append(shown, v)
		} else {
			hidden = append(hidden, v)
		}
	}
	return shown, hidden
}

func volumeLine(v describe.Volume, m *Meter, l layout) string {
	name := padRight(cutStart(v.Name(), l.name), l.name) + "  "
	if isMoving(v) {
		return name + movingText(v, m, l)
	}
	text := standing(v)
	if !l.fits(text) && explanation(v) != "" {
		// The whole of it is in the notes.
		return name + cmp.Or(v.Why.Reason, v.Phase)
	}
	return name + text
}

// standing is the text in place of a bar.
func standing(v describe.Volume) string {
	switch {
	case v.Finished:
		return ended(v)
	case v.Why.Reason != "":
		return reasonText(v.Why)
	default:
		return v.Phase
	}
}

// explanation is the part of standing that may be long; "" when there is none.
func explanation(v describe.Volume) string {
	switch {
	case v.HasFailed():
		return v.Explanation()
	case v.Finished, isMoving(v):
		return ""
	default:
		return v.Why.Message
	}
}

// fits reports whether a text has room beside a name.
func (l layout) fits(text string) bool { return columns(text) <= l.width-l.name-2 }

// Bounds of the notes below the volumes.
const (
	maxNotes     = 3
	maxNoteLines = 2
)

// notes are the explanations that have no room beside their volumes, each of
// them once. What every volume goes through needs no explanation.
func notes(volumes []describe.Volume, l layout) []string {
	var texts, lines []string
	for _, v := range volumes {
		text := explanation(v)
		if text == "" || isRoutine(v) || l.fits(standing(v)) || slices.Contains(texts, text) {
			continue
		}
		if len(texts) == maxNotes {
			break
		}
		texts = append(texts, text)
		lines = append(lines, wrap(text, l.width-2, maxNoteLines)...)
	}
	return indented(lines)
}

func movingText(v describe.Volume, m *Meter, l layout) string {
	if v.BytesTotal <= 0 {
		return strings.TrimSpace(describe.Bytes(v.BytesDone) + " so far  " + rate(m.Rate(v.Name())))
	}
	text := l.barText(v.BytesDone, v.BytesTotal) + padLeft(fmt.Sprintf("%d%%", percent(v.BytesDone, v.BytesTotal)), percentWidth-1) + " "
	if l.withBytes {
		text += padLeft(bytesText(v), bytesWidth)
	}
	if l.withRate {
		text += padLeft(rate(m.Rate(v.Name())), rateWidth)
	}
	return text
}

func bytesText(v describe.Volume) string {
	return describe.Bytes(v.BytesDone) + "/" + describe.Bytes(max(v.BytesTotal, v.BytesDone))
}

// barText is a bar of l.bar columns; empty when there is no room for one.
func (l layout) barText(done, total int64) string {
	if l.bar < minBar {
		return ""
	}
	full, empty := "━", "─"
	if l.ascii {
		full, empty = "#", "."
	}
	n := 0
	if total > 0 {
		n = max(0, min(l.bar, int(float64(l.bar)*float64(done)/float64(total))))
	}
	return strings.Repeat(full, n) + strings.Repeat(empty, l.bar-n)
}

// totalsLine adds the volumes up; there is none for a single volume, whose line
// says the same.
func totalsLine(s State, m *Meter) string {
	t := describe.Sum(s.Volumes)
	if t.All() < 2 {
		return ""
	}
	text := fmt.Sprintf("%d of %d volumes", t.Finished(), t.All())
	if t.Failed > 0 {
		text += fmt.Sprintf(", %d failed", t.Failed)
	}
	text += "  " + describe.Bytes(t.BytesDone)
	if t.BytesTotal > t.BytesDone {
		text += " of " + describe.Bytes(t.BytesTotal)
	}
	if r := rate(m.Total()); r != "" {
		text += "  " + r
	}
	return text
}
