package progressview

import (
	"fmt"
	"slices"
	"strings"
)

// Control sequences of ECMA-48, which every terminal understands.
const (
	cursorUp    = "\x1b[%dA"
	eraseToEnd  = "\x1b[K"
	eraseBelow  = "\x1b[J"
	carriageRet = "\r"
)

// Screen draws frames over one another. The zero value has drawn nothing.
type Screen struct {
	lines []string // as they were drawn last
	width int
}

// Paint returns what to write, in one piece, so that the terminal shows the new
// frame in place of the last one; "" when nothing has changed. Lines are
// overwritten and not erased first, so nothing flickers. width is the terminal's
// width now.
func (s *Screen) Paint(lines []string, width int) string {
	if width == s.width && slices.Equal(lines, s.lines) {
		return ""
	}
	var out strings.Builder
	out.WriteString(carriageRet)
	if up := rows(s.lines, width); up > 0 {
		fmt.Fprintf(&out, cursorUp, up)
	}
	for _, line := range lines {
		out.WriteString(line + eraseToEnd + "\n")
	}
	out.WriteString(eraseBelow)
	s.lines, s.width = slices.Clone(lines), width
	return out.String()
}

// rows is how many rows of the terminal lines take. A terminal that has become
// narrower has wrapped them.
func rows(lines []string, width int) int {
	n := 0
	for _, line := range lines {
		n += max(1, (columns(visible(line))+max(width, 1)-1)/max(width, 1))
	}
	return n
}
