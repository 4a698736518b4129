package describe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// page is a text in columns. In formats a tab ends a column or, at the start of
// a line, indents it.
type page struct {
	text strings.Builder
	out  *tabwriter.Writer
}

func newPage() *page {
	p := &page{}
	p.out = tabwriter.NewWriter(&p.text, 0, 8, 2, ' ', 0)
	return p
}

// line adds a line. Writing to a strings.Builder cannot fail.
func (p *page) line(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
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
	for _, key := range slices.Sorted(maps.Keys(m)) {
		p.line("%s\t%s=%s", first, key, OneLine(m[key]))
		first = ""
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
