package describe

import (
	"fmt"
	"strings"
	"time"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

// maxListed is how many failed volumes a result names; "describe" has all.
const maxListed = 20

// BackupResult returns what ends "backup create --wait". command is how podkeep
// is called for this installation: "podkeep", or with its namespace.
func BackupResult(in BackupInput, command string) string {
	b := in.Backup
	r := result{
		kind: "Backup", name: b.Name, phase: string(b.Status.Phase),
		took:    took(timeOf(b.Status.StartTimestamp), timeOf(b.Status.CompletionTimestamp)),
		why:     whyFailed(b.Status.FailureReason, b.Status.ValidationErrors),
		errors:  b.Status.Errors,
		warning: b.Status.Warnings,
		results: layout.BackupResults(b.Name),
		volumes: BackupVolumes(in.Volumes),
	}
	if p := b.Status.Progress; p != nil {
		r.done, r.total = p.ItemsBackedUp, p.TotalItems
	}
	switch b.Status.Phase {
	case velerov1.BackupPhaseCompleted:
		r.next = "Restore it with: " + command + " restore create --from-backup " + b.Name + " --wait"
	case velerov1.BackupPhasePartiallyFailed:
		r.next = "See what is missing with: " + command + " backup describe " + b.Name + " --details"
	default:
		r.next = "See more with: " + command + " backup describe " + b.Name
	}
	return r.String()
}

// RestoreResult returns what ends "restore create --wait".
func RestoreResult(in RestoreInput, command string) string {
	o := in.Restore
	r := result{
		kind: "Restore", name: o.Name, phase: string(o.Status.Phase),
		took:    took(timeOf(o.Status.StartTimestamp), timeOf(o.Status.CompletionTimestamp)),
		why:     whyFailed(o.Status.FailureReason, o.Status.ValidationErrors),
		errors:  o.Status.Errors,
		warning: o.Status.Warnings,
		results: layout.RestoreResults(o.Name),
		volumes: RestoreVolumes(in.Volumes),
		next:    "See more with: " + command + " restore describe " + o.Name,
	}
	if p := o.Status.Progress; p != nil {
		r.done, r.total = p.ItemsRestored, p.TotalItems
	}
	if o.Status.Phase == velerov1.RestorePhasePartiallyFailed {
		r.next = "See what is missing with: " + command + " restore describe " + o.Name + " --details"
	}
	return r.String()
}

// result is the end of a backup or restore.
type result struct {
	kind, name, phase string
	took              time.Duration // 0: unknown
	why               string
	done, total       int // items
	errors, warning   int
	results           string // key of the object with warnings and errors
	volumes           []Volume
	next              string
}

func took(started, completed time.Time) time.Duration {
	if started.IsZero() || completed.IsZero() {
		return 0
	}
	return completed.Sub(started)
}

func whyFailed(reason string, problems []string) string {
	if reason != "" {
		return OneLine(reason)
	}
	return OneLine(strings.Join(problems, "; "))
}

func (r result) String() string {
	p := newPage()
	// The beginning is Velero's line, which scripts look for.
	p.line("%s completed with status: %s.", r.kind, r.phase)
	if r.why != "" {
		p.line("\tReason:\t%s", r.why)
	}
	if r.total > 0 {
		p.line("\tItems:\t%d of %d", r.done, r.total)
	}
	r.volumeLines(p)
	if r.took > 0 {
		p.line("\tTook:\t%s", Elapsed(r.took))
	}
	if r.errors+r.warning > 0 {
		p.line("\tErrors:\t%d", r.errors)
		p.line("\tWarnings:\t%d", r.warning)
		p.line("\tDetails:\tin the storage location, %s", r.results)
	}
	r.failedVolumes(p)
	p.line("%s", r.next)
	return p.String()
}

func (r result) volumeLines(p *page) {
	t := Sum(r.volumes)
	p.line("\tVolumes:\t%s", volumeCounts(t))
	if t.All() == 0 {
		return
	}
	data := Bytes(t.BytesDone)
	if r.kind == "Backup" {
		data += ", of which " + Bytes(t.IncrementalBytes) + " new or changed"
	}
	p.line("\tData:\t%s", data)
	if t.SkippedFiles > 0 {
		p.line("\tSkipped:\t%s", skippedText(r.volumes, t))
	}
	if t.LostAttributes > 0 {
		p.line("\tLost:\t%d attributes of files (owners, modes, times and the like)", t.LostAttributes)
	}
}

func volumeCounts(t Totals) string {
	var parts []string
	add := func(n int, word string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, word))
		}
	}
	add(t.Completed, "completed")
	add(t.Failed, "failed")
	add(t.Moving, "moving")
	add(t.Waiting, "waiting")
	return joined(parts, "none")
}

// skippedText says how many files were skipped, and where.
func skippedText(volumes []Volume, t Totals) string {
	var where []string
	for _, v := range volumes {
		if v.SkippedFiles > 0 {
			where = append(where, fmt.Sprintf("%s (%d)", v.Name(), v.SkippedFiles))
		}
	}
	if len(where) > maxListed {
		where = append(where[:maxListed], "…")
	}
	return Count(int(t.SkippedFiles), "file") + " (pipes, sockets and devices): " + strings.Join(where, ", ")
}

func (r result) failedVolumes(p *page) {
	listed := 0
	for _, v := range r.volumes {
		if !v.HasFailed() {
			continue
		}
		if listed == 0 {
			p.line("Failed volumes:")
		}
		if listed++; listed > maxListed {
			p.line("\t…")
			return
		}
		p.line("\t%s:\t%s\t%s", v.Name(), v.Phase, v.Explanation())
	}
}
