package selection

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

const (
	// rulesVersion is part of every hash. It is raised when a rule changes, so
	// that stamps of older releases are not taken for decisions of this one.
	rulesVersion = 2

	// inputsHashDigits is how many hex digits of the SHA-256 a stamp carries. The
	// hash guards against stale stamps, not against forged ones: who may change
	// the annotation may also change the lists.
	inputsHashDigits = 32
)

// inputs is what a decision is made from, in the form that is hashed.
type inputs struct {
	Rules         int
	Volumes       []volumeInputs
	Policy        string
	BackupDefault *bool
	ServerDefault bool
}

// volumeInputs is what the rules see of one volume.
type volumeInputs struct {
	Name                         string
	Managed, HostPath            bool
	Claim                        ClaimFacts
	Mounted, Device              bool
	PolicyAction                 PolicyAction
	IncludedByPod, ExcludedByPod bool
}

// InputsHash returns a hash of everything the decisions depend on, and of nothing
// else: it changes exactly when Decide might answer differently.
func InputsHash(in Input) string {
	f := factsOf(in)
	all := inputs{
		Rules:         rulesVersion,
		Policy:        in.NamespacePolicy,
		BackupDefault: in.BackupDefault,
		ServerDefault: in.ServerDefault,
	}
	for _, v := range in.Pod.Spec.Volumes {
		claim := f.claim(v)
		claim.Wish = f.wish(v) // what has no effect does not make a stamp stale
		vi := volumeInputs{
			Name:          v.Name,
			Managed:       isManaged(v),
			HostPath:      v.HostPath != nil,
			Claim:         claim,
			Mounted:       f.mounts[v.Name],
			Device:        f.devices[v.Name],
			IncludedByPod: slices.Contains(f.includes, v.Name),
			ExcludedByPod: slices.Contains(f.excludes, v.Name),
		}
		if in.VolumePolicy != nil {
			vi.PolicyAction = in.VolumePolicy(v)
		}
		all.Volumes = append(all.Volumes, vi)
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic("selection: hashing plain values: " + err.Error()) // cannot happen
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:inputsHashDigits]
}

// Stamp returns the annotations that keep the decisions on a pod. It always
// returns all three keys, so that writing them replaces an older stamp entirely.
func Stamp(decisions []Decision, inputsHash string) map[string]string {
	var selected, skipped []string
	for _, d := range decisions {
		if d.Included {
			selected = append(selected, d.Volume)
			continue
		}
		skipped = append(skipped, d.Volume+"="+string(d.Reason))
	}
	slices.Sort(selected)
	slices.Sort(skipped)
	return map[string]string{
		velerov1.SelectedVolumesAnnotation: strings.Join(selected, ","),
		velerov1.SkippedVolumesAnnotation:  strings.Join(skipped, ","),
		velerov1.SelectionInputsAnnotation: inputsHash,
	}
}

// FromStamp returns the decisions that are stamped on the pod, in the order of
// its volumes. ok is false when there is no stamp, when its hash is not
// inputsHash, or when it does not have exactly one decision per volume; the
// caller then decides anew.
//
// The stamp keeps no reasons of included volumes: their Reason is "".
func FromStamp(pod *corev1.Pod, inputsHash string) (decisions []Decision, ok bool) {
	stamped, found := pod.Annotations[velerov1.SelectionInputsAnnotation]
	if !found || stamped != inputsHash {
		return nil, false
	}
	byVolume, ok := parseStamp(pod.Annotations)
	if !ok || len(byVolume) != len(pod.Spec.Volumes) {
		return nil, false
	}
	decisions = make([]Decision, 0, len(byVolume))
	for _, v := range pod.Spec.Volumes {
		d, found := byVolume[v.Name]
		if !found {
			return nil, false
		}
		decisions = append(decisions, d)
	}
	return decisions, true
}

// parseStamp reads the two lists. ok is false when a volume is in them twice or
// a skipped volume has no reason.
func parseStamp(annotations map[string]string) (byVolume map[string]Decision, ok bool) {
	byVolume = map[string]Decision{}
	for _, name := range ParseList(annotations[velerov1.SelectedVolumesAnnotation]) {
		byVolume[name] = Decision{Volume: name, Included: true}
	}
	for _, pair := range ParseList(annotations[velerov1.SkippedVolumesAnnotation]) {
		name, reason, found := strings.Cut(pair, "=")
		if _, twice := byVolume[name]; twice || !found || reason == "" {
			return nil, false
		}
		byVolume[name] = Decision{Volume: name, Reason: Reason(reason)}
	}
	return byVolume, true
}
