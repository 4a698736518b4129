package validation

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/podkeep/podkeep/internal/selection"
)

const (
	// maxRunes bounds one warning. The API server cuts warnings to this length when
	// there are many (k8s.io/apiserver/pkg/endpoints/filters, warning.go).
	maxRunes = 256

	// maxTotalRunes bounds all warnings of one answer. The API server drops what is
	// beyond 4 096 of all webhooks together.
	maxTotalRunes = 3000
)

// prefix says who warns.
const prefix = "podkeep: "

// ForAuthor turns what the author of a pod should know into warnings of an answer.
func ForAuthor(warnings []selection.Warning) []string {
	texts := make([]string, 0, len(warnings))
	for _, w := range warnings {
		texts = append(texts, w.Text)
	}
	return Warnings(texts)
}

// Warnings makes texts fit for the header in which warnings travel: each once, one
// line of printable characters, and not more than people are shown.
func Warnings(texts []string) []string {
	var warnings []string
	total := 0
	for i, text := range texts {
		text = line(prefix + text)
		if slices.Contains(warnings, text) {
			continue
		}
		total += utf8.RuneCountInString(text)
		if total > maxTotalRunes {
			return append(warnings, fmt.Sprintf("%sand %d more", prefix, len(texts)-i))
		}
		warnings = append(warnings, text)
	}
	return warnings
}

func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if utf8.RuneCountInString(text) <= maxRunes {
		return text
	}
	return string([]rune(text)[:maxRunes-1]) + "…"
}
