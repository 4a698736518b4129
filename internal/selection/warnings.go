package selection

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Problem says what kind of warning one is. Problems are API, as reasons are.
type Problem string

const (
	// ProblemUnknownVolume is an annotation that names a volume the pod does not
	// have.
	ProblemUnknownVolume Problem = "UnknownVolume"

	// ProblemUnknownValue is an annotation of a claim, or a label of a namespace,
	// with a value that has no effect.
	ProblemUnknownValue Problem = "UnknownValue"

	// ProblemImpossible is a volume that somebody wants backed up and that never can
	// be.
	ProblemImpossible Problem = "Impossible"

	// ProblemContradiction is a volume of which two settings say the opposite.
	ProblemContradiction Problem = "Contradiction"
)

// Warning is what the author of a pod should know.
type Warning struct {
	Problem Problem

	// Volume is the volume it is about; "" when it is about several or none.
	Volume string

	// Text is a sentence that says what is wrong and what to do.
	Text string
}

// Warnings returns what people should know of the settings of a pod, its claims and
// its namespace: unknown names and values, what can never be backed up, and
// contradictions. decisions are those on in. The order is stable.
func Warnings(in Input, decisions []Decision) []Warning {
	var all []Warning
	if unknown := UnknownVolumes(in.Pod); len(unknown) > 0 {
		all = append(all, Warning{ProblemUnknownVolume, "", fmt.Sprintf("the pod has no volumes named %s; correct its annotations %s and %s",
			strings.Join(unknown, ", "), velerov1.VolumesToBackupAnnotation, velerov1.VolumesToExcludeAnnotation)})
	}
	if p := in.NamespacePolicy; !isKnownPolicy(p) {
		all = append(all, Warning{ProblemUnknownValue, "", fmt.Sprintf("the namespace's label %s=%s has no effect; set it to %s, %s or %s",
			velerov1.FSBackupLabel, p, velerov1.FSBackupOptIn, velerov1.FSBackupOptOut, velerov1.FSBackupOff)})
	}
	for _, w := range UnknownWishes(in) {
		all = append(all, Warning{ProblemUnknownValue, w.Volume, w.String()})
	}
	for _, d := range Impossible(in, decisions) {
		all = append(all, Warning{ProblemImpossible, d.Volume, fmt.Sprintf("volume %s cannot be backed up (%s): %s", d.Volume, d.Reason, d.Reason.Remedy())})
	}
	return append(all, contradictions(in)...)
}

// String says what is wrong with the value and what to do.
func (w UnknownWish) String() string {
	claim := "claim " + w.Claim
	if w.Claim == "" {
		claim = "the claim template"
	}
	return fmt.Sprintf("%s of volume %s has the annotation %s=%s, which has no effect; set it to %s or %s",
		claim, w.Volume, velerov1.ClaimFSBackupAnnotation, w.Value, velerov1.ClaimInclude, velerov1.ClaimExclude)
}

func isKnownPolicy(policy string) bool {
	return slices.Contains([]string{"", velerov1.FSBackupOptIn, velerov1.FSBackupOptOut, velerov1.FSBackupOff}, policy)
}

// contradictions are found in what people have set, whichever rule decides in the
// end. Of several on one volume the first is reported.
func contradictions(in Input) []Warning {
	f := factsOf(in)
	var all []Warning
	for _, v := range in.Pod.Spec.Volumes {
		if text := f.contradiction(v); text != "" {
			all = append(all, Warning{ProblemContradiction, v.Name, text})
		}
	}
	return all
}

func (f facts) contradiction(v corev1.Volume) string {
	included, excluded := slices.Contains(f.includes, v.Name), slices.Contains(f.excludes, v.Name)
	claim, _ := ClaimName(f.in.Pod, v)
	switch wish := f.wish(v); {
	case included && excluded:
		return fmt.Sprintf("volume %s is in both %s and %s; remove it from one, until then it is left out unless its claim says otherwise",
			v.Name, velerov1.VolumesToBackupAnnotation, velerov1.VolumesToExcludeAnnotation)
	case included && wish == velerov1.ClaimExclude:
		return fmt.Sprintf("the pod lists volume %s in %s, and its claim %s is annotated %s=%s, which wins; remove one of them",
			v.Name, velerov1.VolumesToBackupAnnotation, claim, velerov1.ClaimFSBackupAnnotation, wish)
	case excluded && wish == velerov1.ClaimInclude:
		return fmt.Sprintf("the pod lists volume %s in %s, and its claim %s is annotated %s=%s, which wins; remove one of them",
			v.Name, velerov1.VolumesToExcludeAnnotation, claim, velerov1.ClaimFSBackupAnnotation, wish)
	case f.off() && (included || wish == velerov1.ClaimInclude):
		return fmt.Sprintf("volume %s is asked for, and the namespace's label %s=%s wins: nothing of the namespace is backed up",
			v.Name, velerov1.FSBackupLabel, velerov1.FSBackupOff)
	default:
		return ""
	}
}

// Asked returns the volumes that the pod lists or whose claims ask to be backed up,
// in the order of the pod: people expect them in a backup.
func Asked(in Input) []string {
	f := factsOf(in)
	var names []string
	for _, v := range in.Pod.Spec.Volumes {
		if slices.Contains(f.includes, v.Name) || f.wish(v) == velerov1.ClaimInclude {
			names = append(names, v.Name)
		}
	}
	return names
}
