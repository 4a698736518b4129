package describe

import (
	"cmp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/podkeep/podkeep/internal/coverage"
)

// CoverageTable returns the table of "podkeep coverage". Rows are printed in their
// order.
func CoverageTable(rows []coverage.Row, now time.Time) string {
	t := newTable(TableOptions{Now: now}, "NAMESPACE", "VOLUME", "TYPE", "VERDICT", "REASON", "LAST BACKUP", "AGE", "RESULT")
	for i := range rows {
		t.row(nil, coverageCells(&rows[i], now)...)
	}
	return t.String()
}

// WideCoverageTable returns the table of "podkeep coverage -o wide".
func WideCoverageTable(rows []coverage.Row, now time.Time) string {
	t := newTable(TableOptions{Now: now}, "NAMESPACE", "VOLUME", "TYPE", "VERDICT", "REASON", "LAST BACKUP", "AGE", "RESULT",
		"EXCLUDED BY", "CAPACITY", "STORAGE CLASS", "BACKED UP", "SCHEDULES", "NEXT RUN", "MESSAGE")
	for i := range rows {
		r := &rows[i]
		size, next := "", ""
		if r.LastSuccess != nil && r.LastSuccess.Bytes > 0 {
			size = Bytes(r.LastSuccess.Bytes)
		}
		if r.NextRun != nil {
			next = duration.ShortHumanDuration(max(r.NextRun.Sub(now), 0))
		}
		text := r.Message
		if a := r.LastAttempt; text == "" && a != nil {
			text = a.Message
		}
		t.row(nil, append(coverageCells(r, now),
			string(r.By), r.Capacity, r.StorageClass, size, strings.Join(r.Schedules, ","), next, OneLine(text))...)
	}
	return t.String()
}

func coverageCells(r *coverage.Row, now time.Time) []string {
	name, age, result := "", "", ""
	if s := r.LastSuccess; s != nil {
		name, age = s.Backup, duration.ShortHumanDuration(max(now.Sub(s.At), 0))
	}
	if a := r.LastAttempt; a != nil {
		result = string(a.Result)
	}
	return []string{r.Namespace, coverageName(r), r.Type, string(r.Verdict), string(r.Reason), cmp.Or(name, none), age, result}
}

// coverageName is claim/name, or pod/name/volume.
func coverageName(r *coverage.Row) string {
	if r.Claim != "" {
		return "claim/" + r.Claim
	}
	return "pod/" + r.Pod + "/" + r.Volume
}
