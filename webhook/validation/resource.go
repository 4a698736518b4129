package validation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/backupspec"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/restorespec"
	"github.com/podkeep/podkeep/internal/schedules"
)

// ResourceFacts is what the verdict on an object of velero.io is made from.
type ResourceFacts struct {
	Kind string // of velero.io/v1

	// New is the JSON of the object as it is written, Old as it was; Old is empty for
	// a new one.
	New, Old []byte
}

// checks are the kinds that are judged.
var checks = map[string]func(raw []byte) findings{
	"BackupStorageLocation": func(raw []byte) findings { return check(raw, checkLocation) },
	"Backup":                func(raw []byte) findings { return check(raw, checkBackup) },
	"Restore":               func(raw []byte) findings { return check(raw, checkRestore) },
	"Schedule":              func(raw []byte) findings { return check(raw, checkSchedule) },
}

// header is what decides whether an object is looked at. Kinds share it.
type header struct {
	Spec   json.RawMessage `json:"spec"`
	Status struct {
		Phase string `json:"phase"`
	} `json:"status"`
}

// Resource judges an object of velero.io. Each case is one row of the table in
// docs/validation.md. The error is about JSON that is no object.
func Resource(f ResourceFacts) (Verdict, error) {
	find, ok := checks[f.Kind]
	if !ok {
		return Verdict{Reason: ReasonNotOurs}, nil
	}
	now, err := headerOf(f.New)
	if err != nil {
		return Verdict{}, err
	}
	if hasBegun(f.Kind, now) {
		return Verdict{Reason: ReasonBegun}, nil
	}
	if len(f.Old) == 0 {
		return judge(find(f.New), nil), nil
	}
	before, err := headerOf(f.Old)
	if err != nil {
		return Verdict{}, err
	}
	if bytes.Equal(now.Spec, before.Spec) {
		return Verdict{Reason: ReasonUnchanged}, nil
	}
	return judge(find(f.New), find(f.Old).Invalid), nil
}

// headerOf reads the header of an object.
func headerOf(raw []byte) (header, error) {
	var h header
	if err := json.Unmarshal(raw, &h); err != nil {
		return h, fmt.Errorf("decoding the object: %w", err)
	}
	return h, nil
}

// hasBegun says whether somebody works with the spec of a backup or restore already.
// Objects that come from a bucket have a phase from the start.
func hasBegun(kind string, h header) bool {
	if kind != "Backup" && kind != "Restore" {
		return false
	}
	return h.Status.Phase != "" && h.Status.Phase != string(velerov1.BackupPhaseNew)
}

// check decodes an object and looks at it. One that does not decode would stop the
// controllers' watch of all objects of its kind.
func check[T any](raw []byte, look func(*T) findings) findings {
	var object T
	if err := json.Unmarshal(raw, &object); err != nil {
		return findings{Invalid: []string{misfit(raw, err, func(raw []byte) error {
			var other T
			return json.Unmarshal(raw, &other)
		})}}
	}
	return look(&object)
}

func checkLocation(l *velerov1.BackupStorageLocation) findings {
	var f findings
	_, err := location.New(l)
	switch {
	case err == nil:
	case errors.Is(err, location.ErrNotSupported):
		f.Ignored = append(f.Ignored, err.Error()+"; the location will be Unavailable")
	default:
		f.Invalid = append(f.Invalid, err.Error())
	}
	return f
}

func checkBackup(b *velerov1.Backup) findings {
	return findings{Invalid: backupspec.Problems(b, nil), Ignored: backupspec.Unsupported(&b.Spec)}
}

func checkRestore(r *velerov1.Restore) findings {
	return findings{Invalid: restorespec.Problems(r)}
}

// checkSchedule looks at the template, too: each backup that is made of it would
// fail, the first one in the middle of the night.
func checkSchedule(s *velerov1.Schedule) findings {
	_, problems := schedules.Validate(s)
	b := checkBackup(schedules.NewBackup(s, time.Time{}))
	return findings{Invalid: append(problems, ofTemplate(b.Invalid)...), Ignored: ofTemplate(b.Ignored)}
}

// ofTemplate gives problems of a backup the path that they have in a schedule.
func ofTemplate(problems []string) []string {
	moved := make([]string, 0, len(problems))
	for _, p := range problems {
		if rest, ok := strings.CutPrefix(p, "spec."); ok {
			p = "spec.template." + rest
		}
		moved = append(moved, p)
	}
	return moved
}
