package validation

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/selection"
	"github.com/podkeep/podkeep/internal/workloads"
)

// Author warns the author of a pod or workload of what he asks for and does not get.
// It refuses nothing. in has the template's pod, with the claims that exist; those
// that the workload will make are added.
func Author(t workloads.Template, in selection.Input) Verdict {
	if _, mirror := t.Pod.Annotations[corev1.MirrorPodAnnotationKey]; t.Managed || mirror {
		return Verdict{Reason: ReasonNotOurs}
	}
	for name, facts := range t.Claims {
		if _, exists := in.Claims[name]; !exists {
			in.Claims[name] = facts
		}
	}
	v := Verdict{Reason: ReasonValid, Warnings: ForAuthor(selection.Warnings(in, selection.Decide(in)))}
	if len(v.Warnings) > 0 {
		v.Reason = ReasonWarned
	}
	return v
}
