package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what the program prints: one table, then notes on where the time
// went.
type report struct {
	rows  []row
	notes []string
}

// row is a measured value. Empty cells are printed as "–".
type row struct {
	what      string
	measured  string
	yardstick string
	ratio     string
	budget    string
	verdict   verdict
	detail    string
}

// verdict says how a value compares with its budget.
type verdict string

const (
	verdictNone   verdict = "" // no budget
	verdictOK     verdict = "ok"
	verdictMissed verdict = "MISSED"
)

// judge compares each value with its limit.
func judge(limits ...limit) verdict {
	if slices.ContainsFunc(limits, func(l limit) bool { return l.value > l.most }) {
		return verdictMissed
	}
	return verdictOK
}

type limit struct{ value, most float64 }

func (r *report) add(rows ...row)  { r.rows = append(r.rows, rows...) }
func (r *report) note(text string) { r.notes = append(r.notes, strings.TrimRight(text, "\n")) }

func (r *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tMEASURED\tYARDSTICK\tRATIO\tBUDGET\tRESULT\tDETAIL")
	for _, l := range r.rows {
		cells := []string{l.what, l.measured, l.yardstick, l.ratio, l.budget, string(l.verdict), l.detail}
		for i, c := range cells {
			if c == "" && i < len(cells)-1 {
				cells[i] = "–"
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
	for _, n := range r.notes {
		fmt.Fprintf(out, "\n%s\n", n)
	}
}

// spread is the least, the middle and the greatest of some values.
type spread struct{ min, median, max float64 }

// spreadOf returns the spread of at least one value. The median of an even
// number of values is the mean of the middle two.
func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{min: sorted[0], median: (sorted[(n-1)/2] + sorted[n/2]) / 2, max: sorted[n-1]}
}

// format prints a spread with a number of decimals and a unit.
func (s spread) format(decimals int, unit string) string {
	if s.min == s.max {
		return fmt.Sprintf("%.*f%s", decimals, s.median, unit)
	}
	return fmt.Sprintf("%.*f%s (%.*f–%.*f)", decimals, s.median, unit, decimals, s.min, decimals, s.max)
}

// secondsOf takes one duration of each sample.
func secondsOf[T any](samples []T, duration func(T) time.Duration) []float64 {
	seconds := make([]float64, 0, len(samples))
	for _, s := range samples {
		seconds = append(seconds, duration(s).Seconds())
	}
	return seconds
}

// megabytes is 10^6 bytes.
const megabytes = 1e6
