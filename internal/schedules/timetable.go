// Package schedules says when the backups of a Schedule are due, and what they
// are made of.
//
// It is pure. The schedule controller makes the backups; the client makes one out
// of turn (backup create --from-schedule). Expressions are those of Velero, which
// uses the same parser (velero-facts §11.7).
package schedules

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // the image has no time zones, and expressions may name one

	"github.com/robfig/cron/v3"
)

// minInterval is the shortest time between two backups: their names have seconds.
const minInterval = time.Second

// Timetable is a parsed cron expression. The zero value is not usable; Parse makes
// one.
type Timetable struct{ schedule cron.Schedule }

// Parse reads five cron fields (minute, hour, day of month, month, day of week), or
// a descriptor such as "@daily" or "@every 6h". "CRON_TZ=<zone> " or "TZ=<zone> "
// before it selects a time zone; without one it is UTC. An expression that no time
// ever matches is an error.
func Parse(expression string) (Timetable, error) {
	text := strings.TrimSpace(expression)
	zone, rest, _ := strings.Cut(text, " ")
	if !strings.HasPrefix(zone, "TZ=") && !strings.HasPrefix(zone, "CRON_TZ=") {
		rest = text
	}
	rest = strings.TrimSpace(rest)
	if rest == "" {
		// The parser would panic on a zone without anything after it.
		return Timetable{}, errors.New("there is no cron expression")
	}
	if err := checkEvery(rest); err != nil {
		return Timetable{}, err
	}
	schedule, err := cron.ParseStandard(text)
	if err != nil {
		return Timetable{}, err
	}
	if schedule.Next(time.Unix(0, 0).UTC()).IsZero() {
		return Timetable{}, errors.New("no time ever matches it")
	}
	return Timetable{schedule: schedule}, nil
}

// checkEvery refuses intervals that the parser would silently make one second of.
func checkEvery(expression string) error {
	text, ok := strings.CutPrefix(expression, "@every ")
	if !ok {
		return nil
	}
	interval, err := time.ParseDuration(strings.TrimSpace(text))
	if err == nil && interval < minInterval {
		return fmt.Errorf("the interval %s is shorter than %s", interval, minInterval)
	}
	return nil // the parser says what is wrong
}

// Next returns the first due time after the given one, in UTC, or the zero time
// when there is none within five years.
func (t Timetable) Next(after time.Time) time.Time {
	return t.schedule.Next(after.UTC())
}

// Latest returns the last due time after base and not after now, in UTC, or the
// zero time when there is none. Intervals count from base.
func (t Timetable) Latest(base, now time.Time) time.Time {
	base, now = base.UTC(), now.UTC()
	if every, ok := t.schedule.(cron.ConstantDelaySchedule); ok {
		elapsed := now.Sub(base.Truncate(time.Second)).Truncate(every.Delay)
		if elapsed < every.Delay {
			return time.Time{}
		}
		return base.Truncate(time.Second).Add(elapsed)
	}
	return t.latestMatch(base, now)
}

// latestMatch looks in a window before now that it doubles until something is in
// it, so that a server that was away for long does not go through all that it has
// missed.
func (t Timetable) latestMatch(base, now time.Time) time.Time {
	for window := time.Minute; ; window *= 2 {
		from := now.Add(-window)
		isAll := !from.After(base)
		if isAll {
			from = base
		}
		due := t.schedule.Next(from)
		if !due.IsZero() && !due.After(now) {
			return t.lastFrom(due, now)
		}
		if isAll {
			return time.Time{}
		}
	}
}

func (t Timetable) lastFrom(due, now time.Time) time.Time {
	for {
		next := t.schedule.Next(due)
		if next.IsZero() || next.After(now) {
			return due
		}
		due = next
	}
}

// sparsest is how far back Last looks: expressions without a match for longer have
// no next time either.
const sparsest = 5

// Last returns the newest due time that is not after a time, whatever the schedule
// has done so far, or the zero time when there is none within five years. For an
// interval it is the time one interval before: when the last backup was due.
func (t Timetable) Last(at time.Time) time.Time {
	at = at.UTC()
	if every, ok := t.schedule.(cron.ConstantDelaySchedule); ok {
		return at.Add(-every.Delay)
	}
	return t.latestMatch(at.AddDate(-sparsest, 0, 0), at)
}

// Interval returns the time between the newest due time that is not after a time
// and the one after it, or 0 when one of them is missing.
func (t Timetable) Interval(at time.Time) time.Duration {
	if every, ok := t.schedule.(cron.ConstantDelaySchedule); ok {
		return every.Delay
	}
	last := t.Last(at)
	if last.IsZero() {
		return 0
	}
	next := t.Next(last)
	if next.IsZero() {
		return 0
	}
	return next.Sub(last)
}
