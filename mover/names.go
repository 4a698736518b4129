package mover

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// kopia keeps names in JSON, which turns each byte that is not UTF-8 into the
// same replacement character: names change, and two of them can become one. So
// such a byte b is stored as the private-use character U+10F700+b. A name that
// already has characters of that range gets their bytes escaped too, so the
// escape is reversible. A snapshot with escaped names has tagNames.
const (
	escapeBase  = 0x10F700
	escapeFirst = escapeBase + 0x80
	escapeLast  = escapeBase + 0xFF

	// escapeLead starts the UTF-8 form of all characters of the range.
	escapeLead = "\xf4\x8f"
)

// escapeName returns name as it is stored.
func escapeName(name string) string {
	if utf8.ValidString(name) && !strings.Contains(name, escapeLead) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == utf8.RuneError && n == 1, r >= escapeFirst && r <= escapeLast:
			for _, c := range []byte(name[i : i+n]) {
				b.WriteRune(escapeBase + rune(c))
			}
		default:
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

// isEscaped reports whether a stored name may have escapes. It is true for some
// names without, which unescapeName leaves as they are.
func isEscaped(stored string) bool { return strings.Contains(stored, escapeLead) }

// unescapeName reverses escapeName. It works on paths too: a slash is never
// escaped.
func unescapeName(stored string) string {
	if !isEscaped(stored) {
		return stored
	}
	var b strings.Builder
	for _, r := range stored {
		if r >= escapeFirst && r <= escapeLast {
			b.WriteByte(byte(r - escapeBase))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// printable returns a path for people: quoted when it has line breaks or bytes
// that would spoil a message.
func printable(path string) string {
	quoted := strconv.Quote(path)
	if quoted[1:len(quoted)-1] == path {
		return path
	}
	return quoted
}
