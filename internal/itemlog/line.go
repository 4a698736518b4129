package itemlog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Levels of a line. The names are those of Velero's logs, which people search
// for.
const (
	levelInfo    = "info"
	levelWarning = "warning"
	levelError   = "error"
)

// line is one line of the log.
type line struct {
	time    time.Time
	level   string
	message string
	fields  []any // keys and values alternate
}

// appendLine appends the logfmt form of a line, with its newline.
func appendLine(b []byte, l line) []byte {
	b = append(b, "time="...)
	b = strconv.AppendQuote(b, l.time.UTC().Format(time.RFC3339))
	b = append(b, " level="...)
	b = append(b, l.level...)
	b = append(b, " msg="...)
	b = strconv.AppendQuote(b, l.message)
	for i := 0; i+1 < len(l.fields); i += 2 {
		b = append(b, ' ')
		b = append(b, fmt.Sprint(l.fields[i])...)
		b = append(b, '=')
		b = appendValue(b, fmt.Sprint(l.fields[i+1]))
	}
	return append(b, '\n')
}

// appendValue quotes what a reader could not tell from the next field.
func appendValue(b []byte, v string) []byte {
	plain := v != "" && !strings.ContainsFunc(v, func(r rune) bool {
		return r == '"' || r == '=' || unicode.IsSpace(r) || !unicode.IsPrint(r)
	})
	if plain {
		return append(b, v...)
	}
	return strconv.AppendQuote(b, v)
}
