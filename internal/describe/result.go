package describe

import (
	"fmt"
	"strings"
)

// maxListed is how many failed volumes a result names; "describe" has all.
const maxListed = 20

// Result returns what ends "create --wait". command is how podkeep is called for
// this installation: "podkeep", or with its namespace.
func Result(r Run, command string) string {
	p, verb := newPage(Look{}), command+" "+strings.ToLower(r.Kind)
	// The beginning is Velero's line, which scripts look for.
	p.line("%s completed with status: %s.", r.Kind, r.Phase)
	if why := whyFailed(r.FailureReason, r.ValidationErrors); why != "" {
		p.line("\tReason:\t%s", why)
	}
	if r.ItemsTotal > 0 {
		p.line("\tItems:\t%d of %d", r.ItemsDone, r.ItemsTotal)
	}
	r.volumeLines(p)
	if took := r.took(); took > 0 {
		p.line("\tTook:\t%s", Elapsed(took))
	}
	if r.Errors+r.Warnings > 0 {
		p.line("\tErrors:\t%d", r.Errors)
		p.line("\tWarnings:\t%d", r.Warnings)
	}
	r.failedVolumes(p)
	p.line("%s", r.next(command, verb))
	return p.String()
}

// next is the command to call next. There is more to see than the result when
// there were warnings.
func (r Run) next(command, verb string) string {
	switch {
	case r.IsPartial():
		return "See what is missing with: " + verb + " describe " + r.Name + " --details"
	case r.IsCompleted() && r.Warnings == 0 && r.Kind == kindBackup:
		return "Restore it with: " + command + " restore create --from-backup " + r.Name + " --wait"
	default:
		return "See more with: " + verb + " describe " + r.Name
	}
}

func whyFailed(reason string, problems []string) string {
	if reason != "" {
		return OneLine(reason)
	}
	return OneLine(strings.Join(problems, "; "))
}

func (r Run) volumeLines(p *page) {
	t := Sum(r.Volumes)
	p.line("\tVolumes:\t%s", volumeCounts(t))
	if t.All() == 0 {
		return
	}
	data := Bytes(t.BytesDone)
	if r.Kind == kindBackup {
		data += ", of which " + Bytes(t.IncrementalBytes) + " new or changed"
	}
	p.line("\tData:\t%s", data)
	if t.SkippedFiles > 0 {
		p.line("\tSkipped:\t%s", skippedText(r.Volumes, t))
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

func (r Run) failedVolumes(p *page) {
	listed := 0
	for _, v := range r.Volumes {
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
