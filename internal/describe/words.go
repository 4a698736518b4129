package describe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Words for what is not there, as in Velero.
const (
	none         = "<none>"
	noneIncluded = "<none included>"
	notAvailable = "<n/a>"
	auto         = "auto"
	everything   = "*"
	never        = "<never>"
)

// Bytes returns a size for people, in units of 1024: "512 B", "1.5 GiB",
// "640 MiB". It takes at most 8 columns.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatInt(max(n, 0), 10) + " B"
	}
	value, prefixes := float64(n), "KMGTPE"
	i := -1
	// 1023.5 is where the next smaller unit would be rounded up to 1024.
	for value >= unit-0.5 || i < 0 {
		value /= unit
		i++
	}
	// 99.95 is where one decimal would be rounded up to three digits.
	if value < 99.95 {
		return fmt.Sprintf("%.1f %ciB", value, prefixes[i])
	}
	return fmt.Sprintf("%.0f %ciB", value, prefixes[i])
}

// Elapsed returns a length of time for people: "0s", "41s", "2m5s", "3h20m".
func Elapsed(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// OneLine makes a text safe for one line of a terminal: line ends become "; ",
// other control characters, which could be commands to the terminal, become
// spaces.
func OneLine(text string) string { return strings.TrimSpace(printable(text)) }

// printable is OneLine with the spaces around the text.
func printable(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.Join(lines, "; "))
}

// Count returns a number with its noun, which forms its plural with an s.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// joined returns the entries of a list, or a word for an empty one.
func joined(list []string, empty string) string {
	if len(list) == 0 {
		return empty
	}
	return strings.Join(list, ", ")
}

// optional returns a word for each of the three states of an optional boolean.
func optional(b *bool, yes, no, unset string) string {
	switch {
	case b == nil:
		return unset
	case *b:
		return yes
	default:
		return no
	}
}

func optionalTime(t *metav1.Time) string {
	if t.IsZero() {
		return notAvailable
	}
	return t.String()
}

// expiry returns how long until a time, as "29d", or how long since, as "5d ago".
func expiry(at time.Time, now time.Time) string {
	if at.IsZero() {
		return "n/a"
	}
	if left := at.Sub(now); left >= 0 {
		return duration.ShortHumanDuration(left)
	}
	return duration.ShortHumanDuration(now.Sub(at)) + " ago"
}

func selectorText(s *metav1.LabelSelector) string {
	if s == nil {
		return none
	}
	return metav1.FormatLabelSelector(s)
}

func selectorsText(list []*metav1.LabelSelector) string {
	texts := make([]string, 0, len(list))
	for _, s := range list {
		texts = append(texts, metav1.FormatLabelSelector(s))
	}
	if len(texts) == 0 {
		return none
	}
	return strings.Join(texts, " or ")
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
