package describe

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// page is a text in columns. In formats a tab ends a column or, at the start of
// a line, indents it.
type page struct {
	look   Look
	prefix string // of each line
	text   strings.Builder
	out    *tabwriter.Writer
}

func newPage(look Look) *page {
	p := &page{look: look}
	p.out = tabwriter.NewWriter(&p.text, 0, 8, 2, ' ', 0)
	return p
}

// line adds a line. Writing to a strings.Builder cannot fail.
func (p *page) line(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, p.prefix+format+"\n", args...)
}

func (p *page) gap() { p.line("") }

// field adds a heading and its value, and a gap.
func (p *page) field(name, value string) {
	p.line("%s:\t%s", name, value)
	p.gap()
}

// pairs adds a map, sorted, one entry a line.
func (p *page) pairs(name string, m map[string]string) {
	first := name + ":"
	if len(m) == 0 {
		p.line("%s\t%s", first, none)
		return
	}
	for _, key := range sortedKeys(m) {
		p.line("%s\t%s=%s", first, key, OneLine(m[key]))
		first = ""
	}
}

// texts adds a heading and its texts, the first of them beside it. An empty list
// is one column further to the right, as in Velero.
func (p *page) texts(indent, name string, list []string) {
	if len(list) == 0 {
		p.line("%s%s:\t%s%s", indent, name, indent, none)
		return
	}
	first := name + ":"
	for _, text := range list {
		p.line("%s%s\t%s", indent, first, printable(text))
		first = ""
	}
}

// Colors of texts (ECMA-48).
const (
	Red   = "\x1b[31m"
	Green = "\x1b[32m"
	Plain = "\x1b[0m"

	bold = "\x1b[1m"
)

// Paint returns a text in a color.
func Paint(color, text string) string { return color + text + Plain }

// painted is a text in a color, for last columns only: their width does not count.
func (p *page) painted(color, text string) string {
	if !p.look.Color {
		return text
	}
	return Paint(color, text)
}

// phase is a phase in the color that Velero's client gives it.
func (p *page) phase(phase, text string) string {
	switch phase {
	case runCompleted, scheduleEnabled:
		return p.painted(Green, text)
	case runRejected, runPartiallyFailed, runFailed:
		return p.painted(Red, text)
	default:
		return text
	}
}

func (p *page) String() string {
	// A flush into a strings.Builder cannot fail.
	_ = p.out.Flush()
	return trimLines(p.text.String())
}

// trimLines takes away the spaces at the ends of lines.
func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
