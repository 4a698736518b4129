package describe

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/layout"
)

func (p *page) metadata(m *metav1.ObjectMeta) {
	p.line("Name:\t%s", p.painted(bold, m.Name))
	p.line("Namespace:\t%s", m.Namespace)
	p.pairs("Labels", m.Labels)
	p.pairs("Annotations", m.Annotations)
}

// conditions are podkeep's own: why the phase is what it is.
func (p *page) conditions(list []metav1.Condition) {
	if len(list) == 0 {
		return
	}
	p.gap()
	p.line("Conditions:")
	for _, c := range list {
		p.line("\t%s:\t%s\t%s\t%s", c.Type, c.Status, c.Reason, OneLine(c.Message))
	}
}

func (p *page) validationErrors(problems []string) {
	if len(problems) == 0 {
		return
	}
	p.gap()
	first := "Validation errors:"
	for _, e := range problems {
		p.line("%s\t%s", first, p.painted(Red, OneLine(e)))
		first = ""
	}
}

// failureReason is podkeep's own; Velero's client leaves it to the log.
func (p *page) failureReason(reason string) {
	if reason != "" {
		p.gap()
		p.line("Failure reason:\t%s", OneLine(reason))
	}
}

// results are the warnings and errors. Without their file only their numbers are
// known.
func (p *page) results(errorCount, warningCount int, f File[layout.Results]) {
	switch {
	case errorCount+warningCount == 0:
		return
	case f.Err != nil:
		p.line("Errors:\t%d", errorCount)
		p.line("Warnings:\t%d", warningCount)
		if !errors.Is(f.Err, ErrNoFile) {
			p.line("\t<error getting errors and warnings: %s>", OneLine(f.Err.Error()))
		}
		return
	}
	if warningCount > 0 {
		p.resultSet("Warnings", f.Content.Warnings)
	}
	if errorCount > 0 {
		p.resultSet("Errors", f.Content.Errors)
	}
}

func (p *page) resultSet(heading string, s layout.ResultSet) {
	p.gap()
	p.line("%s:", heading)
	p.texts("\t", "Velero", s.Velero)
	p.texts("\t", "Cluster", s.Cluster)
	if len(s.Namespaces) == 0 {
		p.line("\tNamespaces: %s", none)
		return
	}
	p.line("\tNamespaces:")
	for _, ns := range sortedKeys(s.Namespaces) {
		p.texts("\t\t", OneLine(ns), s.Namespaces[ns])
	}
}

// failedVolumes is podkeep's own: why each volume has failed.
func (p *page) failedVolumes(volumes []Volume) {
	failed := slices.DeleteFunc(slices.Clone(volumes), func(v Volume) bool { return !v.HasFailed() })
	if len(failed) == 0 {
		return
	}
	p.gap()
	p.line("Failed volumes:")
	for _, v := range failed {
		p.line("\t%s:\t%s\t%s", v.Name(), v.Phase, v.Explanation())
	}
}

func (p *page) names(indent, heading string, included, excluded []string) {
	p.line("%s%s:", indent, heading)
	p.line("%s\tIncluded:\t%s", indent, joined(included, everything))
	p.line("%s\tExcluded:\t%s", indent, joined(excluded, none))
}

func (p *page) selectors(one *metav1.LabelSelector, or []*metav1.LabelSelector) {
	p.field("Label selector", selectorText(one))
	p.field("Or label selector", selectorsText(or))
}

// hookStatus counts hooks. Velero ends its headings of a restore in a space.
func (p *page) hookStatus(h *velerov1.HookStatus, space string) {
	if h == nil {
		return
	}
	p.gap()
	p.line("HooksAttempted:%s\t%d", space, h.HooksAttempted)
	p.line("HooksFailed:%s\t%d", space, h.HooksFailed)
}

func (p *page) reference(heading string, ref *corev1.TypedLocalObjectReference) {
	if ref == nil {
		return
	}
	p.gap()
	p.line("%s:", heading)
	p.line("\tType:\t%s", ref.Kind)
	p.line("\tName:\t%s", ref.Name)
}

// resourceList lists the items of a backup or restore by their kinds.
func (p *page) resourceList(of string, f File[layout.ResourceList]) {
	switch {
	case errors.Is(f.Err, ErrNoFile):
		p.line("Resource List:\t<%s resource list not found>", of)
		return
	case f.Err != nil:
		p.line("Resource List:\t<error getting %s resource list: %s>", of, OneLine(f.Err.Error()))
		return
	}
	p.line("Resource List:")
	for _, kind := range sortedKeys(f.Content) {
		p.line("\t%s:", OneLine(kind))
		for _, item := range f.Content[kind] {
			p.line("\t\t- %s", OneLine(item))
		}
	}
}

// Orders in which Velero lists phases. Velero leaves Canceling out of a restore's.
var (
	backupPhaseOrder = []string{
		PhaseCompleted, PhaseFailed, PhaseCanceled, PhaseInProgress, PhaseCanceling, PhasePrepared, PhaseAccepted, PhaseNew,
	}
	restorePhaseOrder = []string{
		PhaseCompleted, PhaseCanceled, PhaseFailed, PhaseInProgress, PhaseCanceling, PhasePrepared, PhaseAccepted, PhaseNew,
	}
)

// phaseLines lists volumes by phase, or counts them.
func (p *page) phaseLines(indent string, order []string, volumes []Volume) {
	for _, phase := range order {
		of := inPhase(volumes, phase)
		switch {
		case len(of) == 0:
		case p.look.Details:
			p.line("%s\t%s:", indent, phaseTitle(phase))
			for _, pod := range podLines(of) {
				p.line("%s\t\t%s", indent, pod)
			}
		default:
			p.line("%s\t%s:\t%d", indent, phaseTitle(phase), len(of))
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
	p.gap()
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
