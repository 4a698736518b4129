// Package validation decides what is said to people who write podkeep's
// configuration, podkeep's objects, and workloads: what is refused, with field, value
// and what is allowed, and what is only warned of.
//
// It is pure: the webhook decodes requests, gathers facts from its caches and answers
// with the verdicts. What is right is decided by the packages that the controllers
// ask (internal/configmaps, backupspec, restorespec, schedules, location), so that
// nothing is refused that would have worked and nothing is admitted that is refused
// later. What real Velero accepts is never refused. Tables: docs/validation.md.
package validation

import (
	"slices"
	"strings"
)

// Reason says why a request was answered as it was. Reasons are API: they label the
// metric podkeep_webhook_decisions_total and are never renamed.
type Reason string

const (
	// ReasonNotOurs is an object that podkeep does not read.
	ReasonNotOurs Reason = "NotOurs"

	// ReasonUnchanged is an update that changes nothing that is checked.
	ReasonUnchanged Reason = "Unchanged"

	// ReasonBegun is a backup or restore that a controller or the sync from a bucket
	// has worked on: what its spec says is history.
	ReasonBegun Reason = "Begun"

	// ReasonValid is an object with nothing wrong in it.
	ReasonValid Reason = "Valid"

	// ReasonWarned is an object that is admitted and of which something was said.
	ReasonWarned Reason = "Warned"

	// ReasonInvalid is an object that is refused.
	ReasonInvalid Reason = "Invalid"
)

// Verdict is the answer to one request.
type Verdict struct {
	Reason Reason

	// Problems are why the object is refused; none when it is admitted. Each names
	// its field, its value and what is allowed.
	Problems []string

	// Warnings are shown to the author, whether the object is admitted or not.
	Warnings []string
}

// Denied says whether the object is refused.
func (v Verdict) Denied() bool { return len(v.Problems) > 0 }

// maxMessageBytes bounds the text of a refusal, which a terminal shows in one piece.
const maxMessageBytes = 4096

// Message is why the object is refused, for people.
func (v Verdict) Message() string {
	text := prefix + strings.Join(v.Problems, "; ")
	if len(text) <= maxMessageBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessageBytes-len("…")], "") + "…"
}

// findings are what a check found in one state of an object.
type findings struct{ Invalid, Ignored []string }

// judge turns what was found into a verdict. known is what was wrong before an
// update: it does not stop an update that repairs, or has nothing to do with it. So a
// location that nobody has looked at for years can still lose its default.
func judge(found findings, known []string) Verdict {
	v := Verdict{Reason: ReasonValid}
	var old []string
	for _, problem := range unique(found.Invalid) {
		if slices.Contains(known, problem) {
			old = append(old, problem)
		} else {
			v.Problems = append(v.Problems, problem)
		}
	}
	v.Warnings = Warnings(slices.Concat(old, found.Ignored))
	switch {
	case v.Denied():
		v.Reason = ReasonInvalid
	case len(v.Warnings) > 0:
		v.Reason = ReasonWarned
	}
	return v
}

// unique keeps the first of each, in order.
func unique(texts []string) []string {
	var kept []string
	for _, t := range texts {
		if !slices.Contains(kept, t) {
			kept = append(kept, t)
		}
	}
	return kept
}
