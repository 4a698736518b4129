package coverage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Summary counts rows by their verdict.
type Summary struct {
	Volumes     int `json:"volumes"`
	Protected   int `json:"protected"`
	Pending     int `json:"pending"`
	Excluded    int `json:"excluded"`
	Unprotected int `json:"unprotected"`
}

// Summarize counts rows.
func Summarize(rows []Row) Summary {
	s := Summary{Volumes: len(rows)}
	for i := range rows {
		switch rows[i].Verdict {
		case Protected:
			s.Protected++
		case Pending:
			s.Pending++
		case Excluded:
			s.Excluded++
		case Unprotected:
			s.Unprotected++
		}
	}
	return s
}

// String is one line for people.
func (s Summary) String() string {
	noun := "volumes"
	if s.Volumes == 1 {
		noun = "volume"
	}
	return fmt.Sprintf("%d %s: %d protected, %d pending, %d excluded, %d unprotected",
		s.Volumes, noun, s.Protected, s.Pending, s.Excluded, s.Unprotected)
}

// Sort orders rows by namespace, claims before other volumes, and by name.
func Sort(rows []Row) {
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(
			strings.Compare(a.Namespace, b.Namespace),
			cmp.Compare(class(a), class(b)),
			strings.Compare(a.Claim, b.Claim),
			strings.Compare(a.Pod, b.Pod),
			strings.Compare(a.Volume, b.Volume),
		)
	})
}

func class(r Row) int {
	if r.Claim != "" {
		return 0
	}
	return 1
}
