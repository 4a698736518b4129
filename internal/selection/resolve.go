package selection

import (
	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// StampState says what the stamp of a pod is worth.
type StampState string

const (
	// StampMissing is a pod that the webhook has not stamped.
	StampMissing StampState = "Missing"

	// StampValid is a stamp that was made from the same inputs.
	StampValid StampState = "Valid"

	// StampStale is a stamp that was made from other inputs, or that cannot be read.
	// It decides nothing.
	StampStale StampState = "Stale"
)

// Resolution is what holds for a pod, whatever its stamp says.
type Resolution struct {
	// Decisions are those of Decide.
	Decisions []Decision

	// Stamp is what the stamp is worth.
	Stamp StampState

	// Differences are the volumes of which a stale stamp says something else, in
	// the order of the decisions.
	Differences []Difference
}

// Difference is a volume on which a stale stamp and the rules do not agree.
type Difference struct {
	Volume string

	// Stamped is what the stamp says; nil when it says nothing of the volume. The
	// Reason of an included volume is not kept by stamps.
	Stamped *Decision

	// Now is what holds.
	Now Decision
}

// Resolve decides on the volumes of a pod that may carry a stamp. A valid stamp is
// what holds; one of other inputs is recomputed, and what that changes is returned.
// A stamp that somebody has copied into the template of a workload is such a one, or
// says the same as the rules do.
func Resolve(in Input) Resolution {
	computed := Decide(in)
	if _, stamped := in.Pod.Annotations[velerov1.SelectionInputsAnnotation]; !stamped {
		return Resolution{Decisions: computed, Stamp: StampMissing}
	}
	if decisions, ok := FromStamp(in.Pod, InputsHash(in)); ok {
		return Resolution{Decisions: withReasons(decisions, computed), Stamp: StampValid}
	}
	return Resolution{Decisions: computed, Stamp: StampStale, Differences: differences(in.Pod, computed)}
}

// withReasons fills in the reasons that stamps do not keep.
func withReasons(stamped, computed []Decision) []Decision {
	for i := range stamped {
		if stamped[i].Included && computed[i].Included {
			stamped[i].Reason = computed[i].Reason
		}
	}
	return stamped
}

func differences(pod *corev1.Pod, computed []Decision) []Difference {
	stamped, ok := parseStamp(pod.Annotations)
	if !ok {
		stamped = nil
	}
	var all []Difference
	for _, now := range computed {
		before, found := stamped[now.Volume]
		switch {
		case !found:
			all = append(all, Difference{Volume: now.Volume, Now: now})
		case before.Included && now.Included, before == now:
		default:
			all = append(all, Difference{Volume: now.Volume, Stamped: &before, Now: now})
		}
	}
	return all
}

// Verdict is a decision in words: "include", "include (ServerDefault)" or "skip
// (ExcludedByPod)"; "nothing" for nil.
func (d *Decision) Verdict() string {
	if d == nil {
		return "nothing"
	}
	verdict := "skip"
	if d.Included {
		verdict = "include"
	}
	if d.Reason == "" {
		return verdict
	}
	return verdict + " (" + string(d.Reason) + ")"
}
