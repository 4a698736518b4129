package describe

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

func (p *page) metadata(m *metav1.ObjectMeta) {
	p.line("Name:\t%s", m.Name)
	p.line("Namespace:\t%s", m.Namespace)
	p.pairs("Labels", m.Labels)
	p.pairs("Annotations", m.Annotations)
	p.gap()
}

// conditions are podkeep's own: why the phase is what it is.
func (p *page) conditions(list []metav1.Condition) {
	if len(list) == 0 {
		return
	}
	p.line("Conditions:")
	for _, c := range list {
		p.line("\t%s:\t%s\t%s\t%s", c.Type, c.Status, c.Reason, OneLine(c.Message))
	}
	p.gap()
}

func (p *page) validationErrors(problems []string) {
	if len(problems) == 0 {
		return
	}
	p.line("Validation errors:")
	for _, e := range problems {
		p.line("\t%s", OneLine(e))
	}
	p.gap()
}

// outcome is what went wrong, as far as the cluster knows it.
type outcome struct {
	failureReason string
	errors        int
	warnings      int
	results       string // key of the object with all warnings and errors
	volumes       []Volume
}

func (p *page) outcome(o outcome) {
	if o.failureReason != "" {
		p.field("Failure reason", OneLine(o.failureReason))
	}
	if o.errors+o.warnings > 0 {
		p.line("Errors:\t%d", o.errors)
		p.line("Warnings:\t%d", o.warnings)
		p.line("Details:\tin the storage location, %s", o.results)
		p.gap()
	}
	failed := slices.DeleteFunc(slices.Clone(o.volumes), func(v Volume) bool { return !v.HasFailed() })
	if len(failed) == 0 {
		return
	}
	p.line("Failed volumes:")
	for _, v := range failed {
		p.line("\t%s:\t%s\t%s", v.Name(), v.Phase, v.Explanation())
	}
	p.gap()
}

func (p *page) names(heading string, included, excluded []string, all string) {
	p.line("%s:", heading)
	p.line("\tIncluded:\t%s", includes(included, all))
	p.line("\tExcluded:\t%s", joined(excluded, none))
}

// includes is a list of includes, in which "*" alone may have a longer name.
func includes(list []string, all string) string {
	if len(list) == 0 || slices.Equal(list, []string{everything}) {
		return all
	}
	return joined(list, all)
}

func (p *page) selectors(one *metav1.LabelSelector, or []*metav1.LabelSelector) {
	p.field("Label selector", selectorText(one))
	p.field("Or label selector", selectorsText(or))
}

func (p *page) hookStatus(h *velerov1.HookStatus) {
	if h == nil {
		return
	}
	p.gap()
	p.line("HooksAttempted:\t%d", h.HooksAttempted)
	p.line("HooksFailed:\t%d", h.HooksFailed)
}

func (p *page) reference(heading string, ref *corev1.TypedLocalObjectReference) {
	if ref == nil {
		return
	}
	p.line("%s:", heading)
	p.line("\tType:\t%s", ref.Kind)
	p.line("\tName:\t%s", ref.Name)
	p.gap()
}

// Orders in which Velero lists phases.
var (
	backupPhaseOrder = []string{
		PhaseCompleted, PhaseFailed, PhaseCanceled, PhaseInProgress, PhaseCanceling, PhasePrepared, PhaseAccepted, PhaseNew,
	}
	restorePhaseOrder = []string{
		PhaseCompleted, PhaseCanceled, PhaseFailed, PhaseInProgress, PhaseCanceling, PhasePrepared, PhaseAccepted, PhaseNew,
	}
)

// volumeGroups says how volumes are listed by phase.
type volumeGroups struct {
	heading string // without the colon
	indent  string
	order   []string
	details bool
}

func (p *page) volumeGroups(g volumeGroups, volumes []Volume) {
	more := " (specify --details for more information)"
	if g.details {
		more = ""
	}
	p.line("%s%s - %s%s:", g.indent, g.heading, volumes[0].Format, more)
	p.phaseLines(g, volumes)
}

func (p *page) phaseLines(g volumeGroups, volumes []Volume) {
	for _, phase := range g.order {
		of := inPhase(volumes, phase)
		switch {
		case len(of) == 0:
		case g.details:
			p.line("%s\t%s:", g.indent, phaseTitle(phase))
			for _, pod := range podLines(of) {
				p.line("%s\t\t%s", g.indent, pod)
			}
		default:
			p.line("%s\t%s:\t%d", g.indent, phaseTitle(phase), len(of))
		}
	}
}

// phaseTitle is how Velero writes a phase in lists.
func phaseTitle(phase string) string {
	if phase == PhaseInProgress {
		return "In Progress"
	}
	return phase
}

func inPhase(volumes []Volume, phase string) []Volume {
	var of []Volume
	for _, v := range volumes {
		if v.Phase == phase {
			of = append(of, v)
		}
	}
	return of
}

// podLines has one line per pod, with its volumes; volumes are sorted.
func podLines(volumes []Volume) []string {
	var lines []string
	for i, v := range volumes {
		text := v.Volume + sizeNote(v)
		if i > 0 && volumes[i-1].Pod == v.Pod {
			lines[len(lines)-1] += ", " + text
			continue
		}
		lines = append(lines, v.Pod+": "+text)
	}
	return lines
}

func sizeNote(v Volume) string {
	switch {
	case v.Phase == PhaseInProgress && v.BytesTotal > 0:
		return fmt.Sprintf(" (%.2f%%)", float64(v.BytesDone)/float64(v.BytesTotal)*100)
	case v.Phase != PhaseCompleted || v.BytesTotal == 0:
		return ""
	case v.IncrementalBytes > 0:
		return fmt.Sprintf(" (size: %d, incremental size: %d)", v.BytesTotal, v.IncrementalBytes)
	default:
		return fmt.Sprintf(" (size: %d)", v.BytesTotal)
	}
}

// volumeDetails is podkeep's own: one block per volume.
func (p *page) volumeDetails(volumes []Volume) {
	if len(volumes) == 0 {
		return
	}
	p.line("Volume details:")
	for _, v := range volumes {
		p.line("\t%s:", v.Name())
		for _, f := range volumeFields(v) {
			p.line("\t\t%s:\t%s", f[0], f[1])
		}
	}
}

// volumeFields are the names and values of what is known of a volume.
func volumeFields(v Volume) [][2]string {
	fields := [][2]string{{"Phase", v.Phase}}
	add := func(when bool, name, value string) {
		if when {
			fields = append(fields, [2]string{name, value})
		}
	}
	add(v.Why.Reason != "", "Reason", v.Why.Reason)
	add(v.Explanation() != v.Why.Reason, "Message", v.Explanation())
	add(v.Node != "", "Node", v.Node)
	add(!v.Finished && v.BytesTotal > 0, "Bytes", Bytes(v.BytesDone)+" of "+Bytes(v.BytesTotal))
	add(v.Finished, "Bytes", Bytes(v.BytesDone))
	add(v.IncrementalBytes > 0, "New or changed", Bytes(v.IncrementalBytes))
	add(v.SkippedFiles > 0, "Skipped files", fmt.Sprintf("%d (pipes, sockets and devices)", v.SkippedFiles))
	add(v.LostAttributes > 0, "Lost attributes", fmt.Sprintf("%d (owners, modes, times and the like)", v.LostAttributes))
	add(v.Duration() > 0, "Duration", Elapsed(v.Duration()))
	return fields
}

func commandLine(command []string) string { return strings.Join(command, " ") }
